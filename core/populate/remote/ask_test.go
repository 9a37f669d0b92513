package remote

import (
	"net/url"
	"strings"
	"testing"
)

func TestAsk(t *testing.T) {
	const render, query = "http://r:8080/render/?from=-6hours&format=json&target=", "http://r:8080/api/v1/query?query="
	tests := []struct {
		name      string
		kind      Kind
		raw, want string
	}{
		{"a plain target stays", Graphite, render + "stats.web01.cpu.user", render + "stats.web01.cpu.user"},
		{"a function stays readable", Graphite, render + "sumSeries(stats.*.cpu.user)", render + "sumSeries(stats.*.cpu.user)"},
		{"quotes and blanks", Graphite, render + `alias(a.b, "c d")`, render + "alias(a.b,%20%22c%20d%22)"},
		{"single quotes", Graphite, render + `alias(a.b,'c')`, render + "alias(a.b,%27c%27)"},
		{"what looks like a parameter is of the target", Graphite, render + "a&from=-1days&b", render + "a%26from%3D-1days%26b"},
		{"a second target is of the target", Graphite, render + "a&target=b", render + "a%26target%3Db"},
		{"plus, percent and hash", Graphite, render + "a+b%2Fc#d", render + "a%2Bb%252Fc%23d"},
		{"braces and unicode", Graphite, render + "{a,b}.température", render + "%7Ba,b%7D.temp%C3%A9rature"},
		{"a render without target stays", Graphite, "http://r/render/?first", "http://r/render/?first"},
		{"a range of Prometheus", Prometheus, query + "node_load1[15d]", query + "node_load1%5B15d%5D"},
		{"what is quoted stays", Prometheus, query + "x%7Bcpu%3D~%22%5B0-3%5D%22%7D[15d]", query + "x%7Bcpu%3D~%22%5B0-3%5D%22%7D%5B15d%5D"},
		{"a subquery", Prometheus, query + "rate%28x%5B5m%5D%29[1h:1m]", query + "rate%28x%5B5m%5D%29%5B1h:1m%5D"},
		{"no range", Prometheus, query + "node_load1", query + "node_load1"},
	}
	for _, test := range tests {
		got, err := Ask(test.kind, test.raw)
		if got != test.want || err != nil {
			t.Errorf("%s: Ask(%q) = %q, %v; want %q", test.name, test.raw, got, err, test.want)
		}
	}
}

func TestNarrow(t *testing.T) {
	const now = 1700006435
	query := func(text string) string { return "http://r/prom/api/v1/query?query=" + text }
	tests := []struct {
		name       string
		raw        string
		since      int64
		want       string
		wantSpan   int64
		wantNoSpan bool
	}{
		{"a day behind", query("node_load1[15d]"), now - 86400, query("node_load1[1442m]"), 1442 * 60, false},
		{"minutes behind", query("node_load1%5B15d%5d"), now - 335, query("node_load1%5B7m%5d"), 7 * 60, false},
		{"nothing behind", query("x[15d]"), now, query("x[2m]"), 2 * 60, false},
		{"ahead", query("x[15d]"), now + 600, query("x[2m]"), 2 * 60, false},
		{"shorter already", query("x[1h]"), now - 7200, query("x[1h]"), 3600, false},
		{"just as long", query("x[1442m]"), now - 86400, query("x[1442m]"), 1442 * 60, false},
		{"compound", query("x[1d12h30m]"), now - 100*86400, query("x[1d12h30m]"), 36*3600 + 1800, false},
		{"a regex with brackets", query("x%7Bcpu%3D~%22%5B0-3%5D%22%7D[15d]"), now - 335, query("x%7Bcpu%3D~%22%5B0-3%5D%22%7D[7m]"), 7 * 60, false},
		{"a regex with brackets and no range", query("x%7Bcpu%3D~%22%5B0-3%5D%22%7D"), now - 335, query("x%7Bcpu%3D~%22%5B0-3%5D%22%7D"), 0, true},
		{"no range", query("sum(rate(x[5m]))"), now - 335, query("sum(rate(x[5m]))"), 0, true},
		{"a subquery", query("x[15d:1m]"), now - 335, query("x[15d:1m]"), 0, true},
		{"no unit", query("x[5]"), now - 335, query("x[5]"), 0, true},
		{"another parameter behind", query("x[15d]") + "&timeout=5s", now - 335, query("x[7m]") + "&timeout=5s", 7 * 60, false},
		{"a range far too long", query("x[99999999999999999999d]"), now - 335, query("x[99999999999999999999d]"), 0, true},
		{"query_range", "http://r/api/v1/query_range?query=x[15d]", now - 335, "http://r/api/v1/query_range?query=x[15d]", 0, true},
	}
	for _, test := range tests {
		got := Narrow(test.raw, test.since, now)
		if got != test.want {
			t.Errorf("%s: Narrow(%q) = %q, want %q", test.name, test.raw, got, test.want)
		}
		from, until, ok := Span(Prometheus, got, now)
		if ok == test.wantNoSpan || ok && (until != now || until-from != test.wantSpan) {
			t.Errorf("%s: Span(%q) = %d, %d, %v; want %d before %d", test.name, got, from, until, ok, test.wantSpan, now)
		}
	}
}

func TestSpan(t *testing.T) {
	const now, minute = 1700006435, 60
	tests := []struct {
		kind        Kind
		parameters  string
		from, until int64
		no          bool
	}{
		{Graphite, "from=-90days&until=-7days&format=json&target=a", now - 90*day, now - 7*day, false},
		{Graphite, "from=-24hours&format=json&target=a", now - 24*hour, now, false},
		{Graphite, "from=-6h&until=now&target=a", now - 6*hour, now, false},
		{Graphite, "from=-10minutes", now - 10*minute, now, false},
		{Graphite, "from=now-2weeks", now - 14*day, now, false},
		{Graphite, "from=-1mon", now - 30*day, now, false},
		{Graphite, "from=-1y", now - 365*day, now, false},
		{Graphite, "from=-1d12h", now - 36*hour, now, false},
		{Graphite, "from=-1DAY", now - day, now, false},
		{Graphite, "from=1700000000&until=1700000600", 1700000000, 1700000600, false},
		{Graphite, "from=%2D1d", now - day, now, false},
		{Graphite, "format=json&target=a&from=-1d", 0, 0, true},
		{Graphite, "from=20231114", 0, 0, true},
		{Graphite, "from=noon", 0, 0, true},
		{Graphite, "from=-6&until=-d", 0, 0, true},
		{Graphite, "from=-6months6", 0, 0, true},
		{Graphite, "from=-1d&until=-2d", 0, 0, true},
		{Graphite, "from=-1d&until=noon", 0, 0, true},
		{Graphite, "from=-100y", 0, 0, true},
		{Graphite, "first", 0, 0, true},
		{Prometheus, "query=x%5B15d%5D", now - 15*day, now, false},
		{Prometheus, "query=x[15d]&time=1700000000", 1700000000 - 15*day, 1700000000, false},
		{Prometheus, "query=x[15d]&time=1700000000.999", 1700000000 - 15*day, 1700000000, false},
		{Prometheus, "query=x[15d]&time=2023-11-14T00:00:00Z", 0, 0, true},
		{Prometheus, "query=x[1000y]", 0, 0, true},
		{Prometheus, "query=x", 0, 0, true},
	}
	paths := map[Kind]string{Graphite: "http://r/render/?", Prometheus: "http://r/api/v1/query?"}
	for _, test := range tests {
		from, until, ok := Span(test.kind, paths[test.kind]+test.parameters, now)
		if ok == test.no || ok && (from != test.from || until != test.until) {
			t.Errorf("Span(%q) = %d, %d, %v; want %d, %d, %v", test.parameters, from, until, ok, test.from, test.until, !test.no)
		}
	}
	from, until, ok := Span(Prometheus, "http://r/api/v1/query_range?query=x&start=5&end=9.5&step=1", now)
	if from != 5 || until != 9 || !ok {
		t.Errorf("Span of a query_range = %d, %d, %v", from, until, ok)
	}
}

func TestAsOf(t *testing.T) {
	tests := []struct {
		kind      Kind
		url, want string
	}{
		{Graphite, "http://r/render/?from=-6hours&target=a", "http://r/render/?from=-6hours&target=a&now=1700006435"},
		{Graphite, "http://r/render/?from=-6hours&now=5&target=a", "http://r/render/?from=-6hours&now=5&target=a"},
		{Graphite, "http://r/render", "http://r/render?now=1700006435"},
		{Prometheus, "http://r/api/v1/query?query=x%5B1d%5D", "http://r/api/v1/query?query=x%5B1d%5D&time=1700006435"},
		{Prometheus, "http://r/api/v1/query?query=x&time=5", "http://r/api/v1/query?query=x&time=5"},
		{Prometheus, "http://r/api/v1/query_range?query=x&start=1&end=2&step=1", "http://r/api/v1/query_range?query=x&start=1&end=2&step=1"},
	}
	for _, test := range tests {
		if got := AsOf(test.kind, test.url, 1700006435); got != test.want {
			t.Errorf("AsOf(%q) = %q, want %q", test.url, got, test.want)
		}
	}
}

// A target goes through Ask to the remote as it was, and nothing of it becomes
// another parameter.
func FuzzAsk(f *testing.F) {
	f.Add("from=-6hours&format=json", `alias(a.b,"c d")&from=%2F+#é`)
	f.Add("", "x\x00\n")
	f.Fuzz(func(t *testing.T, before, target string) {
		if strings.Contains(before, "target=") || strings.ContainsAny(before, "#") {
			return
		}
		asked, err := Ask(Graphite, "http://r/render/?"+before+"&target="+target)
		if err != nil {
			return
		}
		p, err := locate(asked)
		if err != nil {
			t.Fatal(err)
		}
		got, err := url.ParseQuery("target=" + p.url.RawQuery[strings.LastIndex(p.url.RawQuery, "target=")+7:])
		if err != nil || len(got) != 1 || len(got["target"]) != 1 || got.Get("target") != target {
			t.Errorf("target %q arrives as %q, %v", target, got, err)
		}
		if !strings.HasPrefix(asked, "http://r/render/?"+before+"&target=") {
			t.Errorf("what stands before the target changed: %q", asked)
		}
	})
}

func FuzzSpan(f *testing.F) {
	f.Add("http://r/render/?from=-90days&until=-7days&target=a")
	f.Add("http://r/api/v1/query?query=x[1d12h]&time=5.5")
	f.Add("http://r/api/v1/query_range?start=1&end=2")
	f.Fuzz(func(t *testing.T, raw string) {
		for _, kind := range []Kind{Graphite, Prometheus} {
			from, until, ok := Span(kind, raw, 1700006435)
			if ok && (from < 0 || until < from || until > maxTimestamp) {
				t.Errorf("Span(%s, %q) = %d, %d", kind, raw, from, until)
			}
		}
		narrow := Narrow(raw, 1700000000, 1700006435)
		if again := Narrow(narrow, 1700000000, 1700006435); again != narrow {
			t.Errorf("Narrow(%q) = %q, and then %q", raw, narrow, again)
		}
	})
}
