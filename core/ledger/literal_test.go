package ledger

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

// What an entry may be, said in another way than the reader says it.
var (
	space  = `[ \t\r\n\f]*`
	digits = `[+-]?(?:0+|[1-9]\d*|(?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)`
	value  = `(?:` + digits + `|None)`
	item   = `(?:'\w*'|"\w*")` + space + `:` + space + value
	form   = regexp.MustCompile(`^[ \t]*(?:` +
		`\[` + space + value + space + `(?:,` + space + value + space + `)*(?:,` + space + `)?\]|` +
		`\{` + space + item + space + `(?:,` + space + item + space + `)*(?:,` + space + `)?\}` +
		`)[ \t\f]*[\r\n]*$`)
)

// Whatever stands in Redis is read without harm, and as no timestamp unless
// Python could read it.
func FuzzTimestampOf(f *testing.F) {
	for _, entry := range []string{
		"[1478021700, 1.0]", "{'timestamp': 1478021700, 'value': 1.0}", "{'timestamp': -1}", "[", "", "[]", "[,", "{'timestamp':", "{'timestamp':}",
		"[99999999999999999999, 1.0]", "[1e9, 1]", "[0x10, 1]", "[1_000, 1]", "[+5, 1]", "[\x00", "[nan, 1]", "['1', 1]", "[[1, 2], 3]", "{'value': 1.0}",
		"{'x': 'timestamp', 'timestamp': 5}", "{\"timestamp\": 5}", "[1478021700", "\xff\xfe", "[ 5 , 1]", "[5, nan]", "[5, -inf]", "[5, None]", "[5,]", "[5,,]",
		"{'timestamp': 5, 'value': nan}", "{'timestamp': 5, 'value': None,}", "[05, 1]", "[05.5, 1e999]", "\t[5,\n1]\f\r\n", "{'timestamp\": 5}", "{5}", "[5, '']", "[5}",
	} {
		f.Add(entry)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		timestamp := timestampOf(entry)
		if timestamp < 0 {
			t.Errorf("timestampOf(%q) = %d", entry, timestamp)
		}
		if timestamp > 0 && !form.MatchString(entry) {
			t.Errorf("timestampOf(%q) = %d, which Python could not read", entry, timestamp)
		}
	})
}

// beyond are parts that Python reads and never prints. An entry with one may be
// none to us.
var beyond = []string{"0x5f", "1_000", "5j", "True", "'x'", "(1, 2)", "[1]", "- 5", "5 # x\n", "'a' 'b': 1", `'\x74imestamp': 5`, "('timestamp'): 7", "5: 6", "5." + strings.Repeat("0", 1500)}

// A writer makes up entries.
type writer struct {
	*rand.Rand
	wild bool // the entry has something from beyond, or is damaged
}

func (w *writer) one(of ...string) string { return of[w.IntN(len(of))] }

func (w *writer) space() string {
	if w.IntN(3) > 0 {
		return ""
	}
	if w.IntN(50) == 0 {
		return w.one("\v", "\u00a0", "\x00")
	}
	return w.one(" ", "  ", "\t", "\n", "\r\n", "\f", " \n ")
}

func (w *writer) value() string {
	switch w.IntN(16) {
	case 0:
		return w.one("nan", "inf", "-inf", "NaN", "none", "null", "", "+", ".", "e5", "--5", "+-5", "1.2.3", "5e", "1e5.0", "5f", "infinity", "1,2", strings.Repeat("9", 5000))
	case 1:
		w.wild = true
		return w.one(beyond...)
	case 2, 3:
		return w.one("0", "00", "007", "-0", "0.", ".5", "00.5", "5.", "5.e3", "1E3", "1e999", "-1e999", "1e-7", "+5", "-5", "99999999999999999999")
	case 4:
		return fmt.Sprintf("%.3f", 1e9+w.Float64()*1e9)
	}
	return w.one("None", "5.0", "-1e+300", fmt.Sprint(1478021700+w.IntN(1e6)), fmt.Sprint(w.IntN(1e6)), fmt.Sprintf("%g", w.Float64()))
}

func (w *writer) name() string {
	switch w.IntN(12) {
	case 0:
		return w.one(`"timestamp"`, `"value"`, "timestamp", "''", `'timestamp"`, "Timestamp", "'timestamp2'")
	case 1, 2, 3:
		return "'value'"
	}
	return "'timestamp'"
}

// entry returns a list or a dict, at times a damaged one.
func (w *writer) entry() string {
	w.wild = false
	dict := w.IntN(2) == 0
	if w.IntN(6) == 0 { // as Python prints it, but for the values
		return fmt.Sprintf(map[bool]string{true: "{'timestamp': %s, 'value': %s}", false: "[%s, %s]"}[dict], w.value(), w.value())
	}
	var b strings.Builder
	b.WriteString(w.one("", "", "", " ", "\t", "\n"))
	b.WriteString(map[bool]string{true: "{", false: "["}[dict] + w.space())
	for i := range w.IntN(12) % 5 {
		if i > 0 {
			b.WriteString("," + w.space())
		}
		if dict {
			b.WriteString(w.name() + w.space() + w.one(strings.Split(strings.Repeat(":", 20)+"=", "")...) + w.space())
		}
		b.WriteString(w.value() + w.space())
	}
	b.WriteString(w.one("", "", "", "", "", "", ",", ", ", ",,"))
	b.WriteString(map[bool]string{true: "}", false: "]"}[dict] + w.one("", "", "", "", "", "", "\n", " ", "\f", "\n ", "]", "x", " #"))
	text := b.String()
	if w.IntN(6) == 0 {
		i := w.IntN(len(text))
		text, w.wild = text[:i]+w.one("", ",", "'", "\x00", "#", "5", "[", "}", "_")+text[i+w.IntN(2):], true
	}
	w.wild = w.wild || strings.HasPrefix(text, "\n") || strings.HasSuffix(text, "#")
	return text
}

// pythonReads returns the timestamps of entries as Python has them.
func pythonReads(t *testing.T, entries []string) (timestamps []int64) {
	t.Helper()
	text, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	const script = `
import ast, json, sys, warnings
warnings.simplefilter('ignore')
def timestamp(entry):
    try:
        read = ast.literal_eval(entry)
        found = read[0] if isinstance(read, list) else read['timestamp'] if isinstance(read, dict) else None
        found = int(found) if isinstance(found, (int, float)) else 0
    except Exception:
        return 0
    return found if 0 < found < 2**63 else 0
print(json.dumps([timestamp(e) for e in json.load(sys.stdin)]))
`
	if err := json.Unmarshal([]byte(servers.Python(t, script, string(text))), &timestamps); err != nil {
		t.Fatal(err)
	}
	return timestamps
}

// made returns entries that are not all alike, and which of them are wild.
func made(n int) (entries []string, wild []bool) {
	w := &writer{Rand: rand.New(rand.NewPCG(1, 2))}
	for range n {
		entries = append(entries, w.entry())
		wild = append(wild, w.wild)
	}
	return entries, wild
}

func TestEntriesAreReadAsPythonReadsThem(t *testing.T) {
	entries, wild := made(20_000)
	read, unread := 0, 0
	for i, want := range pythonReads(t, entries) {
		got := timestampOf(entries[i])
		switch {
		case got != want && (got != 0 || !wild[i]):
			t.Errorf("timestampOf(%q) = %d, and Python reads %d", entries[i], got, want)
		case got != 0:
			read++
		case want == 0:
			unread++
		}
	}
	if read < 1000 || unread < 1000 {
		t.Errorf("%d entries are read, and %d cannot be: that says little", read, unread)
	}
}

// The script replaces what the reader takes for none, and nothing else.
func TestScriptReadsAsTheReader(t *testing.T) {
	server := servers.Redis(t)
	s, c := openTestRedis(t, RedisOptions{Addresses: []string{server.Address}, Hash: true}), operator(t, server)
	entries, _ := made(20_000)
	var same, newer sdk.Batch
	pipe := c.Pipeline()
	for i, entry := range entries {
		metric := fmt.Sprint("m", i)
		pipe.Set(t.Context(), stringPrefix+metric, entry, 0)
		pipe.HSet(t.Context(), hashEntry, metric, entry)
		d := sdk.Datapoint{Metric: metric, Timestamp: max(timestampOf(entry), 1), Value: 1234.5}
		same = append(same, d)
		d.Timestamp++
		newer = append(newer, d)
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, b := range []sdk.Batch{same, newer} {
		if err := s.Record(t.Context(), dues(b), 1e15); err != nil {
			t.Fatal(err)
		}
		for i, d := range b {
			stays := timestampOf(entries[i]) >= d.Timestamp
			list, dict := text(t, c, d.Metric)
			if (list == entries[i]) != stays || (dict == entries[i]) != stays {
				t.Errorf("recorded %d where %q was, which is of %d: left %q and %q", d.Timestamp, entries[i], timestampOf(entries[i]), list, dict)
			}
		}
	}
}
