// Package remote fetches the points of one series from a remote Graphite or
// Prometheus, safely: only from hosts that are allowed, within bounds of memory and
// time, and without pressing a host that is in trouble.
package remote

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"fluxgate/sdk"
)

// A Kind is what answers.
type Kind string

const (
	Graphite   Kind = "graphite"   // the JSON of a render
	Prometheus Kind = "prometheus" // the answer of query or query_range
)

// A Login is what a host asks for: a token (sent as bearer) or a user with a
// password (basic). It is never printed.
type Login struct {
	User, Password, Token string
}

// Format tells nothing of l.
func (l Login) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[secret]") }

// LogValue is Format for logs.
func (l Login) LogValue() slog.Value { return slog.StringValue("[secret]") }

// MarshalText is Format for encoders.
func (l Login) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// A Remote says how to speak to a host.
type Remote struct {
	Host  string // name or address; with a port, it is for that port alone, and counts before one without
	Login Login
	CA    string // PEM file with the certificates that vouch for the host's; empty: those of the system
	Cert  string // PEM file with the certificate shown to the host; empty: none
	Key   string // PEM file with the key of Cert
	Vista bool   // the Login of a query is sent to the host, in place of this one
}

// Options are what a Client works with.
type Options struct {
	Allow   []string // hosts that may be fetched from, see [Allow]; empty: none
	Remotes []Remote
	PerHost int           // fetches from one host:port at a time
	Bytes   int64         // of an answer, unpacked
	Points  int           // of an answer, all its series taken together
	Time    time.Duration // until an answer has been read whole
}

// Defaults are options that allow no host.
func Defaults() Options {
	return Options{PerHost: 2, Bytes: 256 << 20, Points: 5_000_000, Time: 5 * time.Minute}
}

// A Query is one request for the points of one series.
type Query struct {
	Kind       Kind
	URL        string // whole, as [Ask] and [Windows] write it
	Login      Login  // of the job; the text "None" counts as empty
	Hosts      Allow  // a narrower list, beside that of the client; nil: no narrower
	OnlySeries bool   // several series are refused, by name
}

// A Sample is a point as the remote has it.
type Sample struct {
	Timestamp int64 // 1 to 4294967295
	Value     float64
	Null      bool // there is no value: null, NaN, an infinity, or not a number
}

// An Answer tells what was fetched besides samples.
type Answer struct {
	Series   []string // names; the samples are those of the first; at most 10
	More     int      // series beyond those
	Warnings []string // at most 10, of the remote or about its answer
	Bytes    int64    // unpacked
}

// A Client fetches. It is safe for concurrent use.
type Client struct {
	o       Options
	allow   Allow
	remotes []*remote
	plain   *http.Transport // for hosts without a remote
	dialer  *net.Dialer
	hosts   *hosts
}

// New returns a client. It asks nothing. Its errors are [sdk.ErrInvalid] and name
// the setting.
func New(o Options) (*Client, error) {
	if o.PerHost < 1 || o.Bytes < 1 || o.Points < 1 || o.Time <= 0 {
		return nil, sdk.Invalidf("the limits of fetching must be positive: %d fetches per host, %d bytes, %d points, %v", o.PerHost, o.Bytes, o.Points, o.Time)
	}
	allow, err := ParseAllow(o.Allow)
	if err != nil {
		return nil, fmt.Errorf("populate.allow: %w", err)
	}
	c := &Client{o: o, allow: allow, dialer: newDialer(), hosts: newHosts(o.PerHost)}
	c.plain = c.transport(nil)
	for _, r := range o.Remotes {
		opened, err := c.open(r)
		if err != nil {
			return nil, fmt.Errorf("populate.remotes: %w", err)
		}
		c.remotes = append(c.remotes, opened)
	}
	return c, nil
}

// Allowed returns [sdk.ErrInvalid] for a URL that would not be asked: it cannot be
// read, or its host is not on the client's list and on all others. Where a name
// leads is judged only when it is connected to.
func (c *Client) Allowed(rawURL string, hosts ...Allow) error {
	p, err := locate(rawURL)
	if err != nil {
		return err
	}
	return c.allowed(p, hosts...)
}

func (c *Client) allowed(p place, hosts ...Allow) error {
	if err := c.refuses(p, hosts...); err != nil {
		return sdk.Invalidf("%w", err)
	}
	return nil
}

// refuses says why p may not be asked, as far as its name tells.
func (c *Client) refuses(p place, hosts ...Allow) error {
	if !c.allow.names(p) {
		return fmt.Errorf("host %s is not allowed: add it to populate.allow", p.hostPort())
	}
	for _, narrower := range hosts {
		if narrower != nil && !narrower.names(p) {
			return fmt.Errorf("host %s is not allowed for this key: add it to the key's own hosts, besides populate.allow", p.hostPort())
		}
	}
	return nil
}

// Pause returns until when the host of a URL is left alone; zero: it is not.
func (c *Client) Pause(rawURL string) time.Time {
	p, err := locate(rawURL)
	if err != nil {
		return time.Time{}
	}
	return c.hosts.pause(p.hostPort())
}

// Fetch asks q and calls take with each sample of the first series of the answer,
// in its order, until take returns an error, which ends the fetch and is returned
// as it is. Only with a nil error does what was taken count.
//
// The error is [sdk.ErrInvalid] where the same query will never be answered: it is
// not allowed, the remote refuses it, or there are several series with OnlySeries.
// All others are [sdk.ErrUnavailable]; a [Paused] among them means that nothing
// was asked. After a failure of a host it is left alone for a second, doubling
// to five minutes, and as long as its Retry-After says, up to an hour.
func (c *Client) Fetch(ctx context.Context, q Query, take func(Sample) error) (Answer, error) {
	p, err := c.check(&q)
	if err != nil {
		return Answer{}, err
	}
	visit, err := c.hosts.enter(ctx, p.hostPort())
	if err != nil {
		return Answer{}, err
	}
	var answer Answer
	defer func() { visit.leave(err) }()
	answer, err = c.fetch(ctx, q, p, take)
	if err != nil {
		return Answer{}, err
	}
	return answer, nil
}

// check returns where q leads, if it may be asked.
func (c *Client) check(q *Query) (place, error) {
	if q.Kind != Graphite && q.Kind != Prometheus {
		return place{}, sdk.Invalidf("a query of kind %q: it is %s or %s", q.Kind, Graphite, Prometheus)
	}
	p, err := locate(q.URL)
	if err != nil {
		return place{}, err
	}
	q.Login = q.Login.given()
	if !q.Login.sendable() {
		return place{}, sdk.Invalidf("the token, user or password for %s holds a control character, or the user a colon", p)
	}
	return p, c.allowed(p, q.Hosts)
}
