package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"fluxgate/sdk"
)

// open returns a client with the defaults, as change changes them.
func open(t testing.TB, change func(*Options)) *Client {
	t.Helper()
	o := Defaults()
	change(&o)
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serve returns the URL of a server on a port of its own of 127.0.0.1.
func serve(t testing.TB, answer http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return s.URL
}

// at is the host and port of a URL.
func at(t testing.TB, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// toward returns a client that may fetch from the hosts of urls.
func toward(t testing.TB, urls ...string) *Client {
	t.Helper()
	return open(t, func(o *Options) {
		for _, u := range urls {
			o.Allow = append(o.Allow, at(t, u))
		}
	})
}

func render(url string) Query {
	return Query{Kind: Graphite, URL: url + "/render/?target=secret.query"}
}

// fetch returns the samples of q.
func fetch(t testing.TB, c *Client, q Query) (samples []Sample, answer Answer, err error) {
	t.Helper()
	answer, err = c.Fetch(t.Context(), q, func(s Sample) error {
		samples = append(samples, s)
		return nil
	})
	return samples, answer, err
}

const onePoint = `[{"target":"a.b","datapoints":[[1.5,1700000040]]}]`

func say(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

// A clock stands until it is set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// names answers for the DNS of a test: where a name leads when it is asked for the
// nth time, counted from 0.
type names func(name string, nth int) []string

// resolve has c ask a real server on loopback for every name.
func (n names) resolve(t testing.TB, c *Client) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		asked, buffer := map[string]int{}, make([]byte, 1500)
		for {
			size, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if reply := n.reply(buffer[:size], asked); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		wg.Wait()
	})
	c.dialer.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (n names) reply(question []byte, asked map[string]int) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	if q.Type == dnsmessage.TypeA {
		name := strings.TrimSuffix(q.Name.String(), ".")
		addresses := n(name, asked[name])
		asked[name]++
		if addresses == nil {
			m.RCode = dnsmessage.RCodeNameError
		}
		for _, a := range addresses {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
				Body:   &dnsmessage.AResource{A: netip.MustParseAddr(a).As4()},
			})
		}
	}
	reply, _ := m.Pack()
	return reply
}

func TestFetch(t *testing.T) {
	var got *http.Request
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		fmt.Fprint(w, onePoint)
	})
	q := Query{Kind: Graphite, URL: url + `/graphite/render/?from=-6hours&target=alias(a.b,"é")`}
	samples, answer, err := fetch(t, toward(t, url), q)
	if err != nil || len(samples) != 1 || samples[0] != (Sample{1700000040, 1.5, false}) {
		t.Fatalf("%v, %+v, %v", samples, answer, err)
	}
	if answer.Bytes != int64(len(onePoint)) || len(answer.Series) != 1 || answer.Series[0] != "a.b" || answer.More != 0 {
		t.Errorf("answer %+v", answer)
	}
	if got.RequestURI != "/graphite/render/?from=-6hours&target=alias(a.b,%22%C3%A9%22)" || got.Header.Get("Accept-Encoding") != "gzip" || got.Host != at(t, url) {
		t.Errorf("asked for %q of %q with %v", got.RequestURI, got.Host, got.Header)
	}
}

func TestFetchRefusesWhatIsNotAllowed(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it was asked") })
	c := open(t, func(o *Options) { o.Allow = []string{"10.0.0.5"} })
	for name, q := range map[string]Query{
		"a host":  render(url),
		"a kind":  {Kind: "carbon", URL: "http://10.0.0.5/"},
		"a login": {Kind: Graphite, URL: "http://10.0.0.5/", Login: Login{Token: "a\r\nb"}},
		"a key":   {Kind: Graphite, URL: "http://10.0.0.5/", Hosts: Allow{}},
	} {
		if _, _, err := fetch(t, c, q); !errors.Is(err, sdk.ErrInvalid) || errors.Is(err, sdk.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFetchEndsWithTake(t *testing.T) {
	url := serve(t, say(`[{"datapoints":[[1,1],[2,2]]}]`))
	full, n := errors.New("full"), 0
	c := toward(t, url)
	_, err := c.Fetch(t.Context(), render(url), func(Sample) error {
		n++
		return full
	})
	if err != full || n != 1 || !c.Pause(url).IsZero() {
		t.Errorf("%v after %d samples, paused until %v", err, n, c.Pause(url))
	}
}

func TestOnlySeries(t *testing.T) {
	url := serve(t, say(`[{"target":"a.x"},{"target":"a.y"}]`))
	c, q := toward(t, url), render(url)
	if _, answer, err := fetch(t, c, q); err != nil || len(answer.Series) != 2 {
		t.Errorf("%+v, %v", answer, err)
	}
	q.OnlySeries = true
	if _, _, err := fetch(t, c, q); !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), "a.x, a.y") {
		t.Errorf("two series where one is wanted: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"populate.allow":                  func(o *Options) { o.Allow = []string{"http://g/"} },
		"limits":                          func(o *Options) { o.Points = 0 },
		"populate.remotes: invalid: \"g/": func(o *Options) { o.Remotes = []Remote{{Host: "g/8"}} },
		"control character":               func(o *Options) { o.Remotes = []Remote{{Host: "g", Login: Login{Token: "geheim\n"}}} },
		"the user a colon":                func(o *Options) { o.Remotes = []Remote{{Host: "g", Login: Login{User: "a:geheim"}}} },
		"ca:":                             func(o *Options) { o.Remotes = []Remote{{Host: "g", CA: "/nowhere"}} },
		"no certificate":                  func(o *Options) { o.Remotes = []Remote{{Host: "g", CA: "remote_test.go"}} },
		"cert and key":                    func(o *Options) { o.Remotes = []Remote{{Host: "g", Cert: "/nowhere"}} },
	} {
		o := Defaults()
		change(&o)
		if _, err := New(o); !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
