package remote

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"fluxgate/sdk"
)

// A place is where a URL leads.
type place struct {
	url     *url.URL   // as it is asked
	name    string     // in small letters; empty: there is an address
	address netip.Addr // valid: there is no name
	port    uint16
}

// locate reads a URL. Its only errors are [sdk.ErrInvalid]; they do not quote what
// may be secret.
func locate(raw string) (place, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return place{}, sdk.Invalidf("%w", errUnreadable)
	}
	p, err := placed(u)
	if err != nil {
		return place{}, sdk.Invalidf("%w", err)
	}
	return p, nil
}

// placed is locate for a URL that has been read; its errors are of no kind.
func placed(u *url.URL) (place, error) {
	standard := uint16(80)
	switch {
	case u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "":
		return place{}, errors.New("a URL is not one of http or https: write it like http://graphite.example.org:8080/render/?target=a.b")
	case u.User != nil:
		return place{}, errors.New("a URL holds a user or a password: leave them out and configure them in populate.remotes")
	case u.Scheme == "https":
		standard = 443
	}
	name, address, ok := parseHost(u.Hostname())
	port, valid := parsePort(u.Port())
	if !ok || !valid {
		return place{}, errors.New("a URL has no usable host: write a name (an international one as xn--...) or a plain address, and the port as a number")
	}
	host := name
	if address.IsValid() {
		host = address.String()
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port == 0 {
		port = standard
	}
	if port != standard {
		host += ":" + strconv.Itoa(int(port))
	}
	asked := &url.URL{Scheme: u.Scheme, Host: host, Path: u.Path, RawPath: u.RawPath, RawQuery: quoted(u.RawQuery)}
	return place{asked, name, address, port}, nil
}

// quoted percent-encodes what cannot stand in a line of a request, and what some
// servers refuse there.
func quoted(query string) string {
	var b strings.Builder
	for _, c := range []byte(query) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>[]\\^`{|}", c) >= 0 {
			escape(&b, c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

func escape(b *strings.Builder, c byte) {
	const digits = "0123456789ABCDEF"
	b.WriteByte('%')
	b.WriteByte(digits[c>>4])
	b.WriteByte(digits[c&15])
}

// hostPort is the name or address, and the port.
func (p place) hostPort() string {
	return net.JoinHostPort(p.host(), strconv.Itoa(int(p.port)))
}

func (p place) host() string {
	if p.address.IsValid() {
		return p.address.String()
	}
	return p.name
}

// String is the URL without its query, and not longer than an error should be.
func (p place) String() string {
	return cut(p.url.Scheme+"://"+p.url.Host+p.url.EscapedPath(), 200)
}

// cut returns the first n bytes of text, without the half of a letter at the end.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "..."
}
