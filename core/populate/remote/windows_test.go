package remote

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"fluxgate/sdk"
)

func TestSelector(t *testing.T) {
	for _, text := range []string{
		"node_load1", "a:b:c", " up ", "{job='x'}", `x{a="b"}`, `x { a = "b" , c!="d", e=~"[0-3]+", f!~'}', }`,
		"x{a=`b\\`}", `x{a="\"}"}`, "sum", "_x9",
	} {
		if !isSelector(text) {
			t.Errorf("%q is a selector", text)
		}
	}
	for _, text := range []string{
		"", "1", "9x", "inf", "NaN", "{}", "x{", "x}", "x{a}", `x{a="b"`, `x{a="b"}[5m]`, "x[5m]", "rate(x[5m])", "a + b", "a b",
		"x offset 5m", "x @ 5", `x{a="b"} or y`, `x{,}`, `x{a="b",,}`, `{"a.b"}`, `x{a:b="c"}`, "a.b", "-x", "x{a='\n'}", `x{a="\`, "'x'", "x # comment",
	} {
		if isSelector(text) {
			t.Errorf("%q is not surely a selector", text)
		}
	}
}

func FuzzSelector(f *testing.F) {
	f.Add(`x { a = "b" , c!="d", e=~"[0-3]+", f!~'}', }`)
	f.Fuzz(func(t *testing.T, text string) {
		if isSelector(text) && (isSelector(text+"[5m]") || isSelector("("+text+")") || isSelector(text+"}")) {
			t.Errorf("%q is taken for a selector", text)
		}
	})
}

func TestWindows(t *testing.T) {
	const now = 1700006400
	windows, err := Windows(Graphite, "http://r/graphite/", `alias(a.b, "c")`, now-100*day, now, now, 60, "")
	if err != nil {
		t.Fatal(err)
	}
	begins := []int64{now - 100*day, now - 90*day + hour, now - 30*day + hour, now - 7*day + hour, now - day + hour, now - 5*hour, now}
	if len(windows) != len(begins)-1 {
		t.Fatalf("%d windows, want %d: %v", len(windows), len(begins)-1, windows)
	}
	for i, w := range windows {
		if w.From != begins[i] || w.Until != begins[i+1] || w.Shift != 0 {
			t.Errorf("window %d is %+v, want it from %d to %d", i, w, begins[i], begins[i+1])
		}
	}
	want := "http://r/graphite/render/?from=1699988399&until=1700006399&format=json&target=alias(a.b,%20%22c%22)"
	if got := windows[len(windows)-1].URL; got != want {
		t.Errorf("the last is %q, want %q", got, want)
	}

	// No interval is cut, and no window begins where its archive has ended.
	for _, step := range []int64{1, 60, 300, 7 * 60, 86400, 7 * 86400, maxTimestamp} {
		windows, err = Windows(Graphite, "http://r", "a", 1, now+5, now+5, step, "")
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range windows[1:] {
			if w.From != windows[i].Until || w.From%step != 0 || w.From%hour != 0 || w.From >= w.Until {
				t.Errorf("step %d: %+v after %+v", step, w, windows[i])
			}
		}
	}

	windows, err = Windows(Graphite, "http://r", "a", now-120, now, now, 60, "")
	if err != nil || len(windows) != 1 || windows[0].URL != "http://r/render/?from=1700006279&until=1700006399&format=json&target=a" {
		t.Errorf("two minutes: %v, %v", windows, err)
	}
}

func TestWindowsOfASelector(t *testing.T) {
	windows, err := Windows(Prometheus, "https://r:9090/prom", ` x{a="b"} `, 1700000000, 1700000000+2*day+60, 0, 60, "avg_over_time")
	if err != nil || len(windows) != 3 {
		t.Fatal(windows, err)
	}
	want := []string{
		"query=x%7Ba%3D%22b%22%7D%5B86400s%5D&time=1700086399.999",
		"query=x%7Ba%3D%22b%22%7D%5B86400s%5D&time=1700172799.999",
		"query=x%7Ba%3D%22b%22%7D%5B60s%5D&time=1700172859.999",
	}
	for i, w := range windows {
		if w.URL != "https://r:9090/prom/api/v1/query?"+want[i] || w.Shift != 0 {
			t.Errorf("window %d is %+v, want %q", i, w, want[i])
		}
		from, until, ok := Span(Prometheus, w.URL, 5)
		if !ok || from != w.From-1 || until != w.Until-1 {
			t.Errorf("window %+v spans %d to %d, %v", w, from, until, ok)
		}
	}
}

func TestWindowsOfASelectorCutNoInterval(t *testing.T) {
	for step, width := range map[int64]int64{60: day, 7 * 60: 205 * 7 * 60, day: day, 7 * day: 7 * day} {
		windows, err := Windows(Prometheus, "http://r", "x", 1, 1+21*day, 0, step, "")
		if err != nil || windows[0].Until-windows[0].From != width {
			t.Errorf("step %d: %+v, %v; want windows of %d", step, windows[0], err, width)
		}
	}
}

func TestWindowsOfAnExpression(t *testing.T) {
	const from, until = 1700000040, 1700000040 + 25_000*60
	tests := []struct {
		name, over, query string
		step, res, shift  int64
		windows           int
	}{
		{"over time", "avg_over_time", "avg_over_time((rate(x[5m]))[60s:15s])", 60, 60, 60, 3},
		{"plain", "", "rate(x[5m])", 60, 15, 0, 10},
		{"plain, by seconds", "", "rate(x[5m])", 7, 1, 0, 151},
		{"over a time that is shorter than four seconds", "max_over_time", "max_over_time((rate(x[5m]))[3s:1s])", 3, 3, 3, 50},
	}
	for _, test := range tests {
		windows, err := Windows(Prometheus, "http://r", "rate(x[5m])", from, until, until, test.step, test.over)
		if err != nil || len(windows) != test.windows {
			t.Errorf("%s: %d windows, %v, want %d", test.name, len(windows), err, test.windows)
			continue
		}
		next := int64(from)
		for _, w := range windows {
			u, _ := url.Parse(w.URL)
			q := u.Query()
			if u.Path != "/api/v1/query_range" || q.Get("query") != test.query || w.Shift != test.shift {
				t.Errorf("%s: %+v asks for %q", test.name, w, q)
			}
			start, _ := strconv.ParseInt(q.Get("start"), 10, 64)
			end, _ := strconv.ParseInt(q.Get("end"), 10, 64)
			step, _ := strconv.ParseInt(q.Get("step"), 10, 64)
			if (w.From-from)%test.step != 0 {
				t.Errorf("%s: %+v cuts an interval of %d", test.name, w, test.step)
			}
			if step != test.res || (end-start)/step > maxSteps || w.From != next || start-w.Shift != w.From {
				t.Errorf("%s: %+v from %d on, by steps of %d", test.name, w, next, step)
			}
			if last := start + (end-start)/step*step - w.Shift; last >= w.Until || last+step < w.Until {
				t.Errorf("%s: the last step of %+v is at %d", test.name, w, last)
			}
			next = w.Until
		}
		if next != until {
			t.Errorf("%s: the windows end at %d, want %d", test.name, next, int64(until))
		}
	}
}

func TestWindowsRefused(t *testing.T) {
	tests := []struct {
		name, base, target string
		from, until, step  int64
		over, want         string
	}{
		{"no URL", "r", "x", 1, 2, 1, "", "http"},
		{"parameters", "http://r/?a=b", "x", 1, 2, 1, "", "parameters"},
		{"no target", "http://r", " ", 1, 2, 1, "", "target"},
		{"nothing", "http://r", "x", 2, 2, 1, "", "range"},
		{"before time", "http://r", "x", 0, 2, 1, "", "range"},
		{"beyond whisper", "http://r", "x", 1, 1<<32 + 1, 60, "", "range"},
		{"no step", "http://r", "x", 1, 2, 0, "", "range"},
		{"not over time", "http://r", "x+y", 1, 2, 1, "sum(x) or avg", "avg_over_time"},
		{"too many", "http://r", "x+y", 1, 1 << 32, 1, "", "split"},
	}
	for _, test := range tests {
		_, err := Windows(Prometheus, test.base, test.target, test.from, test.until, 5, test.step, test.over)
		if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if _, err := Windows("carbon", "http://r", "x", 1, 2, 5, 1, ""); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("a kind that is none: %v", err)
	}
}
