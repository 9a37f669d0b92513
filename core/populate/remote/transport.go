package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"fluxgate/sdk"
)

const (
	connectTimeout = 10 * time.Second
	maxRedirects   = 3
	maxHead        = 64 << 10 // bytes of an answer's header
)

// transport returns how to reach a host. Each request has its own connection: one
// that is kept would have been judged by the lists of another query.
func (c *Client) transport(trust *tls.Config) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return c.dialer.DialContext(ctx, network, address)
		},
		TLSClientConfig:        trust,
		TLSHandshakeTimeout:    connectTimeout,
		DisableKeepAlives:      true,
		DisableCompression:     true, // the bytes are counted before and after
		MaxResponseHeaderBytes: maxHead,
	}
}

// A judge decides on the address of a connection.
type judge struct {
	place place
	lists []Allow
}

type judgeKey struct{}

// A forbidden is why an address was not connected to.
type forbidden struct{ error }

// newDialer returns a dialer that connects only where the judge in its context lets
// it. It judges the address that is connected to, after the name is resolved.
func newDialer() *net.Dialer {
	return &net.Dialer{Timeout: connectTimeout, ControlContext: func(ctx context.Context, _, address string, _ syscall.RawConn) error {
		j, ok := ctx.Value(judgeKey{}).(judge)
		to, err := netip.ParseAddrPort(address)
		if !ok || err != nil {
			return fmt.Errorf("a connection to %s that nobody asked for", address)
		}
		return j.judge(to.Addr().Unmap().WithZone(""))
	}}
}

func (j judge) judge(address netip.Addr) error {
	for _, list := range j.lists {
		if list != nil && !list.reaches(j.place, address) {
			return forbidden{fmt.Errorf("%s leads to %s, which is not allowed: add that address to populate.allow, and to the key's own hosts if it has any", j.place.host(), address)}
		}
	}
	return nil
}

// ask follows q from first to where it is answered, and returns that place.
func (c *Client) ask(ctx context.Context, q Query, first place) (*http.Response, place, error) {
	p := first
	for hops := 0; ; hops++ {
		response, err := c.hop(ctx, q, first, p)
		if errors.As(err, new(forbidden)) {
			return nil, p, sdk.Unavailablef("%s: %w", p, err) // no trouble of the host's
		}
		if err != nil {
			return nil, p, &trouble{error: sdk.Unavailablef("%s: %w", p, err)}
		}
		location := response.Header.Get("Location")
		if !redirects(response.StatusCode) || location == "" {
			return response, p, nil
		}
		_ = response.Body.Close()
		if hops == maxRedirects {
			return nil, p, sdk.Unavailablef("%s: more than %d redirects", first, maxRedirects)
		}
		next, err := c.follow(q, p, location)
		if err != nil {
			return nil, p, sdk.Unavailablef("%s redirects: %w", p, err)
		}
		p = next
	}
}

func redirects(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// follow returns where location leads from p, if that is allowed.
func (c *Client) follow(q Query, p place, location string) (place, error) {
	u, err := p.url.Parse(location)
	if err != nil {
		return place{}, errUnreadable
	}
	next, err := placed(u)
	if err != nil {
		return place{}, err
	}
	return next, c.refuses(next, q.Hosts)
}

// hop asks p alone. A login is put on here, for each hop anew.
func (c *Client) hop(ctx context.Context, q Query, first, p place) (*http.Response, error) {
	ctx = context.WithValue(ctx, judgeKey{}, judge{p, []Allow{c.allow, q.Hosts}})
	request := (&http.Request{Method: http.MethodGet, URL: p.url, Host: p.url.Host, Header: http.Header{
		"Accept":          {"application/json"},
		"Accept-Encoding": {"gzip"},
		"User-Agent":      {"fluxgate"},
	}}).WithContext(ctx)
	c.login(q, first, p).sign(request)
	if r := c.remote(p); r != nil {
		return r.transport.RoundTrip(request)
	}
	return c.plain.RoundTrip(request)
}
