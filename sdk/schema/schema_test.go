package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

func TestPath(t *testing.T) {
	long := strings.Repeat("x", 251)
	tests := []struct{ name, metric, want string }{
		{"dots are separators", "vista.nodes.skyline-1.cpu.user", "vista/nodes/skyline-1/cpu/user.wsp"},
		{"separators in front do not count", "..a.b", "a/b.wsp"},
		{"several separators are one", "a..b./c", "a/b/c.wsp"},
		{"what looks like climbing is only dots", "../../etc/passwd", "etc/passwd.wsp"},
		{"climbing in the middle", "a/../../b", "a/b.wsp"},
		{"an absolute name", "/etc/passwd", "etc/passwd.wsp"},
		{"nothing behind the last dot", "a.", "a/.wsp"},
		{"a tilde in front", "~root", "root.wsp"},
		{"bytes that are not UTF-8", "a.\xff", "a/\xff.wsp"},
		{"the longest element", long + "." + long, long + "/" + long + ".wsp"},
	}
	for _, tt := range tests {
		got, err := Path(tt.metric)
		if got != tt.want || err != nil {
			t.Errorf("%s: Path(%q) = %q, %v; want %q", tt.name, tt.metric, got, err, tt.want)
		}
	}
}

func TestPathRefuses(t *testing.T) {
	tests := []struct{ name, metric, words string }{
		{"nothing", "", "empty"},
		{"only separators", "../.", "empty"},
		{"NUL", "a\x00b", "control character"},
		{"a second line", "a\nb", "control character"},
		{"delete", "a\x7f", "control character"},
		{"tags", "cpu;host=a", "tags"},
		{"tags in the other spelling", `cpu{host="a"}`, "tags"},
		{"last element too long with .wsp", "a." + strings.Repeat("x", 252), "longer than 255"},
		{"folder too long", strings.Repeat("x", 256) + ".a", "longer than 255"},
	}
	for _, tt := range tests {
		got, err := Path(tt.metric)
		if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: Path(%q) = %q, %v; want invalid, with the words %q", tt.name, tt.metric, got, err, tt.words)
		}
	}
}

// generate returns n texts made of the given parts.
func generate(n int, parts ...string) []string {
	random := rand.New(rand.NewPCG(1, 2))
	all := make([]string, n)
	for i := range all {
		var b strings.Builder
		for range random.IntN(9) {
			b.WriteString(parts[random.IntN(len(parts))])
		}
		all[i] = b.String()
	}
	return all
}

// ask runs a script of Python that reads JSON and prints some, and lays what it
// prints into answers.
func ask(t *testing.T, script string, questions, answers any, args ...string) {
	t.Helper()
	in, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}
	out := servers.Python(t, script, string(in), args...)
	if err := json.Unmarshal([]byte(out), answers); err != nil {
		t.Fatalf("python printed %.200q: %v", out, err)
	}
}

const pathScript = `
import json, os, sys
from carbon.util import TaggedSeries

def path(metric):
    try:
        metric = TaggedSeries.parse(metric).path  # as carbon-cache does first
    except Exception:
        pass
    return os.path.normpath(TaggedSeries.encode(metric, os.sep) + '.wsp')

json.dump([path(m) for m in json.load(sys.stdin)], sys.stdout)
`

func TestPathIsCarbons(t *testing.T) {
	servers.NeedPython(t, "carbon.util")
	metrics := generate(5000, "a", "b-c", "é", ".", "..", "/", "~", "_", " ", "=", "%", ":", "wsp", "{", `"}`, `\`)
	var want []string
	ask(t, pathScript, metrics, &want)
	accepted := 0
	for i, metric := range metrics {
		got, err := Path(metric)
		if err != nil {
			hollow := strings.Trim(metric, "./~") == ""
			tagged := strings.Contains(metric, "{") && strings.HasSuffix(metric, `"}`)
			if !hollow && !tagged {
				t.Errorf("Path(%q): %v; Carbon has %q", metric, err, want[i])
			}
			continue
		}
		accepted++
		if got != want[i] {
			t.Errorf("Path(%q) = %q; Carbon has %q", metric, got, want[i])
		}
	}
	if accepted < len(metrics)/2 {
		t.Errorf("only %d of %d names were compared", accepted, len(metrics))
	}
}

func FuzzPath(f *testing.F) {
	for _, metric := range []string{"a.b", "../../x", "/etc/passwd", "a/./../b", "~.~", "a\x00b", "", "a;b=c", "a."} {
		f.Add(metric)
	}
	f.Fuzz(func(t *testing.T, metric string) {
		path, err := Path(metric)
		if err != nil {
			if !errors.Is(err, sdk.ErrInvalid) || path != "" {
				t.Errorf("Path(%q) = %q, %v; want nothing, and an invalid error", metric, path, err)
			}
			return
		}
		if !filepath.IsLocal(path) || filepath.Clean(path) != path || !strings.HasSuffix(path, ".wsp") {
			t.Errorf("Path(%q) = %q is not a clean local path of a whisper file", metric, path)
		}
		for element := range strings.SplitSeq(path, "/") {
			if element == "" || element == "." || element == ".." || len(element) > 255 {
				t.Errorf("Path(%q) = %q has the element %q", metric, path, element)
			}
		}
	})
}

func TestParseRetentions(t *testing.T) {
	tests := []struct {
		text string
		want []Retention
		form string
	}{
		{"60s:1d,10m:7d,1h:90d", []Retention{{60, 1440}, {600, 1008}, {3600, 2160}}, "60s:1d,10m:7d,1h:90d"},
		{"60:1440", []Retention{{60, 1440}}, "60s:1d"},
		{" 1h:1y , 10s:6h ", []Retention{{10, 2160}, {3600, 8760}}, "10s:6h,1h:365d"},
		{"1d:2w", []Retention{{86400, 14}}, "1d:14d"},
		{"7s:100s", []Retention{{7, 14}}, "7s:98s"},
	}
	for _, tt := range tests {
		got, err := ParseRetentions(tt.text)
		if !slices.Equal(got, tt.want) || err != nil {
			t.Errorf("ParseRetentions(%q) = %v, %v; want %v", tt.text, got, err, tt.want)
			continue
		}
		var form []string
		for _, r := range got {
			form = append(form, r.String())
		}
		if strings.Join(form, ",") != tt.form {
			t.Errorf("%q is written as %q, want %q", tt.text, form, tt.form)
		}
	}
}

func TestParseRetentionsRefuses(t *testing.T) {
	tests := []struct{ name, text, words string }{
		{"nothing", "", "want a step and a span"},
		{"no span", "60s", "want a step and a span"},
		{"three parts", "60s:1d:2", `span "1d:2"`},
		{"a comma at the end", "60s:1d,", `retention ""`},
		{"another unit", "60s:1x", `span "1x"`},
		{"a unit alone", "s:1d", "number is missing"},
		{"a sign", "-60:1d", `step "-60"`},
		{"step of nothing", "0s:1d", "at least a second"},
		{"span below a step", "60s:59s", "at least one step"},
		{"more than 32 bits", "1s:4294967296", "2^32"},
		{"far more than 64 bits", "1s:99999999999999999999y", "2^32"},
		{"span beyond 32 bits", "2:4294967295", "2^32-1 seconds"},
		{"a file beyond 4 GiB", "1s:20y", "4 GiB"},
		{"the same step twice", "60s:1d,1m:2d", "same step"},
		{"steps that do not divide", "60s:1d,90s:7d", "does not divide"},
		{"spans that do not grow", "60s:1d,10m:1d", "reaches no further"},
		{"too few points to fill the next", "60s:5m,10m:1d", "too few points"},
	}
	for _, tt := range tests {
		got, err := ParseRetentions(tt.text)
		if err == nil || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: ParseRetentions(%q) = %v, %v; want the words %q", tt.name, tt.text, got, err, tt.words)
		}
	}
}

const retentionScript = `
import json, sys, whisper
from carbon.conf import settings
settings['CONF_DIR'] = '/nonexistent'  # carbon.storage makes names of it, and reads nothing
from carbon.storage import Archive

def parse(text):
    try:
        archives = [Archive.fromString(s).getTuple() for s in text.split(',')]
        whisper.validateArchiveList(archives)  # which also sorts them
        return archives
    except (ValueError, ZeroDivisionError, whisper.InvalidConfiguration):
        return None

json.dump([parse(s) for s in json.load(sys.stdin)], sys.stdout)
`

func TestRetentionsAreCarbons(t *testing.T) {
	servers.NeedPython(t, "whisper", "carbon.conf")
	random := rand.New(rand.NewPCG(3, 4))
	texts := generate(3000, "60", "1", "s", "m", ":", ",", "10m:1d", "d", " ", "y", "-", "2w")
	steps := []string{"1", "10s", "60", "1m", "90s", "5m", "10m", "1h", "2h", "1d", "1w", "0"}
	spans := []string{"1", "9", "60", "1440", "6h", "1d", "7d", "2w", "90d", "1y", "59s", "0", "1x"}
	for range 12000 {
		var parts []string
		for range 1 + random.IntN(3) {
			parts = append(parts, steps[random.IntN(len(steps))]+":"+spans[random.IntN(len(spans))])
		}
		texts = append(texts, strings.Join(parts, ","))
	}
	var want [][][2]int64
	ask(t, retentionScript, texts, &want)
	accepted := 0
	for i, text := range texts {
		got, err := ParseRetentions(text)
		hollow := slices.ContainsFunc(want[i], func(a [2]int64) bool { return a[0] == 0 || a[1] == 0 })
		if want[i] == nil || hollow { // Carbon lets an archive without points pass, and cannot write to it
			if err == nil {
				t.Errorf("ParseRetentions(%q) = %v; Carbon has %v", text, got, want[i])
			}
			continue
		}
		points := int64(0)
		for _, a := range want[i] {
			points += a[1]
		}
		if points*pointSize > 4<<30 { // which Carbon would make, and fill a disk with one metric
			if err == nil || !strings.Contains(err.Error(), "4 GiB") {
				t.Errorf("ParseRetentions(%q) = %v, %v; want it refused for its size", text, got, err)
			}
			continue
		}
		accepted++
		if err != nil || fmt.Sprint(pairs(got)) != fmt.Sprint(want[i]) {
			t.Errorf("ParseRetentions(%q) = %v, %v; Carbon has %v", text, pairs(got), err, want[i])
		}
	}
	if accepted < 1000 {
		t.Errorf("only %d of %d retentions were compared", accepted, len(texts))
	}
}

func pairs(all []Retention) (out [][2]int64) {
	for _, r := range all {
		out = append(out, [2]int64{r.Step, r.Count})
	}
	return out
}

func FuzzParseRetentions(f *testing.F) {
	for _, s := range []string{"60s:1d,10m:7d,1h:90d", "60:1440", "1h:1y,10s:6h", ":", ",", "0:0", "1s:99999999999y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseRetentions(s)
		if err != nil {
			return
		}
		var form []string
		for _, r := range got {
			form = append(form, r.String())
		}
		again, err := ParseRetentions(strings.Join(form, ","))
		if err != nil || !slices.Equal(got, again) {
			t.Errorf("%q is %v, which is written as %q and read as %v, %v", s, got, form, again, err)
		}
	})
}
