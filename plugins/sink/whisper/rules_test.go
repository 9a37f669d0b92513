package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

const someSchemas = `
[carbon]
pattern = ^carbon\.
retentions = 60:90d

[counts]
pattern = \.count$
retentions = 10s:6h,1m:7d,1h:1y

[weekly]
pattern = (?i)^weekly\.[a-f]+\.
retentions = 7d:10y
`

const someAggregations = `
[zero]
pattern = \.zero$
xFilesFactor = 0.1
aggregationMethod = avg_zero

[count]
pattern = \.count$
xFilesFactor = 0
aggregationMethod = sum

[widest]
pattern = ^carbon\.
aggregationMethod = absmax

[narrowest]
pattern = \.low$
aggregationMethod = absmin

[factor]
pattern = ^weekly
xFilesFactor = 0.3
`

// someFiles are metrics, with the step of the finest archive that Carbon gives
// them by these rules.
var someFiles = map[string]int64{
	"carbon.a": 60, "carbon.count": 60, "a.count": 10, "weekly.ABC.x": 7 * 86400, "weekly.xyz": 60, "a.zero": 60, "a.low": 60, "a": 60,
	"carbon.low": 60, "weekly.abc.count": 10,
}

// ruleFiles writes Carbon's two files.
func ruleFiles(t testing.TB, dir, schemas, aggregations string) (string, string) {
	t.Helper()
	paths := [2]string{filepath.Join(dir, "storage-schemas.conf"), filepath.Join(dir, "storage-aggregation.conf")}
	for i, text := range []string{schemas, aggregations} {
		if err := os.WriteFile(paths[i], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return paths[0], paths[1]
}

// A new file is, to the byte, the one that carbon-cache makes by the same rules,
// where the settings are what Carbon does without a rule.
func TestRulesMakeCarbonsFiles(t *testing.T) {
	carbon := servers.Carbon(t)
	carbon.Kill()
	schemas, aggregations := ruleFiles(t, filepath.Dir(carbon.Whisper), someSchemas, someAggregations)
	carbon.Start()
	connection, err := net.Dial("tcp", carbon.Line)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	now := time.Now().Unix()
	var batch sdk.Batch
	for metric, step := range someFiles {
		d := sdk.Datapoint{Metric: metric, Timestamp: now - now%step, Value: 1}
		batch = append(batch, d)
		if _, err := fmt.Fprintf(connection, "%s %v %d\n", d.Metric, d.Value, d.Timestamp); err != nil {
			t.Fatal(err)
		}
	}
	root := t.TempDir()
	p := start(t, root, "schemas", schemas, "aggregations", aggregations, "retentions", "60s:7d")
	must(t, p.Plugin, batch)
	carbon.Await(t, batch)
	for metric := range someFiles {
		path := strings.ReplaceAll(metric, ".", "/") + ".wsp"
		got, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(carbon.Whisper, path))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes that begin with % x; Carbon's file has %d and begins with % x", metric, len(got), got[:40], len(want), want[:40])
		}
	}
}

// shape says what a metric's file was made from.
func shape(t testing.TB, root, metric string) string {
	t.Helper()
	file, err := os.Open(filepath.Join(root, strings.ReplaceAll(metric, ".", "/")+".wsp"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	h, err := readHeader(file)
	if err != nil {
		t.Fatal(err)
	}
	var archives []string
	for _, a := range h.archives {
		archives = append(archives, a.String())
	}
	return fmt.Sprint(strings.Join(archives, ","), " ", h.aggregation, " ", h.xFilesFactor)
}

// Where there is no rule the settings hold, for archives and aggregation each.
func TestSettingsHoldWithoutARule(t *testing.T) {
	schemas, aggregations := ruleFiles(t, t.TempDir(), someSchemas, someAggregations)
	now := time.Now().Unix()
	for _, tt := range []struct{ schemas, aggregations, metric, want string }{
		{"", "", "a.count", "5s:1h last 0.25"},
		{schemas, "", "a.count", "10s:6h,60s:7d,1h:365d last 0.25"},
		{schemas, aggregations, "a.count", "10s:6h,60s:7d,1h:365d sum 0"},
		{"", aggregations, "a.count", "5s:1h sum 0"},
		{schemas, aggregations, "a.low", "5s:1h absmin 0.5"}, // a rule without a factor has Carbon's
		{schemas, filepath.Join(t.TempDir(), "none"), "a.low", "5s:1h last 0.25"},
	} {
		c := defaults()
		c.Path, c.Schemas, c.Aggregations = t.TempDir(), tt.schemas, tt.aggregations
		c.Retentions, c.Aggregation, c.XFilesFactor = "5s:1h", "last", 0.25
		must(t, openSink(t, c), sdk.Batch{{Metric: tt.metric, Timestamp: now, Value: 1}})
		if got := shape(t, c.Path, tt.metric); got != tt.want {
			t.Errorf("with %q and %q the file of %s has %s, want %s", tt.schemas, tt.aggregations, tt.metric, got, tt.want)
		}
	}
}

func TestWrongRulesAreRefused(t *testing.T) {
	dir := t.TempDir()
	good, _ := ruleFiles(t, dir, someSchemas, someAggregations)
	bad := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tt := range []struct {
		name, schemas, aggregations string
		words                       []string
	}{
		{"no such file", filepath.Join(dir, "none"), "", []string{"none: no such file", "name a file that can be read, or leave the setting out"}},
		{"a folder", dir, "", []string{dir + ": is a directory", "name a file that can be read"}},
		{"a wrong retention", bad("1", "[s]\npattern = a\nretentions = 60x:1d\n"), "", []string{filepath.Join(dir, "1"), "section [s]", `retention "60x:1d"`, "want a number with the unit s, m, h"}},
		{"a section twice", bad("2", "[s]\n[s]\n"), "", []string{filepath.Join(dir, "2"), "line 2", "give each a name of its own"}},
		{"Python's look-ahead", bad("3", "[s]\npattern = ^(?!carbon)\nretentions = 60:1\n"), "", []string{filepath.Join(dir, "3"), "section [s]", "look-around is not supported: name the exceptions"}},
		{"Python's possessive repeat", bad("4", "[s]\npattern = a*+b\nretentions = 60:1\n"), "", []string{filepath.Join(dir, "4"), "section [s]", "possessive repeats"}},
		{"an unknown aggregation", good, bad("5", "[s]\npattern = a\naggregationMethod = mean\n"), []string{filepath.Join(dir, "5"), "section [s]", "must be one of average, sum"}},
		{"a wrong factor", good, bad("6", "[s]\npattern = a\nxFilesFactor = 2\n"), []string{filepath.Join(dir, "6"), "section [s]", "must be 0 to 1"}},
	} {
		root := filepath.Join(dir, "root")
		config := map[string]any{"path": root, "schemas": tt.schemas, "aggregations": tt.aggregations}
		_, err := sdk.StartSink(t.Context(), sdk.Spec{Name: "whisper", Path: os.Args[0], Config: config})
		if !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("%s: %v; want invalid", tt.name, err)
			continue
		}
		for _, words := range tt.words {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %v; want the words %q", tt.name, err, words)
			}
		}
		if _, err := os.Stat(root); err == nil {
			t.Errorf("%s: the folder was made", tt.name)
		}
	}
}

// A logged is what has been logged.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// count returns how many lines have the words.
func (l *logged) count(words string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, words) {
			n++
		}
	}
	return n
}

// listen collects what this process logs.
func listen(t testing.TB) *logged {
	t.Helper()
	l, was := &logged{}, slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(l, nil)))
	t.Cleanup(func() { slog.SetDefault(was) })
	return l
}

// Rules are those of the files as they are, and the last good ones when the files
// are not good, of which there is one warning.
func TestRulesAreReadAgain(t *testing.T) {
	log := listen(t)
	dir, next := t.TempDir(), 0
	c := defaults()
	c.Path = t.TempDir()
	c.Schemas, c.Aggregations = ruleFiles(t, dir, "[s]\npattern = .\nretentions = 10s:1h\n", "[s]\npattern = .\naggregationMethod = max\n")
	s := openSink(t, c)
	made := func(look bool) string {
		t.Helper()
		if look { // a second is over
			s.rules.looked = time.Time{}
		}
		next++
		metric := fmt.Sprintf("m%d", next)
		must(t, s, sdk.Batch{{Metric: metric, Timestamp: time.Now().Unix(), Value: 1}})
		return shape(t, c.Path, metric)
	}
	expect := func(what, got, want string, warnings int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: a new file has %s, want %s", what, got, want)
		}
		if n := log.count("they stay as they were"); n != warnings {
			t.Errorf("%s: %d warnings, want %d", what, n, warnings)
		}
	}
	expect("at first", made(true), "10s:1h max 0.5", 0)
	ruleFiles(t, dir, "[s]\npattern = .\nretentions = 20s:1h\n", "[s]\npattern = .\naggregationMethod = min\n")
	expect("within a second", made(false), "10s:1h max 0.5", 0)
	expect("both files have changed", made(true), "20s:1h min 0.5", 0)
	ruleFiles(t, dir, "[s]\npattern = (\nretentions = 30s:1h\n", "[s]\npattern = .\naggregationMethod = sum\n")
	expect("the first is wrong", made(true), "20s:1h min 0.5", 1)
	expect("it is still wrong", made(true), "20s:1h min 0.5", 1)
	ruleFiles(t, dir, "[s]\npattern = .\nretentions = 30s:1h\n", "[s]\npattern = .\naggregationMethod = sum\n")
	expect("it is right again", made(true), "30s:1h sum 0.5", 1)
	if err := os.Remove(c.Aggregations); err != nil {
		t.Fatal(err)
	}
	expect("the second is gone", made(true), "30s:1h sum 0.5", 2)
	expect("it is still gone", made(true), "30s:1h sum 0.5", 2)
	ruleFiles(t, dir, "[s]\nretentions = 10s:1h\n", "")
	expect("a section is not heeded", made(true), "60s:1d,10m:7d,1h:90d average 0.5", 2)
	if log.count("has no pattern") != 1 {
		t.Error("a section that is not heeded is not told")
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	expect("the folder is gone", made(true), "60s:1d,10m:7d,1h:90d average 0.5", 3)
	must(t, s, sdk.Batch{{Metric: "m1", Timestamp: time.Now().Unix(), Value: 1}}) // which is not new
}

// Whether the sink takes a storage-schemas.conf is what Debian's
// validate-storage-schemas says, except where the reason stands.
func TestValidateStorageSchemas(t *testing.T) {
	validate := servers.Need(t, "validate-storage-schemas")[0]
	servers.NeedPython(t, "whisper")
	const fine = "[a]\npattern = .\nretentions = 60s:1d\n"
	for _, tt := range []struct {
		name, text string
		good       bool
		differs    string // why the program says otherwise
	}{
		{"three sections", someSchemas, true, ""},
		{"no section", "# nothing\n", true, ""},
		{"comments and blanks", "\n; x\n" + fine + "# y\n\n", true, ""},
		{"a value over two lines", "[a]\npattern = .\nretentions = 60s:1d,\n  10m:7d\n", true, ""},
		{"options in capitals", "[a]\nPATTERN = .\nRETENTIONS: 60:1440\n", true, ""},
		{"every unit", "[a]\npattern = .\nretentions = 1s:1m,1m:1h,1h:1d,1d:4w,4w:1y\n", true, ""},
		{"archives that do not divide each other", "[a]\npattern = .\nretentions = 60:10,90:20\n", true, ""}, // both tell, and pass
		{"a percent sign doubled", "[a]\npattern = a%%b\nretentions = 60:1d\n", true, ""},
		{"a unit that is none", "[a]\npattern = .\nretentions = 60x:1d\n", false, ""},
		{"no span", "[a]\npattern = .\nretentions = 60s\n", false, ""},
		{"a comment behind a value", "[a]\npattern = .\nretentions = 60s:1d # a day\n", false, ""},
		{"a comma at the end", "[a]\npattern = .\nretentions = 60s:1d,\n", false, ""},
		{"a section twice", fine + fine, false, ""},
		{"an option twice", fine + "pattern = b\n", false, ""},
		{"an option before the first section", "pattern = .\n" + fine, false, ""},
		{"a line that is no option", fine + "b\n", false, ""},
		{"a percent sign", "[a]\npattern = a%b\nretentions = 60:1d\n", false, ""},
		{"not UTF-8", "# \xe4\n" + fine, false, ""},

		{"a pattern that is none", "[a]\npattern = (\nretentions = 60:1d\n", false, "it looks at no pattern, and Carbon does not start"},
		{"a pattern of Python's alone", "[a]\npattern = (?<!a)b\nretentions = 60:1d\n", false, "it looks at no pattern, and Go's regexp cannot match this one"},
		{"an archive without a point", "[a]\npattern = .\nretentions = 60s:1s\n", false, "Carbon takes it and cannot write such a file"},
		{"more than a file can hold", "[a]\npattern = .\nretentions = 1s:20y\n", false, "Carbon takes it and cannot write such a file"},
		{"no step", "[a]\npattern = .\nretentions = 0:1d\n", false, ""},
		{"no retentions", "[a]\npattern = .\n", true, "Carbon passes over such a section, and the sink with a warning"},
	} {
		dir := t.TempDir()
		schemas, _ := ruleFiles(t, dir, tt.text, "")
		program := exec.CommandContext(t.Context(), validate, schemas)
		program.Env = append(os.Environ(), "PYTHONUTF8=1") // whatever the locale of this machine
		out, err := program.CombinedOutput()
		says := err == nil
		c := defaults()
		c.Path, c.Schemas = filepath.Join(dir, "root"), schemas
		_, err = open(context.Background(), c)
		if (err == nil) != tt.good || err != nil && !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("%s: open: %v; want it taken: %v", tt.name, err, tt.good)
		}
		if (says == tt.good) != (tt.differs == "") {
			t.Errorf("%s: the program says %v, the sink %v (%s)\n%s", tt.name, says, tt.good, tt.differs, out)
		}
	}
}
