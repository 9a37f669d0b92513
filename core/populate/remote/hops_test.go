package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

// A name leads to an allowed address when it is first asked for, and then to one
// where a secret is.
func TestRebinding(t *testing.T) {
	good := httptest.NewUnstartedServer(say(onePoint))
	bad := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the secret was asked for") }))
	for _, s := range []*httptest.Server{good, bad} {
		_ = s.Listener.Close()
	}
	var err error
	for range 20 { // until a port is free on both
		if good.Listener, err = net.Listen("tcp", "127.0.0.2:0"); err != nil {
			t.Fatal(err)
		}
		if bad.Listener, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", good.Listener.Addr().(*net.TCPAddr).Port)); err == nil {
			break
		}
		_ = good.Listener.Close()
	}
	good.Start()
	bad.Start()
	defer good.Close()
	defer bad.Close()
	port := good.Listener.Addr().(*net.TCPAddr).Port

	c := open(t, func(o *Options) { o.Allow = []string{"flip.test", "both.test", "meta.test", "127.0.0.2", "10.0.0.0/8"} })
	names(func(name string, nth int) []string {
		switch {
		case name == "flip.test" && nth == 0:
			return []string{"127.0.0.2"}
		case name == "both.test":
			return []string{"127.0.0.1", "127.0.0.2"}
		case name == "meta.test":
			return []string{"169.254.169.254"}
		}
		return []string{"127.0.0.1"}
	}).resolve(t, c)
	for _, name := range []string{"flip.test", "both.test"} {
		if _, _, err := fetch(t, c, render(fmt.Sprintf("http://%s:%d", name, port))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"flip.test", "meta.test", "unlisted.test"} {
		_, _, err := fetch(t, c, render(fmt.Sprintf("http://%s:%d", name, port)))
		if !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), name+" leads to 1") || !strings.Contains(err.Error(), "populate.allow") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An address is judged however the system spells it, and nothing is connected to
// unjudged.
func TestConnectionsAreJudged(t *testing.T) {
	c := open(t, func(o *Options) { o.Allow = []string{"g.test", "10.0.0.0/8"} })
	p, err := locate("http://g.test/")
	if err != nil {
		t.Fatal(err)
	}
	judged := context.WithValue(t.Context(), judgeKey{}, judge{p, []Allow{c.allow, nil}})
	for address, want := range map[string]bool{
		"93.184.216.34:80": true, "[::ffff:93.184.216.34]:80": true, "[::ffff:10.0.0.1]:80": true,
		"127.0.0.1:80": false, "[::ffff:127.0.0.1]:80": false, "[::ffff:100.100.100.200]:80": false, "[fe80::1%eth0]:80": false, "[::1]:80": false, "g.test:80": false, "": false,
	} {
		if err := c.dialer.ControlContext(judged, "tcp", address, nil); (err == nil) != want {
			t.Errorf("%q: %v", address, err)
		}
	}
	if c.dialer.ControlContext(t.Context(), "tcp", "93.184.216.34:80", nil) == nil {
		t.Error("a connection that nobody asked for")
	}
}

// The narrower list of a key counts for addresses too, also when another query has
// just been there.
func TestTheKeysListIsJudgedAtConnect(t *testing.T) {
	var asked atomic.Int32
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		fmt.Fprint(w, onePoint)
	})
	c := open(t, func(o *Options) { o.Allow = []string{"127.0.0.0/8"} })
	names(func(string, int) []string { return []string{"127.0.0.1"} }).resolve(t, c)
	q := render(strings.Replace(url, "127.0.0.1", "g.test", 1))
	if _, _, err := fetch(t, c, q); err != nil {
		t.Fatal(err)
	}
	q.Hosts = allow(t, "127.0.0.2/32")
	if _, _, err := fetch(t, c, q); !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "leads to 127.0.0.1") || asked.Load() != 1 {
		t.Errorf("asked %d times, %v", asked.Load(), err)
	}
}

func TestRedirects(t *testing.T) {
	var secret atomic.Int32
	hidden := serve(t, func(http.ResponseWriter, *http.Request) { secret.Add(1) })
	port := hidden[strings.LastIndex(hidden, ":")+1:]
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var hops int
		if _, err := fmt.Sscanf(r.URL.Path, "/hop/%d", &hops); err == nil && hops > 0 {
			w.Header().Set("Location", fmt.Sprintf("%d", hops-1))
			w.WriteHeader(302)
			return
		}
		if to := r.URL.Query().Get("to"); to != "" {
			w.Header().Set("Location", to)
			w.WriteHeader(307)
			return
		}
		fmt.Fprint(w, onePoint)
	})
	tests := []struct {
		name, to, says string
		follows        bool
	}{
		{"to itself", "/render/?second", "", true},
		{"to itself in full", url + "/render/?second", "", true},
		{"three times", "/hop/2", "", true},
		{"four times", "/hop/3", "more than 3 redirects", false},
		{"to another port", hidden, "redirects: host", false},
		{"to a name of loopback", "http://localhost:" + port, "redirects: host", false},
		{"to loopback by IPv6", "http://[::1]:" + port, "redirects: host", false},
		{"to loopback in IPv6", "http://[::ffff:127.0.0.1]:" + port, "redirects: host", false},
		{"to loopback as a number", "http://2130706433:" + port, "no usable host", false},
		{"to loopback as a hexadecimal number", "http://0x7f000001:" + port, "no usable host", false},
		{"to metadata", "http://169.254.169.254/latest/meta-data", "redirects: host", false},
		{"to another host of the same scheme", "//localhost:" + port, "redirects: host", false},
		{"to a file", "file:///etc/passwd", "http or https", false},
		{"to gopher", "gopher://127.0.0.1:70/", "http or https", false},
		{"with a password", strings.Replace(url, "://", "://u:geheim@", 1), "user or a password", false},
		{"to what is no URL", "http://[::1/geheim", "cannot be read", false},
	}
	for _, test := range tests {
		c := toward(t, url)
		samples, _, err := fetch(t, c, Query{Kind: Graphite, URL: url + "/render/?to=" + encoded(test.to)})
		if test.follows && (err != nil || len(samples) != 1) {
			t.Errorf("%s: %v, %v", test.name, samples, err)
		}
		if !test.follows && (!errors.Is(err, sdk.ErrUnavailable) || errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "geheim")) {
			t.Errorf("%s: %v, want %q", test.name, err, test.says)
		}
	}
	if n := secret.Load(); n != 0 {
		t.Errorf("the secret was asked for %d times", n)
	}
}

// heard keeps what each host was sent.
type heard struct {
	mu  sync.Mutex
	all map[string]http.Header
}

// site is a server for every name. It sends /to/HOST on to HOST.
func (h *heard) site() http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.all[r.Host] = r.Header
		h.mu.Unlock()
		if to, ok := strings.CutPrefix(r.URL.Path, "/to/"); ok {
			w.Header().Set("Set-Cookie", "a=b; Domain=test")
			http.Redirect(w, r, "http://"+to+"/render/", http.StatusFound)
			return
		}
		fmt.Fprint(w, onePoint)
	}
}

func TestLogins(t *testing.T) {
	h := &heard{all: make(map[string]http.Header)}
	url := serve(t, h.site())
	port := url[strings.LastIndex(url, ":"):]
	c := open(t, func(o *Options) {
		o.Allow = []string{"127.0.0.0/8"}
		o.Remotes = []Remote{
			{Host: "a.test", Login: Login{Token: "token-of-a"}},
			{Host: "b.test", Login: Login{User: "b", Password: "password-of-b"}},
			{Host: "p.test", Login: Login{Token: "any port"}},
			{Host: "p.test" + port, Login: Login{Token: "this port"}},
			{Host: "r.test" + port, Login: Login{Token: "this port"}},
			{Host: "r.test", Login: Login{Token: "any port"}},
			{Host: "q.test:1", Login: Login{Token: "another port"}},
			{Host: "v.test", Vista: true, Login: Login{Token: "token-of-v"}},
			{Host: "w.test", Vista: true},
		}
	})
	names(func(string, int) []string { return []string{"127.0.0.1"} }).resolve(t, c)
	const basic = "Basic YjpwYXNzd29yZC1vZi1i"
	job, none := Login{Token: "token-of-job"}, Login{"None", "None", "None"}
	tests := []struct {
		name, host, to string
		login          Login
		want           map[string]string
	}{
		{"a token", "a.test", "", none, map[string]string{"a.test": "Bearer token-of-a"}},
		{"a user", "b.test", "", none, map[string]string{"b.test": basic}},
		{"no remote", "x.test", "", job, map[string]string{"x.test": ""}},
		{"a subdomain", "sub.a.test", "", none, map[string]string{"sub.a.test": ""}},
		{"the port counts first", "p.test", "", none, map[string]string{"p.test": "Bearer this port"}},
		{"the port counts first, also when it stands first", "r.test", "", none, map[string]string{"r.test": "Bearer this port"}},
		{"another port", "q.test", "", none, map[string]string{"q.test": ""}},
		{"of the job, for a host that takes none", "a.test", "", job, map[string]string{"a.test": "Bearer token-of-a"}},
		{"of the job", "v.test", "", job, map[string]string{"v.test": "Bearer token-of-job"}},
		{"of the job, as a user", "w.test", "", Login{User: "b", Password: "password-of-b", Token: "None"}, map[string]string{"w.test": basic}},
		{"a job without", "v.test", "", none, map[string]string{"v.test": "Bearer token-of-v"}},
		{"a job without, for a host without", "w.test", "", none, map[string]string{"w.test": ""}},
		{"on to a subdomain", "a.test", "sub.a.test", none, map[string]string{"a.test": "Bearer token-of-a", "sub.a.test": ""}},
		{"on to another host", "a.test", "b.test", none, map[string]string{"a.test": "Bearer token-of-a", "b.test": basic}},
		{"of the job, on to another host", "w.test", "v.test", job, map[string]string{"w.test": "Bearer token-of-job", "v.test": "Bearer token-of-v"}},
		{"of the job, on to itself", "w.test", "w.test", job, map[string]string{"w.test": "Bearer token-of-job"}},
	}
	for _, test := range tests {
		clear(h.all)
		path := "/render/"
		if test.to != "" {
			path = "/to/" + test.to + port
		}
		q := Query{Kind: Graphite, URL: "http://" + test.host + port + path + "?target=secret.query", Login: test.login}
		if _, _, err := fetch(t, c, q); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if len(h.all) != len(test.want) {
			t.Errorf("%s: asked %v, want %v", test.name, h.all, test.want)
		}
		for host, want := range test.want {
			sent := h.all[host+port]
			if got := sent.Get("Authorization"); got != want || sent.Get("Referer") != "" || sent.Get("Cookie") != "" {
				t.Errorf("%s: %s was sent %v, want %q", test.name, host, sent, want)
			}
		}
	}
}

func TestLoginsAreNotShown(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(500)
		fmt.Fprint(w, r.Header)
	})
	c := open(t, func(o *Options) {
		o.Allow = []string{at(t, url)}
		o.Remotes = []Remote{{Host: at(t, url), Vista: true, Login: Login{User: "u", Password: "geheim"}}}
	})
	_, _, err := fetch(t, c, Query{Kind: Graphite, URL: url, Login: Login{Token: "geheim"}})
	if err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("an error: %v", err)
	}
	l := Login{"u", "geheim", "geheim"}
	text, _ := json.Marshal(map[string]any{"login": l, "remote": Remote{Login: l}})
	printed := fmt.Sprintf("%v %+v %#v %s %q %+v %#v", l, l, l, l, l, Remote{Login: l}, Query{Login: l})
	if strings.Contains(printed+string(text), "geheim") {
		t.Errorf("printed: %s %s", printed, text)
	}
}

func TestTLS(t *testing.T) {
	trusted, stranger := servers.NewAuthority(t), servers.NewAuthority(t)
	cert, key := trusted.Issue(t, "g.test")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(trusted.File)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	var insecure string
	var sent atomic.Value
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent.Store(r.Header.Get("Authorization"))
		if r.URL.Path == "/down" {
			http.Redirect(w, r, insecure, http.StatusFound)
			return
		}
		fmt.Fprint(w, onePoint)
	}))
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	secure.StartTLS()
	t.Cleanup(secure.Close)
	secure.Config.ErrorLog = nil
	url := strings.Replace(secure.URL, "127.0.0.1", "g.test", 1)
	insecure = strings.Replace(serve(t, func(w http.ResponseWriter, r *http.Request) {
		sent.Store(r.Header.Get("Authorization"))
		fmt.Fprint(w, onePoint)
	}), "127.0.0.1", "g.test", 1)

	tests := []struct {
		name   string
		remote Remote
		url    string
		says   string
		login  string
	}{
		{"with all", Remote{Host: "g.test", CA: trusted.File, Cert: cert, Key: key, Login: Login{Token: "t"}}, url, "", "Bearer t"},
		{"no certificate of our own", Remote{Host: "g.test", CA: trusted.File}, url, "certificate", ""},
		{"the CA of another", Remote{Host: "g.test", CA: stranger.File, Cert: cert, Key: key}, url, "unknown authority", ""},
		{"no CA", Remote{Host: "g.test", Cert: cert, Key: key}, url, "unknown authority", ""},
		{"another host's remote", Remote{Host: "h.test", CA: trusted.File, Cert: cert, Key: key}, url, "unknown authority", ""},
		{"another name", Remote{Host: "other.test", CA: trusted.File, Cert: cert, Key: key}, strings.Replace(url, "g.test", "other.test", 1), "other.test", ""},
		{"on to where it is clear", Remote{Host: "g.test", CA: trusted.File, Cert: cert, Key: key, Login: Login{Token: "t"}}, url + "/down", "", ""},
	}
	for _, test := range tests {
		c := open(t, func(o *Options) { o.Allow, o.Remotes = []string{"127.0.0.0/8"}, []Remote{test.remote} })
		names(func(string, int) []string { return []string{"127.0.0.1"} }).resolve(t, c)
		sent.Store("")
		_, _, err := fetch(t, c, Query{Kind: Graphite, URL: test.url})
		if (err == nil) != (test.says == "") || err != nil && (!errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%s: %v, want %q", test.name, err, test.says)
		}
		if got := sent.Load(); got != test.login {
			t.Errorf("%s: the login sent last is %q, want %q", test.name, got, test.login)
		}
	}
}

// A proxy of the environment would connect in our place, unjudged.
func TestNoProxy(t *testing.T) {
	proxy := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") })
	t.Setenv("HTTP_PROXY", proxy)
	t.Setenv("http_proxy", proxy)
	c := open(t, func(o *Options) { o.Allow = []string{"g.test"} })
	names(func(string, int) []string { return []string{"127.0.0.1"} }).resolve(t, c)
	if _, _, err := fetch(t, c, render("http://g.test")); err == nil || !strings.Contains(err.Error(), "leads to 127.0.0.1") {
		t.Error(err)
	}
	if c.plain.Proxy != nil {
		t.Error("there is a proxy")
	}
}
