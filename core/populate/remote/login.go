package remote

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"strings"

	"fluxgate/sdk"
)

// given returns l without what Vista sends for "none".
func (l Login) given() Login {
	for _, text := range []*string{&l.User, &l.Password, &l.Token} {
		if *text == "None" {
			*text = ""
		}
	}
	return l
}

// sendable reports whether l can stand in a header.
func (l Login) sendable() bool {
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	return !strings.ContainsFunc(l.User+l.Password+l.Token, control) && !strings.Contains(l.User, ":")
}

// sign puts l into the header of a request.
func (l Login) sign(r *http.Request) {
	switch {
	case l.Token != "":
		r.Header.Set("Authorization", "Bearer "+l.Token)
	case l.User != "" || l.Password != "":
		r.SetBasicAuth(l.User, l.Password)
	}
}

// shows reports whether text holds a secret of l.
func (l Login) shows(text string) bool {
	return l.Password != "" && strings.Contains(text, l.Password) || l.Token != "" && strings.Contains(text, l.Token)
}

// A remote is a Remote that is ready for use.
type remote struct {
	Remote
	listed
	transport *http.Transport
}

// open reads r's files. It says what is wrong with r by the name of its host.
func (c *Client) open(r Remote) (*remote, error) {
	l, ok := parseListed(r.Host)
	if !ok || l.network.IsValid() {
		return nil, sdk.Invalidf("%q is no host: write a name or an address, either with a port", r.Host)
	}
	if !r.Login.sendable() {
		return nil, sdk.Invalidf("host %s: the token, user or password holds a control character, or the user a colon", r.Host)
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if r.CA != "" {
		text, err := os.ReadFile(r.CA)
		if err != nil {
			return nil, sdk.Invalidf("host %s: ca: %w: name the PEM file of the CA that signed the host's certificate", r.Host, err)
		}
		trust.RootCAs = x509.NewCertPool()
		if !trust.RootCAs.AppendCertsFromPEM(text) {
			return nil, sdk.Invalidf("host %s: ca: %s holds no certificate: name the PEM file of the CA that signed the host's certificate", r.Host, r.CA)
		}
	}
	if r.Cert != "" || r.Key != "" {
		pair, err := tls.LoadX509KeyPair(r.Cert, r.Key)
		if err != nil {
			return nil, sdk.Invalidf("host %s: cert and key: %w: name the PEM files of a certificate and of its key", r.Host, err)
		}
		trust.Certificates = []tls.Certificate{pair}
	}
	return &remote{r, l, c.transport(trust)}, nil
}

// remote returns how to speak to p's host, or nil.
func (c *Client) remote(p place) (found *remote) {
	for _, r := range c.remotes {
		if r.name != p.name || r.address != p.address {
			continue
		}
		if r.port == p.port {
			return r
		}
		if r.port == 0 {
			found = r
		}
	}
	return found
}

// login returns what to send to p, to which a query led that began at first. It
// goes to its own host alone, and not in clear where the query came with TLS.
func (c *Client) login(q Query, first, p place) Login {
	r := c.remote(p)
	if r == nil || first.url.Scheme == "https" && p.url.Scheme == "http" {
		return Login{}
	}
	if r.Vista && q.Login != (Login{}) && first.host() == p.host() {
		return q.Login
	}
	return r.Login
}

// Honours reports whether the login of a query is sent to the host of a URL.
func (c *Client) Honours(rawURL string) bool {
	p, err := locate(rawURL)
	if err != nil {
		return false
	}
	r := c.remote(p)
	return r != nil && r.Vista
}
