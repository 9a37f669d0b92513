package populate

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestPlain(t *testing.T) {
	full := object{
		"key": "ours", "metric": "far.web.load", "from": 1_690_000_000, "until": "2023-11-01T00:00:00+01:00", "step": "60s",
		"resampler": "max", "sink": "carbon", "dry_run": true,
		"source": object{"type": "prometheus", "url": "https://p.example.net:9090/prom/", "target": `rate(x{a="b"}[5m])`},
	}
	want := Request{
		Form: Plain, Kind: Prometheus, Remote: "https://p.example.net:9090/prom", Target: `rate(x{a="b"}[5m])`,
		Metric: "far.web.load", From: 1_690_000_000, Until: 1_698_793_200, Step: 60, Resampler: "max", Sink: "carbon", DryRun: true,
	}
	if got := sound(t, "everything", full.body(t)); !reflect.DeepEqual(got, want) {
		t.Errorf("everything: got %+v, want %+v", got, want)
	}
	want = Request{Form: Plain, Kind: Graphite, Remote: "http://graphs.example.net", Target: "web.load", Metric: "far.web.load"}
	least := plainPost()
	for name, o := range map[string]object{
		"the least": least,
		"null is the same as nothing": least.with("from", nil).with("until", nil).with("step", nil).
			with("resampler", nil).with("sink", nil).with("dry_run", nil),
		"no dry run": least.with("dry_run", false),
	} {
		if got := sound(t, name, o.body(t)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

func TestPlainTimes(t *testing.T) {
	now := clock.Unix()
	for _, c := range []struct {
		name string
		from any
		want int64
		err  string
	}{
		{name: "Unix seconds", from: 1_600_000_000, want: 1_600_000_000},
		{name: "Unix seconds as text", from: "1600000000", want: 1_600_000_000},
		{name: "the first", from: 1, want: 1},
		{name: "RFC 3339", from: "2023-11-14T00:00:00Z", want: 1_699_920_000},
		{name: "RFC 3339, elsewhere", from: "2023-11-14T05:30:00+05:30", want: 1_699_920_000},
		{name: "RFC 3339, parts of a second go", from: "2023-11-14T00:00:00.9Z", want: 1_699_920_000},
		{name: "a date", from: "2023-11-14", want: 1_699_920_000},
		{name: "seconds ago", from: "-90s", want: now - 90},
		{name: "m is minutes", from: "-5m", want: now - 300},
		{name: "min too", from: "-5min", want: now - 300},
		{name: "hours", from: "-6h", want: now - 6*3600},
		{name: "days", from: "-7d", want: now - 7*86400},
		{name: "days as Graphite names them", from: "-90days", want: now - 90*86400},
		{name: "weeks", from: "-2w", want: now - 14*86400},
		{name: "months have thirty days", from: "-1mon", want: now - 30*86400},
		{name: "years have 365 days", from: "-2y", want: now - 730*86400},
		{name: "several units", from: "-1d12h", want: now - 36*3600},
		{name: "from now", from: "now-1h", want: now - 3600},
		{name: "zero", from: 0, err: "is not between 1 and 4294967295"},
		{name: "before 1970", from: "1969-12-31", err: "is not between"},
		{name: "longer ago than 1970", from: "-60y", err: "is not between"},
		{name: "beyond 32 bits", from: 4_294_967_296, err: "is not between"},
		{name: "milliseconds", from: 1_600_000_000_000, err: "is not between"},
		{name: "beyond 64 bits", from: "99999999999999999999", err: "is no time: use Unix seconds, RFC 3339 such as"},
		{name: "an endless distance", from: "-4294967295y", err: "is no time: use Unix seconds, RFC 3339 such as"},
		{name: "a product that wraps around", from: "-144115188075855872d1h", err: "is no time: use Unix seconds, RFC 3339 such as"},
		{name: "a sum without end", from: "-" + strings.Repeat("135y", 100), err: "is no time: use Unix seconds, RFC 3339 such as"},
		{name: "a part of a second", from: 1.5, err: "is no time: use Unix seconds, RFC 3339 such as"},
		{name: "negative", from: -7, err: "is no time: use Unix seconds, RFC 3339 such as"},
		{name: "no unit", from: "-7", err: "is no time: use Unix seconds, RFC 3339 such as"},
		{name: "no number", from: "-d", err: "is no time: use Unix seconds, RFC 3339 such as"},
		{name: "a sign alone", from: "-", err: "is no time: use Unix seconds, RFC 3339 such as"},
		{name: "unknown unit", from: "-7fortnights", err: "is no time: use Unix seconds, RFC 3339 such as"},
		{name: "capital unit", from: "-7D", err: "is no time: use Unix seconds, RFC 3339 such as"},
		{name: "a sign inside", from: "-7d-1h", err: "is no time: use Unix seconds, RFC 3339 such as"},
		{name: "no sign", from: "7d", err: "is no time: use Unix seconds, RFC 3339 such as"},
		{name: "ahead", from: "+7d", err: "is no time: use Unix seconds, RFC 3339 such as"},
		{name: "word", from: "yesterday", err: "is no time: use Unix seconds, RFC 3339 such as"},
		{name: "no such day", from: "2023-02-30", err: "is no time: use Unix seconds, RFC 3339 such as"},
		{name: "a list", from: []int{1}, err: "is no time: use Unix seconds, RFC 3339 such as"},
		{name: "truth", from: true, err: "is no time: use Unix seconds, RFC 3339 such as"},
		{name: "now", from: "now", err: "is not before now"},
		{name: "in the future", from: now + 60, err: "is not before now"},
	} {
		body := plainPost().with("from", c.from).body(t)
		if c.err != "" {
			unsound(t, c.name, body, fmt.Sprintf("from %q %s", brief(fmt.Sprint(c.from)), c.err))
			continue
		}
		if got := sound(t, c.name, body); got.From != c.want || got.Until != 0 {
			t.Errorf("%s: from %d until %d, want from %d", c.name, got.From, got.Until, c.want)
		}
	}
}

func TestPlainRange(t *testing.T) {
	o := plainPost()
	if got := sound(t, "until alone", o.with("until", "-1d").body(t)); got.From != 0 || got.Until != clock.Unix()-86400 {
		t.Errorf("until alone: got %d to %d", got.From, got.Until)
	}
	if got := sound(t, "a second", o.with("from", 100).with("until", 101).body(t)); got.From != 100 || got.Until != 101 {
		t.Errorf("a second: got %d to %d", got.From, got.Until)
	}
	if got := sound(t, "the last", o.with("until", 4_294_967_295).body(t)); got.Until != 4_294_967_295 {
		t.Errorf("the last: until %d", got.Until)
	}
	unsound(t, "nothing between", o.with("from", 100).with("until", 100).body(t), `from "100" is not before until, "100": give an earlier one, such as "-7d"`)
	unsound(t, "backwards", o.with("from", "-1d").with("until", "-2d").body(t), `from "-1d" is not before until, "-2d": give an earlier one`)
	unsound(t, "until is judged as well", o.with("until", 0).body(t), `until "0" is not between`)
}

func TestPlainStep(t *testing.T) {
	for _, c := range []struct {
		step any
		want int64 // 0: refused
	}{
		{60, 60}, {1, 1}, {86400, 86400}, {"60", 60}, {"60s", 60}, {"10m", 600}, {"1h", 3600}, {"1d", 86400}, {"1h30min", 5400},
		{0, 0}, {86401, 0}, {-60, 0}, {1.5, 0}, {"1.5m", 0}, {"60 s", 0}, {"2d", 0}, {"-60s", 0}, {"0s", 0}, {"fast", 0}, {"500ms", 0},
		{true, 0}, {[]int{60}, 0}, {4_294_967_356, 0}, {"4294967296s", 0},
	} {
		body := plainPost().with("step", c.step).body(t)
		if c.want == 0 {
			unsound(t, "step", body, fmt.Sprintf("step %q is no step: use whole seconds from 1 to 86400", fmt.Sprint(c.step)))
		} else if got := sound(t, "step", body); got.Step != c.want {
			t.Errorf("step %v: got %d, want %d", c.step, got.Step, c.want)
		}
	}
}

func TestPlainRefused(t *testing.T) {
	o := plainPost()
	source := func(name string, value any) object { return o.with("source", o["source"].(object).with(name, value)) }
	lacking := func(name string) object { return o.with("source", o["source"].(object).without(name)) }
	for _, c := range []struct {
		name string
		o    object
		want string
	}{
		{"unknown member", o.with("untill", 1), `"untill" is unknown: did you mean "until"?`},
		{"of several the first by name", o.with("zz", 1).with("metrics", 1), `"metrics" is unknown: did you mean "metric"?`},
		{"unknown member without a name", o.with("", 1), `"" is unknown`},
		{"other case", o.with("Sink", "x"), `"Sink" is unknown: did you mean "sink"?`},
		{"Vista's member", o.with("namespace_prefix", ""), `"namespace_prefix" is unknown`},
		{"unknown member of source", source("typ", "x"), `"source.typ" is unknown: did you mean "source.type"?`},
		{"a long name is cut", o.with(strings.Repeat("x", 10_000), 1), `xxx..." is unknown`},
		{"a line break in a name does not break the line", o.with("a\nb", 1), `"a\nb" is unknown`},
		{"source is null", o.with("source", nil), "source is no object"},
		{"source is a text", o.with("source", "http://h"), "source is no object"},
		{"source is a list", o.with("source", []int{}), "source is no object"},
		{"source is empty", o.with("source", object{}), "source.type is missing"},
		{"no type", lacking("type"), "source.type is missing: it is graphite or prometheus"},
		{"unknown type", source("type", "Graphite"), `source.type "Graphite" is unknown: use graphite or prometheus`},
		{"type is no text", source("type", 1), "source.type is no text"},
		{"no url", lacking("url"), "source.url is missing"},
		{"other scheme", source("url", "file:///x"), "source.url begins with neither http:// nor https://"},
		{"no host", source("url", "http:///x"), "source.url names no host"},
		{"user", source("url", "http://u:p@h"), "source.url holds a user: name it under populate.remotes"},
		{"query", source("url", "http://h/?a"), "source.url has a query"},
		{"empty query", source("url", "http://h/?"), "source.url has a query"},
		{"number sign", source("url", "http://h/#a"), "source.url holds a number sign"},
		{"no target", lacking("target"), "source.target is missing"},
		{"empty target", source("target", ""), "source.target is missing"},
		{"long target", source("target", strings.Repeat("x", maxText+1)), "source.target is longer than 16384 bytes"},
		{"target is no text", source("target", []string{"a"}), "source.target is no text"},
		{"no metric", o.without("metric"), "metric is missing: it is the name to fill"},
		{"empty metric", o.with("metric", ""), "metric is missing"},
		{"metric is no text", o.with("metric", 1), "metric is no text: put it in quotes"},
		{"resampler is no text", o.with("resampler", 1), "resampler is no text"},
		{"sink is no text", o.with("sink", []string{"a"}), "sink is no text"},
		{"dry_run is a text", o.with("dry_run", "true"), "dry_run is neither true nor false"},
		{"dry_run is a number", o.with("dry_run", 1), "dry_run is neither true nor false"},
	} {
		unsound(t, c.name, c.o.body(t), c.want)
	}
}
