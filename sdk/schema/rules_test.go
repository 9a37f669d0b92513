package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

// write writes a file and returns its path.
func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// load loads the texts of both files.
func load(t testing.TB, schemas, aggregations string) (*Rules, error) {
	t.Helper()
	return Load(write(t, "storage-schemas.conf", schemas), write(t, "storage-aggregation.conf", aggregations))
}

const someSchemas = `
# A comment.
[carbon]
pattern = ^carbon\.
retentions = 60:90d

[counts]
PATTERN: \.count$
Retentions = 10s:6h,
  1m:7d,   1h:1y
; another comment

[default]
pattern = .*
retentions = 60s:1d,5m:30d,1h:3y
`

const someAggregations = `
[min]
pattern = \.min$
xFilesFactor = 0.1
aggregationMethod = min

[count]
pattern = \.count$
aggregationMethod = sum

[half]
pattern = ^half\.
xFilesFactor = 0
`

func TestRules(t *testing.T) {
	rules, err := load(t, someSchemas, someAggregations)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, metric, want string }{
		{"first match wins", "carbon.a.count", "60s:90d sum 0.5"},
		{"a value over two lines, options in any case", "a.count", "10s:6h,60s:7d,1h:365d sum 0.5"},
		{"the rest", "a.min", "60s:1d,5m:30d,1h:1095d min 0.1"},
		{"only a factor", "half.a", "60s:1d,5m:30d,1h:1095d average 0"},
		{"no aggregation rule", "a", "60s:1d,5m:30d,1h:1095d average 0.5"},
	}
	for _, tt := range tests {
		s := rules.Of(tt.metric)
		if got := show(s); got != tt.want {
			t.Errorf("%s: %s is %s, want %s", tt.name, tt.metric, got, tt.want)
		}
		if err := s.Validate(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if w := rules.Warnings(); len(w) > 0 {
		t.Errorf("warnings %q, want none", w)
	}
	rules.Of("a").Retentions[0].Step = 7
	if got := rules.Of("a").Retentions[0].Step; got != 60 {
		t.Errorf("what a caller does to a schema changed the rules: step %d, want 60", got)
	}
}

func show(s Schema) string {
	var forms []string
	for _, r := range s.Retentions {
		forms = append(forms, r.String())
	}
	return fmt.Sprint(strings.Join(forms, ","), " ", s.Aggregation, " ", s.XFilesFactor)
}

func TestLoadWithoutFiles(t *testing.T) {
	schemas := write(t, "storage-schemas.conf", "")
	for _, aggregations := range []string{"", filepath.Join(t.TempDir(), "none")} {
		rules, err := Load(schemas, aggregations)
		if err != nil {
			t.Fatal(err)
		}
		if got := show(rules.Of("a")); got != "60s:7d average 0.5" {
			t.Errorf("without rules a metric has %s, want Carbon's 60s:7d average 0.5", got)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none"), ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without storage-schemas.conf: %v, want that it does not exist", err)
	}
	if _, err := Load(schemas, t.TempDir()); err == nil {
		t.Error("a storage-aggregation.conf that cannot be read passes for a missing one")
	}
}

func TestLoadRefuses(t *testing.T) {
	schema := "[s]\nretentions = 60:90d\npattern = "
	tests := []struct{ name, schemas, aggregations, words string }{
		{"look-ahead", schema + `^(?!carbon)`, "", `section [s]: pattern "^(?!carbon)": look-around is not supported: name the exceptions`},
		{"look-behind", schema + `(?<=a)b`, "", "look-around is not supported"},
		{"back-reference", schema + `(a)\1`, "", "back-references"},
		{"back-reference by name", schema + `(?P<n>a)(?P=n)`, "", "back-references"},
		{"atomic group", schema + `(?>a)`, "", "atomic groups are not supported: write (?:"},
		{"possessive repeat", schema + `a*+b`, "", "possessive repeats"},
		{"verbose", schema + `(?x)a b`, "", "not supported: of flags there are i, m, s, a and u"},
		{"a repeat of nothing", schema + `*.a`, "", "nothing to repeat"},
		{"a group left open", schema + `(a`, "", "not closed"},
		{"a percent sign", schema + `a%b`, "", "write a percent sign as %%"},
		{"a reference to nothing", schema + `%(x)s`, "", `refers to "x", which is not set`},
		{"a reference to itself", schema + `%(pattern)s`, "", "without end"},
		{"a wrong retention", "[s]\npattern = a\nretentions = 60s:1d # a day", "", `section [s]: retention "60s:1d # a day": span`},
		{"archives without points", "[s]\npattern = a\nretentions = 60s:1s", "", "at least one step"},
		{"a huge file", "[s]\npattern = a\nretentions = 1s:20y", "", "4 GiB"},
		{"a section twice", "[s]\n[s]\n", "", "line 2: section [s] begins a second time"},
		{"an option twice", "[s]\npattern = a\nPattern = b", "", "line 3: section [s]: pattern is set a second time"},
		{"no section", "pattern = a", "", "before the first [section]"},
		{"no option", "[s]\npattern", "", `"pattern" is no option`},
		{"an indented section", "[s]\npattern = a\n [t]\nretentions = 60:1", "", "the line [t] continues the value before it"},
		{"another encoding", "# \xe4\n", "", "not UTF-8"},
		{"an aggregation", "", "[s]\npattern = a\naggregationMethod = mean", `storage-aggregation.conf: section [s]: aggregation "mean": must be one of average, sum,`},
		{"a factor", "", "[s]\npattern = a\nxFilesFactor = 1.5", `xFilesFactor "1.5": must be 0 to 1`},
	}
	for _, tt := range tests {
		_, err := load(t, tt.schemas, tt.aggregations)
		if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), tt.words) || !strings.Contains(err.Error(), ".conf: ") {
			t.Errorf("%s: %v; want invalid, the file's name and the words %q", tt.name, err, tt.words)
		}
	}
}

func TestWarnings(t *testing.T) {
	rules, err := load(t, `[a]
retentions = 60:1
[b]
pattern = .
[c]
pattern = .
retentions = 60:10,90:20
[d] ; why
pattern = .
retentions = 60:10
`, `[e]
xFilesFactor = half
aggregationMethod = mean
[f]
aggregationMethod = sum
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"storage-schemas.conf: section [d] is not heeded: its line must end with the bracket",
		"storage-schemas.conf: section [a] is not heeded: it has no pattern",
		"storage-schemas.conf: section [b] is not heeded: it has no retentions",
		`storage-schemas.conf: section [c] is not heeded: retentions "60:10,90:20": the step of 60s:10m does not divide that of 90s:30m evenly`,
		`storage-aggregation.conf: section [e] is not heeded: xFilesFactor "half": must be a number, 0 to 1`,
		"storage-aggregation.conf: section [f] is not heeded: it has no pattern",
	}
	if got := rules.Warnings(); !slices.Equal(got, want) {
		t.Errorf("warnings\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := show(rules.Of("a")); got != "60s:7d average 0.5" {
		t.Errorf("with no section heeded a metric has %s", got)
	}
}

// rulesScript loads each pair of files with Carbon's own code, and prints for
// each what it makes of every name, or null where Carbon does not start.
const rulesScript = `
import json, os, sys, warnings
from carbon.conf import settings
settings['CONF_DIR'] = '/nonexistent'
from carbon import log, state, storage
from carbon.database import WhisperDatabase
warnings.simplefilter('ignore')
log.err = log.msg = lambda *a, **k: None
state.database = WhisperDatabase.__new__(WhisperDatabase)

def matching(load, names, show):
    try:
        schemas = load()
    except (Exception, SystemExit):
        return None
    return [show(next(s for s in schemas if s.matches(n)).archives) for n in names]

storage.STORAGE_SCHEMAS_CONFIG = os.path.join(sys.argv[1], 'schemas')
storage.STORAGE_AGGREGATION_CONFIG = os.path.join(sys.argv[1], 'aggregation')
job = json.load(sys.stdin)
answers = []
for schemas, aggregations in job['files']:
    for path, text in (storage.STORAGE_SCHEMAS_CONFIG, schemas), (storage.STORAGE_AGGREGATION_CONFIG, aggregations):
        with open(path, 'w', newline='', encoding='utf-8') as f:
            f.write(text)
    answers.append({
        'retentions': matching(storage.loadStorageSchemas, job['names'], lambda a: sorted(x.getTuple() for x in a)),
        'aggregations': matching(storage.loadAggregationSchemas, job['names'],
            lambda a: ['%r' % (0.5 if a[0] is None else a[0]), a[1] or 'average']),
    })
json.dump(answers, sys.stdout)
`

var someNames = []string{
	"a", "a.b", "a.b.c", "carbon.agents.x", "a.count", "a.COUNT", "count.a", "a.b-c", "a_b", "a b", "x%y", "a[0]",
	"a.min", "stats.timers.web.upper_90", "aaa.bbb", "1.2.3", "#x", "a;b", "a=b:c", "{}", "a{1}", "^$", "Carbon.A",
}

// fileOf returns a file of random sections, made of the given options and much
// that Carbon reads in its own way.
func fileOf(random *rand.Rand, options map[string][]string) string {
	pick := func(all ...string) string { return all[random.IntN(len(all))] }
	end := pick("\n", "\n", "\r\n", "\r")
	var b strings.Builder
	line := func(parts ...string) { b.WriteString(strings.Join(parts, "") + end) }
	for i := range 1 + random.IntN(4) {
		name := fmt.Sprintf("%s%d", pick("s", "a b", "a]b", "ü"), i)
		if random.IntN(10) == 0 {
			name = pick("DEFAULT", "s1", "s2", "default")
		}
		indent := pick("", "", "", "", "  ")
		line(pick("", "", "", "", "", "", "", "", " "), "[", name, "]", pick("", "", "", "", "", "", " ", " ; x"))
		for _, option := range slices.Sorted(maps.Keys(options)) {
			values := options[option]
			if random.IntN(12) == 0 {
				continue
			}
			if random.IntN(3) == 0 {
				option = pick(strings.ToLower(option), strings.ToUpper(option))
			}
			line(indent, option, pick("=", " = ", ":", " :\t", "  =  "), pick(values...), pick("", "", "", " ", "\t\x1f"))
			switch random.IntN(12) {
			case 0:
				line()
			case 1:
				line(pick("#", ";", "  # "), pick(" comment", "[x]", "pattern = y"))
			case 2:
				line(pick("    ", "\t", "\u00a0 "), pick("b", ",1h:1y", "[0-9]", "more = x", "[x] y"))
			case 3:
				line(pick("other = %(pattern)s", "other", "other =", "= other", "o%ther = 1", "x = 100%", "x = %%", "[]"))
			}
		}
	}
	return b.String()
}

// A carbonRules is what Carbon makes of each name; nil where it does not start.
type carbonRules struct {
	Retentions   [][][2]int64 `json:"retentions"`
	Aggregations [][2]string  `json:"aggregations"` // xFilesFactor and method
}

// compareSchemas compares what a storage-schemas.conf says of each name, and
// reports whether Carbon starts with it.
func (c carbonRules) compareSchemas(t *testing.T, text string) bool {
	t.Helper()
	var r Rules
	if err := r.readSchemas(text); (err == nil) != (c.Retentions != nil) {
		t.Errorf("%v; Carbon starts with it: %v\n%s", err, c.Retentions != nil, text)
		return false
	}
	for i, want := range c.Retentions {
		if got := pairs(r.Of(someNames[i]).Retentions); !slices.Equal(got, want) {
			t.Errorf("%s has %v; Carbon has %v\n%s", someNames[i], got, want, text)
		}
	}
	return c.Retentions != nil
}

// compareAggregations does the same for a storage-aggregation.conf.
func (c carbonRules) compareAggregations(t *testing.T, text string) bool {
	t.Helper()
	var r Rules
	if err := r.readAggregations(text); (err == nil) != (c.Aggregations != nil) {
		t.Errorf("%v; Carbon starts with it: %v\n%s", err, c.Aggregations != nil, text)
		return false
	}
	for i, want := range c.Aggregations {
		got := r.Of(someNames[i])
		if factor, _ := parseFloat(want[0]); got.XFilesFactor != factor || got.Aggregation.String() != want[1] {
			t.Errorf("%s has %v %v; Carbon has %v\n%s", someNames[i], got.XFilesFactor, got.Aggregation, want, text)
		}
	}
	return c.Aggregations != nil
}

func TestRulesAreCarbons(t *testing.T) {
	servers.NeedPython(t, "carbon.conf", "whisper")
	random := rand.New(rand.NewPCG(5, 6))
	patterns := []string{
		".*", "^carbon\\.", "\\.count$", "(?i)\\.count$", "^a", "a.b", "^[^.]+\\.[^.]+$", "b", "^$", "", "x%%y", "x%y",
		"a|b", "(", "[a-c]{2,}", "^stats\\.timers\\..*\\.upper_\\d+$", "%(x)s", "#x", "a;b", "\\w+\\Z", "a{,2}b", "[]a]", "a ; b",
	}
	schemas := map[string][]string{"pattern": patterns, "retentions": {
		"60:90d", "60s:1d,10m:7d,1h:90d", "10s:6h,1m:7d,10m:1y", "1m:1d, 5m:2d", "60s:1d,90s:7d", "60s:1d,10m:1d",
		"1h:1y,60:1d", "1s", "60s:1x", "", "60 : 5", "5m:1w,1d:2y", "1min:1d", "60s:5m,10m:1d", "60:10 # x", "60s:1d,",
	}}
	aggregations := map[string][]string{"pattern": patterns,
		"xFilesFactor":      {"0", "0.5", "1", ".1", "1_0e-1_1", "1_", "0x1p-1", "half", "", "1.5", "nan", "1e999", "-0", "+.5e0", "5e-400"},
		"aggregationMethod": {"average", "sum", "last", "max", "min", "avg_zero", "absmax", "absmin", "sum", "max", "Sum", ""},
	}
	files := [][2]string{{someSchemas, someAggregations}, {"", ""}}
	for depth := range 14 { // of references
		text := "[s]\npattern = %(p0)s\nretentions = 1:5\n"
		for i := range depth {
			text += fmt.Sprintf("p%d = %%(p%d)s\n", i, i+1)
		}
		text += fmt.Sprintf("p%d = a%%%%?\n", depth)
		files = append(files, [2]string{text, text})
	}
	for range 1200 {
		files = append(files, [2]string{fileOf(random, schemas), fileOf(random, aggregations)})
	}
	var want []carbonRules
	ask(t, rulesScript, map[string]any{"files": files, "names": someNames}, &want, t.TempDir())
	var read [2]int
	for i, texts := range files {
		if want[i].compareSchemas(t, texts[0]) {
			read[0]++
		}
		if want[i].compareAggregations(t, texts[1]) {
			read[1]++
		}
	}
	if least := len(files) / 6; min(read[0], read[1]) < least || max(read[0], read[1]) > len(files)-least {
		t.Errorf("Carbon starts with %d of %d files: want many that it reads, and many that it does not", read, len(files))
	}
}

const aggregateScript = `
import json, struct, sys, whisper
json.dump([struct.pack('>d', whisper.aggregate(q['method'], [v for v in q['values'] if v is not None], q['values'])).hex()
    for q in json.load(sys.stdin)], sys.stdout)
`

func TestAggregationsAreWhispers(t *testing.T) {
	servers.NeedPython(t, "whisper")
	random := rand.New(rand.NewPCG(12, 13))
	type question struct {
		Method string     `json:"method"`
		Values []*float64 `json:"values"`
	}
	var all []question
	var got []string
	for i := range 2000 {
		q := question{Method: (Average + Aggregation(i%int(AbsoluteMin))).String(), Values: make([]*float64, 1+random.IntN(12))}
		var known []float64
		for j := range q.Values {
			v := math.Round(random.NormFloat64()*8)/3 + 0 // never -0, which JSON does not have
			if random.IntN(3) > 0 || j == 0 {
				q.Values[j], known = &v, append(known, v)
			}
		}
		a, err := ParseAggregation(q.Method)
		if err != nil {
			t.Fatal(err)
		}
		all, got = append(all, q), append(got, fmt.Sprintf("%016x", math.Float64bits(a.Of(known, int64(len(q.Values))))))
	}
	var want []string
	ask(t, aggregateScript, all, &want)
	for i, q := range all {
		if got[i] != want[i] {
			in, _ := json.Marshal(q)
			t.Errorf("%s is %s; whisper has %s", in, got[i], want[i])
		}
	}
}

const patternScript = `
import json, re, sys, warnings
warnings.simplefilter('ignore')
job = json.load(sys.stdin)

def found(pattern):
    try:
        regex = re.compile(pattern)
    except (re.error, OverflowError, ValueError):
        return None
    return [bool(regex.search(n)) for n in job['names']]

json.dump([found(p) for p in job['patterns']], sys.stdout)
`

func TestPatternsArePythons(t *testing.T) {
	servers.NeedPython(t)
	var job struct {
		Patterns []string `json:"patterns"`
		Names    []string `json:"names"`
	}
	job.Names = append([]string{"a1_ -]x", `\`, "]", "-", "a-c", "b8", "Q", "pL"}, someNames...)
	job.Patterns = generate(20000, "a", "b", "c", ".", `\.`, "^", "$", "(", ")", "(?:", "(?P<n>", "|", "*", "+", "?", "{2}", "{,1}", "{1,}", "{02}",
		"{", "}", "[", "]", "[^", "[a-", "-", "1", "0", `\d`, `\W`, `\s`, `\b`, `\B`, `\A`, `\Z`, `\z`, `\Q`, `\pL`, `\x61`, `\x6`, `\0`, `\141`, `\8`,
		`\u0061`, `\-`, `\_`, `\é`, "(?i)", "(?s)", "(?i:", "(?-i:", "(?m-s:", "(?#x)", "(?U)", "(?<n>", ":alpha:", "&&", "é", `\`, `\n`, ",", "#", "(?a)", `[\]a]`, `[a\-c]`, `[^\^]`,
		`[\d-a]`, `[a-\d]`, `[\b]`, `[\1]`, "[[]", "[]-a]", `[\d-]`, `[\\]`)
	var want [][]bool
	ask(t, patternScript, job, &want)
	compared, refused, unsupported := 0, 0, 0
	for i, p := range job.Patterns {
		r, err := compile(p)
		switch {
		case err != nil && strings.Contains(err.Error(), "not supported"):
			unsupported++
		case (err == nil) != (want[i] != nil):
			t.Errorf("%q: %v; Python has %v", p, err, want[i])
		case err != nil:
			refused++
		default:
			compared++
			for j, name := range job.Names {
				if got := r.MatchString(name); got != want[i][j] {
					t.Errorf("%q found in %q: %v; Python has %v (%s)", p, name, got, want[i][j], r)
				}
			}
		}
	}
	t.Logf("compared %d, refused by both %d, unsupported %d", compared, refused, unsupported)
	if compared < 2000 || refused < 2000 || unsupported > 5000 {
		t.Errorf("compared %d, refused by both %d, unsupported %d of %d", compared, refused, unsupported, len(job.Patterns))
	}
}

func FuzzRules(f *testing.F) {
	for _, s := range []string{someSchemas, someAggregations, "[a]\nb=%(b)s", "[a]\n x=y\n  [z]", "[DEFAULT]\npattern=(?i)[]\\d-]{,2}\nretentions=1:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var r Rules
		if r.readSchemas(text) != nil {
			r.schemas = nil
		}
		if r.readAggregations(text) != nil {
			r.aggregations = nil
		}
		for _, name := range someNames {
			if err := r.Of(name).Validate(); err != nil {
				t.Errorf("%q gives %s %v: %v", text, name, r.Of(name), err)
			}
		}
	})
}

func TestAggregationNames(t *testing.T) {
	for a := Average; a.Known(); a++ {
		if got, err := ParseAggregation(a.String()); got != a || err != nil {
			t.Errorf("ParseAggregation(%q) = %d, %v; want %d", a.String(), got, err, a)
		}
	}
	for _, name := range []string{"", "mean", "Sum", "aggregation 9"} {
		if got, err := ParseAggregation(name); err == nil {
			t.Errorf("ParseAggregation(%q) = %v", name, got)
		}
	}
}

func TestSchemaValidate(t *testing.T) {
	archives := []Retention{{60, 10}}
	tests := []struct {
		schema Schema
		words  string
	}{
		{Schema{archives, Sum, 1}, ""},
		{Schema{nil, Sum, 1}, "retentions"},
		{Schema{archives, 0, 1}, "aggregation 0"},
		{Schema{archives, AbsoluteMin + 1, 1}, "aggregation 9"},
		{Schema{archives, Sum, -0.1}, "xFilesFactor -0.1"},
	}
	for _, tt := range tests {
		err := tt.schema.Validate()
		if tt.words == "" && err != nil || tt.words != "" && (err == nil || !strings.Contains(err.Error(), tt.words)) {
			t.Errorf("%v: %v, want the words %q", tt.schema, err, tt.words)
		}
	}
	if tenth := (Schema{XFilesFactor: 0.1}); tenth.Enough(0.1) || !tenth.Enough(0.2) {
		t.Error("a tenth is more in single precision than in double, and whisper compares the two")
	}
	if (Schema{}).Enough(0) {
		t.Error("nothing is enough")
	}
}
