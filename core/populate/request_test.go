package populate

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"fluxgate/sdk"
)

// clock is what the tests of this package call now: 2023-11-14T22:13:20Z.
var clock = time.Unix(1_700_000_000, 0)

// An object is a body in the making.
type object map[string]any

// with returns a copy of o with a member set.
func (o object) with(name string, value any) object {
	c := object{name: value}
	for n, v := range o {
		if n != name {
			c[n] = v
		}
	}
	return c
}

// without returns a copy of o that lacks members.
func (o object) without(names ...string) object {
	c := object{}
	for n, v := range o {
		c[n] = v
	}
	for _, n := range names {
		delete(c, n)
	}
	return c
}

func (o object) body(t testing.TB) []byte {
	t.Helper()
	body, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

const (
	hourURL = "http://graphs.example.net/render/?from=-1hours&format=json&target=web.load"
	weekURL = "http://graphs.example.net/render/?from=-7days&until=-1hours&format=json&target=web.load"
)

// vistaPost is what Vista sends, with everything unset that may be.
func vistaPost() object {
	return object{
		"remote_host_type": "graphite", "remote_target": "web.load", "metric": "far.web.load",
		"namespace_prefix": "far", "key": "ours", "token": "None", "user": "None", "password": "None",
		"fetch_resolution_urls": `"['` + hourURL + `']"`,
	}
}

func plainPost() object {
	return object{
		"key": "ours", "metric": "far.web.load",
		"source": object{"type": "graphite", "url": "http://graphs.example.net", "target": "web.load"},
	}
}

func TestDecodeKey(t *testing.T) {
	for _, c := range []struct {
		name, body, header string
		key                string
		err                string // of a body that has not even a key
	}{
		{name: "no body", body: "", err: "invalid json data"},
		{name: "a word", body: "word", err: "invalid json data"},
		{name: "NaN is not JSON", body: `{"key":"ours","from":NaN}`, err: "invalid json data"},
		{name: "two values", body: `{"key":"ours"}{}`, err: "invalid json data"},
		{name: "cut off", body: `{"key":"ours"`, err: "invalid json data"},
		{name: "not UTF-8", body: "{\"key\":\"\xff\"}", err: "no POST data received"},
		{name: "a text", body: `"ours"`, err: "no POST data received"},
		{name: "a list", body: `[{"key":"ours"}]`, err: "no POST data received"},
		{name: "null", body: `null`, err: "no POST data received"},
		{name: "a number", body: `7`, err: "no POST data received"},
		{name: "no members", body: ` { } `, err: "no POST data received"},
		{name: "no members, but a header", body: `{}`, header: "ours", err: "no POST data received"},
		{name: "no key", body: `{"metric":"a"}`, err: "no key passed"},
		{name: "names are case-sensitive", body: `{"Key":"ours"}`, err: "no key passed"},
		{name: "a key", body: `{"key":"ours"}`, key: "ours"},
		{name: "behind a byte order mark", body: "\uFEFF{\"key\":\"ours\"}", key: "ours"},
		{name: "of equal members the last counts", body: `{"key":"theirs","key":"ours"}`, key: "ours"},
		{name: "a last one that is no text counts too", body: `{"key":"ours","key":null}`, key: ""},
		{name: "escapes", body: `{"\u006bey":"\u006furs"}`, key: "ours"},
		{name: "blanks stay", body: `{"key":" ours "}`, key: " ours "},
		{name: "Vista's None is a text like others", body: `{"key":"None"}`, key: "None"},
		{name: "null is a key that nobody has", body: `{"key":null}`, key: ""},
		{name: "so is a number", body: `{"key":12345678901234567890}`, key: ""},
		{name: "so is a list", body: `{"key":["ours"]}`, key: ""},
		{name: "the header alone", body: `{"metric":"a"}`, header: "ours", key: "ours"},
		{name: "the header first", body: `{"key":"theirs"}`, header: "ours", key: "ours"},
		{name: "the header before no text", body: `{"key":null}`, header: "ours", key: "ours"},
	} {
		got, err := Decode([]byte(c.body), c.header, clock)
		if c.err != "" {
			if !errors.Is(err, sdk.ErrInvalid) || err.Error() != "invalid: "+c.err {
				t.Errorf("%s: error %v, want %s", c.name, err, c.err)
			}
			continue
		}
		if err != nil || got.Key != c.key {
			t.Errorf("%s: key %q, error %v, want %q", c.name, got.Key, err, c.key)
		}
		if got.Invalid == "" || !reflect.DeepEqual(got.Request, Request{}) {
			t.Errorf("%s: a request of a key alone is sound: %+v", c.name, got)
		}
	}
}

// sound decodes a body that must be accepted.
func sound(t *testing.T, name string, body []byte) Request {
	t.Helper()
	got, err := Decode(body, "", clock)
	if err != nil || got.Invalid != "" || got.Key != "ours" {
		t.Errorf("%s: key %q, invalid %q, error %v, want it accepted", name, got.Key, got.Invalid, err)
	}
	return got.Request
}

// unsound decodes a body that must be refused, behind its key, for a reason.
func unsound(t *testing.T, name string, body []byte, want string) {
	t.Helper()
	got, err := Decode(body, "", clock)
	if err != nil || got.Key != "ours" {
		t.Errorf("%s: key %q, error %v, want the key", name, got.Key, err)
	}
	if want == "" || !strings.Contains(got.Invalid, want) {
		t.Errorf("%s: invalid is %q, want %q in it", name, got.Invalid, want)
	}
	if !reflect.DeepEqual(got.Request, Request{}) {
		t.Errorf("%s: a part of the request is left: %+v", name, got.Request)
	}
}

func TestLocate(t *testing.T) {
	const long = "http://h/render?target="
	for _, c := range []struct {
		url  string
		want location
		err  string
	}{
		{url: "http://h", want: location{"http", "h", "", ""}},
		{url: "https://h:8443/", want: location{"https", "h:8443", "/", ""}},
		{url: "HTTP://Graphs.Example.net/a", want: location{"http", "Graphs.Example.net", "/a", ""}},
		{url: "http://10.0.0.1:80/render?", want: location{"http", "10.0.0.1:80", "/render", ""}},
		{url: "http://[fd00::1]:8080/render/", want: location{"http", "[fd00::1]:8080", "/render/", ""}},
		{url: "http://[fd00::1]", want: location{"http", "[fd00::1]", "", ""}},
		{url: "http://h?a=b", want: location{"http", "h", "", "a=b"}},
		{url: `http://h/render?target=alias(a.b, "50% #1")&x='é'`, want: location{"http", "h", "/render", `target=alias(a.b, "50% #1")&x='é'`}},
		{url: "http://h/a b/%zz", want: location{"http", "h", "/a b/%zz", ""}},
		{url: "http://h/render?target=who@where", want: location{"http", "h", "/render", "target=who@where"}},
		{url: "http://h/render?target=a?b", want: location{"http", "h", "/render", "target=a?b"}},
		{url: long + strings.Repeat("a", maxText-len(long)), want: location{"http", "h", "/render", "target=" + strings.Repeat("a", maxText-len(long))}},
		{url: long + strings.Repeat("a", maxText-len(long)+1), err: "longer than 16384 bytes"},
		{url: "", err: "neither http"},
		{url: "file:///etc/passwd", err: "neither http"},
		{url: "gopher://h/", err: "neither http"},
		{url: "ftp://h/http://h/", err: "neither http"},
		{url: "//h/render", err: "neither http"},
		{url: "h/render", err: "neither http"},
		{url: " http://h", err: "neither http"},
		{url: "http:h", err: "neither http"},
		{url: "http://", err: "no host"},
		{url: "http:///render", err: "no host"},
		{url: "http://?a", err: "no host"},
		{url: "http://:80/", err: "no host"},
		{url: "http://./", err: "no host"},
		{url: "http://h:/", err: "no host"},
		{url: "http://h:0/", err: "no host"},
		{url: "http://h:65536/", err: "no host"},
		{url: "http://h:x/", err: "no host"},
		{url: "http://h:1:2/", err: "no host"},
		{url: "http://h\\.other/", err: "no host"},
		{url: "http://h h/", err: "no host"},
		{url: "http://h%2Eother/", err: "no host"},
		{url: "http://hé/", err: "no host"},
		{url: "http://h;other/", err: "no host"},
		{url: "http://[::1/", err: "no host"},
		{url: "http://[::1]x/", err: "no host"},
		{url: "http://[1.2.3.4]/", err: "no host"},
		{url: "http://[h]/", err: "no host"},
		{url: "http://[fe80::1%25eth0]/", err: "no host"},
		{url: "http://who:secret@h/", err: "populate.remotes"},
		{url: "http://who@h/", err: "populate.remotes"},
		{url: "http://@h/", err: "populate.remotes"},
		{url: "http://h\\@other/", err: "populate.remotes"},
		{url: "http://who:sec/ret@h/", err: "no host"},
		{url: "http://h/a#b?target=c", err: "number sign"},
		{url: "http://h#@other/", err: "number sign"},
		{url: "http://h/render?target=a\r\nHost: other", err: "control character"},
		{url: "http://h/\x00", err: "control character"},
		{url: "http://h/\u0085", err: "control character"},
	} {
		got, err := locate(c.url)
		if c.err == "" && (err != nil || got != c.want) {
			t.Errorf("%.80q: got %+v, error %v, want %+v", c.url, got, err, c.want)
		}
		if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%.80q: got %+v, error %v, want %q in it", c.url, got, err, c.err)
		}
		if err != nil && strings.Contains(err.Error(), "sec") {
			t.Errorf("%q: its error tells the password: %v", c.url, err)
		}
	}
}

func TestLoginIsNotPrinted(t *testing.T) {
	p := Posted{Request: Request{Login: Login{"hush", "hush", "hush"}}}
	encoded, err := json.Marshal(p.Request)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(p), fmt.Sprintf("%+v", p), fmt.Sprintf("%#v", p), fmt.Sprint(&p.Request), string(encoded)} {
		if strings.Contains(text, "hush") {
			t.Errorf("a password is shown: %s", text)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(vistaPost().body(f), "")
	f.Add(vistaPost().with("fetch_resolution_urls", []string{hourURL, weekURL}).without("remote_host_type").body(f), "header")
	f.Add(vistaPost().with("fetch_resolution_urls", `"["http://h/render?target=alias(a.b,'c d')"]"`).body(f), "")
	f.Add(plainPost().with("from", "-7d").with("until", 1_699_999_999).with("step", "10m").body(f), "")
	f.Add(plainPost().with("from", "2023-01-01").with("step", 3600).with("dry_run", true).with("sink", "s").body(f), "")
	f.Add([]byte("\uFEFF{\"key\":\"ours\",\"key\":null}"), "")
	f.Fuzz(func(t *testing.T, body []byte, header string) {
		p, err := Decode(body, header, clock)
		if err != nil {
			if !errors.Is(err, sdk.ErrInvalid) || !reflect.DeepEqual(p, Posted{}) {
				t.Errorf("%+v with error %v", p, err)
			}
			return
		}
		if header != "" && p.Key != header {
			t.Errorf("key %q, want the header's %q", p.Key, header)
		}
		if p.Invalid != "" {
			if !reflect.DeepEqual(p.Request, Request{}) {
				t.Errorf("refused, but %+v", p.Request)
			}
			return
		}
		checkRequest(t, p.Request)
	})
}

// checkRequest holds an accepted request to what every one promises.
func checkRequest(t *testing.T, r Request) {
	t.Helper()
	if r.Kind != Graphite && r.Kind != Prometheus || r.Metric == "" || r.Target == "" || len(r.Target) > maxText {
		t.Errorf("a part is missing: %+v", r)
	}
	if until := max(r.Until, 1); r.From < 0 || r.Until < 0 || r.Until > maxTimestamp || r.From > maxTimestamp ||
		r.Until != 0 && r.From >= until || r.Step < 0 || r.Step > maxStep {
		t.Errorf("times out of bounds: %+v", r)
	}
	urls := r.URLs
	switch r.Form {
	case Vista:
		if r.Remote != "" || r.From != 0 || r.Until != 0 || r.Step != 0 || r.DryRun {
			t.Errorf("more than Vista sends: %+v", r)
		}
	case Plain:
		if len(urls) != 0 || r.Login != (Login{}) || strings.ContainsAny(r.Remote, "?#") || strings.HasSuffix(r.Remote, "/") {
			t.Errorf("not plain: %+v", r)
		}
		urls = []string{r.Remote}
	default:
		t.Errorf("no form: %+v", r)
	}
	seen := map[string]bool{}
	for _, u := range urls {
		checkURL(t, u)
		if seen[u] {
			t.Errorf("twice: %q", u)
		}
		seen[u] = true
	}
}

// checkURL holds a URL against the standard library, which must find the same host
// in it, however much the rest must be mended first.
func checkURL(t *testing.T, raw string) {
	t.Helper()
	before, _, _ := strings.Cut(raw, "?")
	u, err := url.Parse(strings.ReplaceAll(before, "%", "%25"))
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	l, err := locate(raw)
	if err != nil || u.Host != l.host || u.Scheme != l.scheme || u.User != nil || u.Hostname() == "" {
		t.Errorf("%q: %+v, error %v, but the standard library finds %+v", raw, l, err, u)
	}
	if len(raw) > maxText || strings.ContainsFunc(raw, unicode.IsControl) || l.scheme != "http" && l.scheme != "https" {
		t.Errorf("unsound: %q", raw)
	}
}
