package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// maxHost is the longest name that DNS can hold, in characters.
const maxHost = 253

// checkKeyHosts notes hosts that would not widen what jobs may fetch from,
// though they look so.
func (f *faults) checkKeyHosts(c Config) {
	for i, k := range c.Keys {
		setting := fmt.Sprintf("keys[%d].hosts", i)
		if len(k.Hosts) > 0 && len(c.Populate.Allow) == 0 {
			f.add(setting, "has no effect, as no job may fetch from anywhere: set populate.allow too, or remove it")
		}
		f.checkHosts(setting, k.Hosts)
	}
}

// checkHosts notes each entry that names neither a host nor a network.
func (f *faults) checkHosts(setting string, entries []string) {
	for i, entry := range entries {
		if wrong := misallowed(entry); wrong != "" {
			f.add(fmt.Sprintf("%s[%d]", setting, i), "%s%s", harmless(entry), wrong)
		}
	}
}

func (f *faults) checkRemotes(remotes []Remote) {
	seen := make(map[string]int, len(remotes))
	for i, r := range remotes {
		setting := fmt.Sprintf("populate.remotes[%d]", i)
		f.checkCredentials(setting, r)
		if wrong := mishosted(r.Host); wrong != "" {
			f.add(setting+".host", "%s%s", harmless(r.Host), wrong)
			continue
		}
		host := strings.ToLower(r.Host)
		if other, ok := seen[host]; ok {
			f.add(setting+".host", "%q is the host of populate.remotes[%d] again: remove one of them", r.Host, other)
			continue
		}
		seen[host] = i
	}
}

// checkCredentials notes what could not be sent, and what is there by half.
func (f *faults) checkCredentials(setting string, r Remote) {
	login := r.User != "" || r.Password != ""
	switch {
	case login && r.Token != "":
		f.add(setting+".token", "is given beside user and password: remove one or the other")
	case r.User != "" && r.Password == "":
		f.add(setting+".user", "has no password: set password too, or remove it")
	case r.User == "" && r.Password != "":
		f.add(setting+".password", "has no user: set user too, or remove it")
	case strings.Contains(r.User, ":"):
		f.add(setting+".user", "has a colon, which would end it: give the user alone, and password beside it")
	}
	for _, sent := range [][2]string{{"user", r.User}, {"password", string(r.Password)}, {"token", string(r.Token)}} {
		if strings.ContainsFunc(sent[1], isControl) {
			f.add(setting+"."+sent[0], "has a line break or another control character: remove it, and see whether the value ends as it should")
		}
	}
	switch {
	case r.Cert != "" && r.Key == "":
		f.add(setting+".cert", "has no key: set key to the PEM file with its private key, or remove it")
	case r.Cert == "" && r.Key != "":
		f.add(setting+".key", "has no certificate: set cert to the PEM file with it, or remove it")
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// harmless returns value in quotes, to begin a sentence with, or "" if a
// password may be part of it.
func harmless(value string) string {
	if value == "" || strings.ContainsAny(value, "@?") {
		return ""
	}
	return fmt.Sprintf("%q ", value)
}

// misallowed says why entry is none of the forms that name what may be fetched
// from.
func misallowed(entry string) string {
	left, _, slash := strings.Cut(entry, "/")
	if _, err := netip.ParseAddr(left); !slash || err != nil {
		return mishosted(entry)
	}
	network, err := netip.ParsePrefix(entry)
	switch {
	case err != nil:
		return "is not a network: write it like 10.0.0.0/8"
	case network.Addr().Is4In6():
		return "is IPv4 in the form of IPv6: write it like 10.0.0.0/8"
	case network != network.Masked():
		return fmt.Sprintf("has more of an address than its mask: write %v, or the address alone", network.Masked())
	}
	return ""
}

// mishosted says why entry is not a host name or an address, with or without a
// port.
func mishosted(entry string) string {
	const form = "write it like graphite.example.org or graphite.example.org:8080"
	switch {
	case strings.TrimSpace(entry) == "":
		return "is empty: name a host, or remove it"
	case strings.Contains(entry, "://"):
		return "is a URL: leave its scheme and path away, and " + form
	case strings.Contains(entry, "@"):
		return "has a user: " + form + ", and put user and password under populate.remotes"
	case strings.ContainsAny(entry, "/?#"):
		return "has a path: " + form
	case strings.Contains(entry, "*"):
		return "has a wildcard: name each host, or their network such as 10.0.0.0/8"
	}
	if _, err := netip.ParseAddr(entry); err == nil || !strings.Contains(entry, ":") {
		return misnamed(entry)
	}
	host, port, err := net.SplitHostPort(entry)
	if err != nil {
		return "is not a host, host:port or address: " + form + ", IPv6 like 2001:db8::1 or [2001:db8::1]:8080"
	}
	if wrong := misported(port); wrong != "" {
		return wrong
	}
	return misnamed(host)
}

func misported(port string) string {
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return "has no port from 1 to 65535: write it like graphite.example.org:8080"
	}
	return ""
}

// misnamed says why host is neither an address nor a name that DNS can hold. A
// name that ends in a number would be read as an address by some.
func misnamed(host string) string {
	address, err := netip.ParseAddr(host)
	switch {
	case err == nil && address.Zone() != "":
		return "has a zone: leave the % and what follows it away"
	case err == nil && address.Is4In6():
		return fmt.Sprintf("is IPv4 in the form of IPv6: write %v", address.Unmap())
	case err == nil:
		return ""
	case len(host) > maxHost:
		return fmt.Sprintf("is longer than the %d characters of a host name: shorten it", maxHost)
	case !regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`).MatchString(host):
		return "is not a host name: use letters, digits, - and _ between single dots, and for other letters the form that begins with xn--"
	case regexp.MustCompile(`(^|\.)([0-9]+|0[xX][0-9a-fA-F]*)$`).MatchString(host):
		return "is neither a host name nor a whole address: write it like graphite.example.org or 10.0.0.5"
	}
	return ""
}

// misbased says why base is not the base URL of a Graphite.
func misbased(base string) string {
	const form = "write it like http://127.0.0.1:8080 or https://graphite.example.org/graphite"
	u, err := url.Parse(base)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return "is not the URL of a Graphite: " + form
	case u.User != nil:
		return "has a user: leave it away, and put user and password under populate.remotes"
	case strings.ContainsAny(base, "?#"):
		return "has a query or a fragment: leave the ? or # and what follows it away"
	case u.Port() != "" && misported(u.Port()) != "" || strings.HasSuffix(u.Host, ":"):
		return "has no port from 1 to 65535: " + form
	}
	return ""
}
