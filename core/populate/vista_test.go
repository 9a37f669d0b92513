package populate

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"fluxgate/testdata/servers"
)

// asVista returns what Vista makes of a list of URLs that hold no single quote,
// nor anything that Python would escape.
func asVista(urls ...string) string { return `"['` + strings.Join(urls, "', '") + `']"` }

// quoted puts text in quotes, and what comes of it again, n times.
func quoted(n int, text string) string {
	for range n {
		text = strconv.Quote(text)
	}
	return text
}

func TestVista(t *testing.T) {
	got := sound(t, "all nine", vistaPost().with("token", "T").with("user", "U").with("password", "P").body(t))
	want := Request{
		Form: Vista, Kind: Graphite, Target: "web.load", URLs: []string{hourURL}, Metric: "far.web.load", Login: Login{"T", "U", "P"},
	}
	if !reflect.DeepEqual(got, want) || got.Login != want.Login {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// What Vista's fetcher was seen to send, for hosts of our own.
func TestVistaWindows(t *testing.T) {
	const graphite, prometheus = "http://graphs.example.net:8080/render/?", "http://prom.example.net:9090/api/v1/query?query="
	for _, c := range []struct {
		name, kind, target string
		urls               []string
	}{
		{"new, four windows in no order", Graphite, "s.web.cpu", []string{
			graphite + "from=-30days&until=-5days&format=json&target=s.web.cpu", graphite + "from=-12hours&until=-3hours&format=json&target=s.web.cpu",
			graphite + "from=-5days&until=-12hours&format=json&target=s.web.cpu", graphite + "from=-3hours&format=json&target=s.web.cpu"}},
		{"new, a function", Graphite, "averageSeries(s.*.cpu)", []string{graphite + "from=-3days&format=json&target=averageSeries(s.*.cpu)"}},
		{"new, windows configured as a text by mistake", Graphite, "s.a", []string{
			graphite + "from=-3&until=-d&format=json&target=s.a", graphite + "from=-y&until=-s&format=json&target=s.a",
			graphite + "from=-s&format=json&target=s.a", graphite + "from=-a&until=-y&format=json&target=s.a"}},
		{"new, labels quoted for a URL", Prometheus, `up{job="a/b",instance="c:1"}`, []string{
			prometheus + "up%7Bjob%3D%22a/b%22%2Cinstance%3D%22c%3A1%22%7D[15d]"}},
		{"new, ranges configured as a text by mistake", Prometheus, "up", []string{prometheus + "up[3]", prometheus + "up[0]"}},
		{"new, two ranges", Prometheus, "up", []string{prometheus + "up[3h]", prometheus + "up[20d]"}},
		{"not ASCII", Graphite, "wärme.°C", []string{graphite + "from=-3hours&format=json&target=wärme.°C"}},
		{"known, an hour behind", Graphite, "s.a", []string{graphite + "from=1699996400&format=json&target=s.a"}},
		{"known, days behind", Graphite, "s.a", []string{graphite + "from=-5days&until=-12hours&format=json&target=s.a",
			graphite + "from=-12hours&until=-3hours&format=json&target=s.a", graphite + "from=1699989200&format=json&target=s.a"}},
		{"known, months behind", Graphite, "s.a", []string{graphite + "from=-30days&until=-5days&format=json&target=s.a",
			graphite + "from=-5days&until=-12hours&format=json&target=s.a", graphite + "from=1699989200&format=json&target=s.a"}},
		{"known, nothing in Redis", Graphite, "s.a", []string{
			graphite + "from=-12hours&until=-3hours&format=json&target=s.a", graphite + "from=-3hours&format=json&target=s.a"}},
	} {
		o := vistaPost().with("remote_host_type", c.kind).with("remote_target", c.target).with("fetch_resolution_urls", asVista(c.urls...))
		got := sound(t, c.name, o.body(t))
		if got.Kind != c.kind || got.Target != c.target || !slices.Equal(got.URLs, c.urls) {
			t.Errorf("%s: got %+v, want the URLs %q", c.name, got, c.urls)
		}
		got = sound(t, c.name+", type guessed", o.without("remote_host_type").body(t))
		if got.Kind != c.kind {
			t.Errorf("%s: guessed %q, want %q", c.name, got.Kind, c.kind)
		}
	}
}

func TestVistaMembers(t *testing.T) {
	o := vistaPost()
	for name, ok := range map[string]object{
		"empty prefix":             o.with("namespace_prefix", ""),
		"null prefix":              o.with("namespace_prefix", nil),
		"no token":                 o.without("token"),
		"no user":                  o.without("user"),
		"no password":              o.without("password"),
		"null login":               o.with("token", nil).with("user", nil).with("password", nil),
		"empty login":              o.with("token", "").with("user", "").with("password", ""),
		"a member of another time": o.with("api_key", 1),
	} {
		if got := sound(t, name, ok.body(t)); got.Login != (Login{}) || len(got.URLs) != 1 {
			t.Errorf("%s: got %#v with %q", name, got.Login.User, got.URLs)
		}
	}
	for _, c := range []struct {
		name string
		o    object
		want string
	}{
		{"no target", o.without("remote_target"), "remote_target is missing"},
		{"null target", o.with("remote_target", nil), "remote_target is missing"},
		{"empty target", o.with("remote_target", ""), "remote_target is missing"},
		{"target is no text", o.with("remote_target", 1), "remote_target is no text: put it in quotes"},
		{"no metric", o.without("metric"), "metric is missing"},
		{"empty metric", o.with("metric", ""), "metric is missing"},
		{"metric is no text", o.with("metric", []string{"a"}), "metric is no text"},
		{"no prefix", o.without("namespace_prefix"), "namespace_prefix is missing: it may be empty"},
		{"token is no text", o.with("token", 1), "token is no text"},
		{"password is no text", o.with("password", object{}), "password is no text"},
		{"a login without end", o.with("user", strings.Repeat("x", maxText+1)), "user is longer than"},
		{"the key alone", object{"key": "ours"}, "a plain request has source"},
	} {
		unsound(t, c.name, c.o.body(t), c.want)
	}
}

func TestVistaKind(t *testing.T) {
	const shapeless = "remote_host_type is missing, and the URLs do not tell it: use graphite or prometheus"
	for _, c := range []struct {
		name, url string
		want      string // of a request without remote_host_type; empty: refused
	}{
		{"render", "http://h/render?target=a", Graphite},
		{"render with a slash", "http://h/render/?from=-1h&target=a b", Graphite},
		{"render below a prefix", "http://h/graphs/render?from=1&target=x", Graphite},
		{"query", "http://h/api/v1/query?query=up[1d]", Prometheus},
		{"query below a prefix", "http://h/prom/api/v1/query/?query=up[1d]", Prometheus},
		{"render without a target", "http://h/render?from=1", ""},
		{"render with something like a target", "http://h/render?subtarget=a", ""},
		{"another page", "http://h/latest/?target=a", ""},
		{"a name that ends like it", "http://h/surrender?target=a", ""},
		{"the target alone looks like it", "http://h/x?y=/api/v1/query", ""},
		{"no path", "http://h?target=a", ""},
	} {
		o := vistaPost().with("fetch_resolution_urls", []string{c.url})
		for _, none := range []object{o.without("remote_host_type"), o.with("remote_host_type", nil),
			o.with("remote_host_type", ""), o.with("remote_host_type", "None")} {
			if c.want == "" {
				unsound(t, c.name, none.body(t), shapeless)
			} else if got := sound(t, c.name, none.body(t)); got.Kind != c.want {
				t.Errorf("%s: got %q, want %q", c.name, got.Kind, c.want)
			}
		}
		if got := sound(t, c.name+", told", o.with("remote_host_type", "prometheus").body(t)); got.Kind != Prometheus {
			t.Errorf("%s: told prometheus, got %q", c.name, got.Kind)
		}
	}
	o := vistaPost()
	untold := o.without("remote_host_type")
	const query, page = "http://h/api/v1/query?query=up", "http://h/page"
	unsound(t, "two kinds", untold.with("fetch_resolution_urls", []string{hourURL, query}).body(t), shapeless)
	unsound(t, "two kinds and back", untold.with("fetch_resolution_urls", []string{hourURL, query, hourURL + "2"}).body(t), shapeless)
	unsound(t, "one tells nothing", untold.with("fetch_resolution_urls", []string{hourURL, page}).body(t), shapeless)
	unsound(t, "the first tells nothing", untold.with("fetch_resolution_urls", []string{page, hourURL}).body(t), shapeless)
	unsound(t, "no URLs", untold.with("fetch_resolution_urls", "[]").body(t), shapeless)
	unsound(t, "unknown", o.with("remote_host_type", "influx").body(t), `remote_host_type "influx" is unknown: use graphite or prometheus`)
	unsound(t, "capital", o.with("remote_host_type", "Graphite").body(t), `remote_host_type "Graphite" is unknown`)
	unsound(t, "no text", o.with("remote_host_type", 1).body(t), "remote_host_type is no text")
}

func TestVistaURLs(t *testing.T) {
	const single, double = `http://h/render?target=alias(a.b,'c')`, `http://h/render?target=alias(a.b,"c")`
	const both, slash = `http://h/render?target=f('a',"b")`, `http://h/render?target=f(a,'\d')`
	for _, c := range []struct {
		name string
		urls any
		want []string
	}{
		{"as Vista sends it", asVista(hourURL, weekURL), []string{hourURL, weekURL}},
		{"double quotes in a target", `"['` + double + `']"`, []string{double}},
		{"single quotes in a target", `"["` + single + `"]"`, []string{single}},
		{"one of each", `"["` + single + `", '` + double + `']"`, []string{single, double}},
		{"both in one", `"['http://h/render?target=f(\'a\',"b")']"`, []string{both}},
		{"a backslash, doubled by Python", `"["http://h/render?target=f(a,'\\d')"]"`, []string{slash}},
		{"Python's escapes", `"['http://h/\xe9\u20ac\U0001f600']"`, []string{"http://h/é€😀"}},
		{"one level", `['` + hourURL + `', '` + weekURL + `']`, []string{hourURL, weekURL}},
		{"a tuple", `('` + hourURL + `', '` + weekURL + `')`, []string{hourURL, weekURL}},
		{"a tuple of one", `"('` + hourURL + `',)"`, []string{hourURL}},
		{"single quotes around it", `'["` + hourURL + `"]'`, []string{hourURL}},
		{"white space around it", "\n \"['" + hourURL + "']\" \n", []string{hourURL}},
		{"of an older Python", `"[u'` + hourURL + `']"`, []string{hourURL}},
		{"JSON array", []string{hourURL, double, single, both, slash}, []string{hourURL, double, single, both, slash}},
		{"text of a JSON array", `["` + hourURL + `", "http:\/\/h\/\ud83d\ude00"]`, []string{hourURL, "http://h/😀"}},
		{"text of a JSON string of a JSON array", `"[\"` + hourURL + `\"]"`, []string{hourURL}},
		{"quoted again by Python", `'"[\'` + hourURL + `\']"'`, []string{hourURL}},
		{"quoted three times", quoted(3, `["`+hourURL+`"]`), []string{hourURL}},
		{"each once, in order", []string{weekURL, hourURL, weekURL, hourURL}, []string{weekURL, hourURL}},
		{"empty tuple", "()", nil},
		{"empty list", "[]", nil},
		{"empty list as Vista would send it", `"[]"`, nil},
		{"empty tuple as Vista would send it", `"()"`, nil},
		{"empty JSON array", []string{}, nil},
	} {
		got := sound(t, c.name, vistaPost().with("fetch_resolution_urls", c.urls).body(t))
		if !slices.Equal(got.URLs, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got.URLs, c.want)
		}
	}
}

func TestVistaURLsRefused(t *testing.T) {
	many := make([]string, maxElements+1)
	for i := range many {
		many[i] = fmt.Sprint("http://h/", i)
	}
	const none = "fetch_resolution_urls is no list of URLs"
	for _, c := range []struct {
		name string
		urls any
		want string
	}{
		{"null", nil, "fetch_resolution_urls is missing"},
		{"None", "None", none},
		{"None in quotes", `"None"`, none},
		{"empty text", "", none},
		{"quotes alone", `""`, none},
		{"one quote", `"`, none},
		{"code", "os.system", none},
		{"a call", "list('a')", none},
		{"a URL alone", hourURL, none},
		{"a URL in parentheses, the trap of Python's tuples", `"('` + hourURL + `')"`, none},
		{"a number", 1, none},
		{"an object", object{"a": "b"}, none},
		{"a list of numbers", `"[1]"`, none},
		{"a JSON array of numbers", []int{1}, none},
		{"a list of lists", [][]string{{hourURL}}, none},
		{"cut off", `"['` + hourURL + `'`, none},
		{"more quotes than anyone has use for", quoted(5, `["`+hourURL+`"]`), none},
		{"letters around it", `x['` + hourURL + `']x`, none},
		{"too long", strings.Repeat(" ", 10) + `["` + strings.Repeat("a", maxList) + `"]`, "longer than 1048576 bytes"},
		{"too many in JSON", many, "more than 10000 elements"},
		{"too many in Python", asVista(many...), "more than 10000 elements"},
		{"null among them", []any{hourURL, nil}, "fetch_resolution_urls: URL 2 begins with neither http:// nor https://"},
		{"a file", asVista("file:///etc/hostname"), "fetch_resolution_urls: URL 1 begins with neither http:// nor https://"},
		{"not the first", asVista(hourURL, "gopher://h"), "fetch_resolution_urls: URL 2 begins with neither"},
		{"no host", asVista("http:///render"), "fetch_resolution_urls: URL 1 names no host"},
		{"a password", asVista("http://who:what@h/render"), "URL 1 holds a user: name it under populate.remotes"},
		{"a line break", `"['http://h/\n']"`, "URL 1 holds a control character"},
		{"a long one", asVista("http://h/" + strings.Repeat("a", maxText)), "URL 1 is longer than 16384 bytes"},
	} {
		unsound(t, c.name, vistaPost().with("fetch_resolution_urls", c.urls).body(t), c.want)
	}
	unsound(t, "missing", vistaPost().without("fetch_resolution_urls").body(t), "fetch_resolution_urls is missing")
	full := sound(t, "as many as may be", vistaPost().with("fetch_resolution_urls", many[1:]).body(t))
	if len(full.URLs) != maxElements {
		t.Errorf("as many as may be: got %d", len(full.URLs))
	}
}

// Python itself writes the posts, in the way that Vista does.
func TestVistaPostsOfPython(t *testing.T) {
	var want [][]string
	for _, list := range oddLists(500) {
		for i, odd := range list {
			list[i] = "http://h/render?target=" + strings.Map(func(r rune) rune {
				if r < ' ' || r >= 0x7f && r < 0xa0 {
					return ' '
				}
				return r
			}, odd)
		}
		slices.Sort(list)
		want = append(want, slices.Compact(list))
	}
	in, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	out := servers.Python(t, `
import json, sys
for urls in json.load(sys.stdin):
    print(json.dumps({'remote_host_type': 'graphite', 'remote_target': 'a', 'metric': 'a', 'namespace_prefix': '',
        'key': 'ours', 'token': str(None), 'user': str(None), 'password': str(None),
        'fetch_resolution_urls': '"' + str(urls) + '"'}))
`, string(in))
	bodies := strings.Split(strings.TrimSpace(out), "\n")
	if len(bodies) != len(want) {
		t.Fatalf("%d posts, want %d", len(bodies), len(want))
	}
	for i, body := range bodies {
		if got := sound(t, body, []byte(body)); !slices.Equal(got.URLs, want[i]) {
			t.Errorf("%s: got %q, want %q", body, got.URLs, want[i])
		}
	}
}
