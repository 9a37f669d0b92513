package remote

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"fluxgate/sdk"
)

// An Allow is a list of hosts that may be fetched from. A host is a name, an
// address, either with a port (without one: any port), or a network like
// 10.0.0.0/8.
//
// A name allows the addresses that it resolves to, except guarded ones: those of
// loopback, link-local, multicast, unspecified, and of the metadata of clouds. They
// are allowed only where the address itself is listed, or a network that holds
// it. A network also allows the names that resolve into it, so that with one in
// the list a name is judged when it is connected to.
type Allow []listed

// A listed is an element of an Allow: one of name, address and network is set.
type listed struct {
	name    string
	address netip.Addr
	network netip.Prefix
	port    uint16 // 0: any
}

// ParseAllow reads the hosts of a list. What is none is refused with
// [sdk.ErrInvalid]. The Allow of an empty list allows nothing; it is not nil.
func ParseAllow(hosts []string) (Allow, error) {
	allow := Allow{}
	for _, text := range hosts {
		l, ok := parseListed(text)
		if !ok {
			return nil, sdk.Invalidf("%q is no host: write a name, an address, either with a port, or a network, like graphite.example.org:8080 or 10.0.0.0/8", text)
		}
		allow = append(allow, l)
	}
	return allow, nil
}

func parseListed(text string) (listed, bool) {
	if strings.Contains(text, "/") {
		network, ok := parseNetwork(text)
		return listed{network: network}, ok
	}
	host, port := text, ""
	if _, err := netip.ParseAddr(text); err != nil && strings.Contains(text, ":") {
		if host, port, err = net.SplitHostPort(text); err != nil {
			host = text // as in [::1]
		}
		if err == nil && port == "" {
			return listed{}, false
		}
	}
	number, ok := parsePort(port)
	if !ok {
		return listed{}, false
	}
	name, address, ok := parseHost(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return listed{name: name, address: address, port: number}, ok
}

// parseNetwork reads a network; one of IPv4 addresses in IPv6 is one of IPv4.
func parseNetwork(text string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, false
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}

// parsePort reads a port from 1 on. An empty text is 0.
func parsePort(text string) (uint16, bool) {
	if text == "" {
		return 0, true
	}
	number, err := strconv.ParseUint(text, 10, 16)
	return uint16(number), err == nil && number > 0
}

// parseHost reads a name or an address. A name is of letters, digits, dashes and
// underscores, and comes back in small letters; what a resolver might take for an
// address although it is not written as one (127.1, 2130706433, 0x7f000001) is
// none, and neither is an address with a zone.
func parseHost(text string) (name string, address netip.Addr, ok bool) {
	if address, err := netip.ParseAddr(text); err == nil {
		return "", address.Unmap(), address.Zone() == ""
	}
	name = strings.ToLower(strings.TrimSuffix(text, "."))
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", netip.Addr{}, false
		}
	}
	last := labels[len(labels)-1]
	numeric := strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") && strings.Trim(last[2:], "0123456789abcdef") == ""
	return name, netip.Addr{}, !numeric && len(name) <= 253
}

// names reports whether the list allows p as far as its text tells.
func (a Allow) names(p place) bool {
	return slices.ContainsFunc(a, func(l listed) bool {
		switch {
		case l.network.IsValid():
			return !p.address.IsValid() || l.network.Contains(p.address)
		case l.port != 0 && l.port != p.port:
			return false
		}
		return l.name == p.name && l.address == p.address
	})
}

// reaches reports whether the list allows p to be connected to at address.
func (a Allow) reaches(p place, address netip.Addr) bool {
	named, itself := false, false
	for _, l := range a {
		if l.network.IsValid() {
			if l.network.Contains(address) {
				return true
			}
			continue
		}
		if l.port == 0 || l.port == p.port {
			named = named || l.name == p.name && l.address == p.address
			itself = itself || l.address == address
		}
	}
	return named && (itself || !guarded(address))
}

// guardedNetworks are guarded besides what [netip.Addr] knows: "this network",
// broadcast, and where clouds keep metadata.
var guardedNetworks = [...]netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("100.100.100.200/32"), netip.MustParsePrefix("fd00:ec2::254/128"),
}

// carriers are the networks of IPv6 addresses that stand for one of IPv4, which
// begins at a byte: compatible addresses, NAT64 and 6to4.
var carriers = [...]struct {
	network netip.Prefix
	at      int
}{{netip.MustParsePrefix("::/96"), 12}, {netip.MustParsePrefix("64:ff9b::/96"), 12}, {netip.MustParsePrefix("2002::/16"), 2}}

// guarded reports whether a name must not lead to address.
func guarded(address netip.Addr) bool {
	if address.IsLoopback() || address.IsUnspecified() || address.IsMulticast() || address.IsLinkLocalUnicast() {
		return true
	}
	for _, network := range guardedNetworks {
		if network.Contains(address) {
			return true
		}
	}
	for _, c := range carriers {
		if c.network.Contains(address) {
			bytes := address.As16()
			return guarded(netip.AddrFrom4([4]byte(bytes[c.at:])))
		}
	}
	return false
}
