package populate

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"fluxgate/testdata/servers"
)

func TestPythonList(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"empty list", "[]", nil},
		{"empty tuple", "()", nil},
		{"blanks inside", "[ \t\n ]", nil},
		{"one", "['a']", []string{"a"}},
		{"comma at the end", "['a',]", []string{"a"}},
		{"tuple of one", "('a',)", []string{"a"}},
		{"tuple of two", "('a', 'b')", []string{"a", "b"}},
		{"blanks around", " \t[ 'a' , \n 'b' ] \t", []string{"a", "b"}},
		{"no blanks", "['a','b']", []string{"a", "b"}},
		{"both quotes", `['"', "'"]`, []string{`"`, "'"}},
		{"the prefix u", `[u'a', U"b"]`, []string{"a", "b"}},
		{"brackets and commas in a text", `['],[', "(,)"]`, []string{"],[", "(,)"}},
		{"escapes", `['\\ \' \" \a\b\f\n\r\t\v']`, []string{"\\ ' \" \a\b\f\n\r\t\v"}},
		{"numbers", `['\x41\xe9\u20ac\U0001f600']`, []string{"Aé€😀"}},
		{"capital digits", `['\xE9\u20AC']`, []string{"é€"}},
		{"octal", `['\0\7\60\101\1011\8\777']`, []string{"\x00\x070AA1\\8\u01ff"}},
		{"no escape", `['\d\é\(']`, []string{`\d\é\(`}},
		{"as it is", "['é€😀\u00a0\u2028']", []string{"é€😀\u00a0\u2028"}},
		{"empty texts", `['', ""]`, []string{"", ""}},
	} {
		got, err := pythonList(c.text)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, error %v, want %q", c.name, got, err, c.want)
		}
	}
}

func TestPythonListRefused(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                    "",
		"blanks":                     " ",
		"no list":                    "'a'",
		"not closed":                 "['a'",
		"not closed, with comma":     "['a',",
		"closed otherwise":           "['a')",
		"tuple closed otherwise":     "('a',]",
		"more behind it":             "['a']['b']",
		"an index":                   "['a'][0]",
		"a comma alone":              "[,]",
		"two commas":                 "['a',,]",
		"no comma":                   "['a' 'b']",
		"no comma, no blank":         "['a''b']",
		"three quotes":               "['''a''']",
		"parentheses around a text":  "('a')",
		"a list in a list":           "[['a']]",
		"a number":                   "[1]",
		"None":                       "[None]",
		"a name":                     "[a]",
		"bytes":                      "[b'a']",
		"a raw text":                 `[r'a']`,
		"a formatted text":           `[f'a']`,
		"two prefixes":               `[uu'a']`,
		"a prefix alone":             "[u",
		"a blank behind the prefix":  "[u 'a']",
		"a text without end":         "['a",
		"other quote at its end":     `['a"]`,
		"a backslash at its end":     `['a\`,
		"an escaped quote as end":    `['a\']`,
		"a line break in a text":     "['a\nb']",
		"a return in a text":         "['a\rb']",
		"an escaped line break":      "['a\\\nb']",
		"a name of a character":      `['\N{DIGIT ONE}']`,
		"too few digits":             `['\x4']`,
		"too few digits at the end":  `['\x`,
		"a sign among the digits":    `['\x+4']`,
		"no digits":                  `['\uzzzz']`,
		"half a pair":                `['\ud83d']`,
		"a pair in halves":           `['\ud83d\ude00']`,
		"beyond Unicode":             `['\U00110000']`,
		"beyond 31 bits":             `['\Uffffffff']`,
		"a null byte":                "['\x00']",
		"not UTF-8":                  "['\xff']",
		"a comment":                  "[ # a\n]",
		"a sum":                      "['a'] + ['b']",
		"a blank of another kind":    "[\u00a0]",
		"a line break before it all": "\n['a']",
	} {
		if got, err := pythonList(text); err == nil {
			t.Errorf("%s: %q is read as %q", name, text, got)
		}
	}
}

func TestPythonListBounds(t *testing.T) {
	fits := "['" + strings.Repeat("a", maxList-len("['']")) + "']"
	if got, err := pythonList(fits); err != nil || len(got) != 1 {
		t.Errorf("%d bytes: %v", len(fits), err)
	}
	if _, err := pythonList(fits + " "); err == nil {
		t.Errorf("%d bytes are read", len(fits)+1)
	}
	most := strings.Repeat("'',", maxElements)
	if got, err := pythonList("[" + most + "]"); err != nil || len(got) != maxElements {
		t.Errorf("%d elements: %v", maxElements, err)
	}
	if _, err := pythonList("[" + most + "'']"); err == nil {
		t.Errorf("%d elements are read", maxElements+1)
	}
}

// oddLists returns lists of texts that are hard to write down; the same each time.
func oddLists(n int) [][]string {
	r := rand.New(rand.NewPCG(1, 2))
	signs := []rune("\\\\\\'''\"\"\"\n\r\t\x00\x01\x1b\x7f\u0085\u00a0\u00adé€\u2028\ufeff\uffff😀\U000e0001\U0010ffff,[]()#%& aNuxU071{}")
	lists := make([][]string, n)
	for i := range lists {
		list := make([]string, r.IntN(5))
		for j := range list {
			text := make([]rune, r.IntN(12))
			for k := range text {
				text[k] = signs[r.IntN(len(signs))]
				if r.IntN(20) == 0 {
					text[k] = rune(r.IntN(0xd800))
				}
			}
			list[j] = string(text)
		}
		lists[i] = list
	}
	return lists
}

// TestPythonListReadsRepr reads back what Python prints for lists and tuples.
func TestPythonListReadsRepr(t *testing.T) {
	lists := oddLists(3000)
	in, err := json.Marshal(lists)
	if err != nil {
		t.Fatal(err)
	}
	out := servers.Python(t, `
import json, sys
lists = json.load(sys.stdin)
json.dump([f(l) for l in lists for f in (repr, ascii, lambda l: repr(tuple(l)))], sys.stdout)
`, string(in))
	var texts []string
	if err := json.Unmarshal([]byte(out), &texts); err != nil || len(texts) != 3*len(lists) {
		t.Fatalf("%d texts, error %v", len(texts), err)
	}
	for i, text := range texts {
		if got, err := pythonList(text); err != nil || !slices.Equal(got, lists[i/3]) {
			t.Errorf("%s: got %q, error %v, want %q", text, got, err, lists[i/3])
		}
	}
}

// scraps are the parts that make or break a literal.
var scraps = strings.Split("[|]|(|)|,|'|\"|\\|\\x4|\\x41|\\u20ac|\\ud83d|\\U0001f600|\\N{DIGIT ONE}|\\7|\\400|\\n|\\\n|\n|\r|\f| |\t|#|u|U|b|r|f|"+
	"a|é|''|\"\"|'a'|\"b\"|u'c'|,'d'|1|None|\ufeff|\u00a0|\x00|\x01|{|}|+|['e'", "|")

// scrapped returns a literal that went through some mishap.
func scrapped(r *rand.Rand) string {
	var parts []string
	for range r.IntN(8) {
		parts = append(parts, scraps[r.IntN(len(scraps))])
	}
	inside := strings.Join(parts, "")
	switch r.IntN(4) {
	case 0:
		return inside
	case 1:
		return "['" + inside + "']"
	case 2:
		return "(" + inside + ")"
	}
	return "[" + inside + "]"
}

// TestPythonListIsLiteralEval holds what is accepted against Python's own reader.
func TestPythonListIsLiteralEval(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	texts := make([]string, 40_000)
	for i := range texts {
		texts[i] = scrapped(r)
	}
	accepted, both := checkLiterals(t, texts)
	t.Logf("of %d texts we read %d, Python %d more as a list of texts", len(texts), accepted, both-accepted)
	if accepted < 1000 || accepted == len(texts) {
		t.Errorf("%d of %d texts are accepted: they prove little", accepted, len(texts))
	}
}

// checkLiterals compares with ast.literal_eval. It returns how many of texts are
// read here, and how many by Python.
func checkLiterals(t *testing.T, texts []string) (accepted, python int) {
	t.Helper()
	in, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	out := servers.Python(t, `
import ast, json, sys, warnings
warnings.simplefilter('ignore')
def value(text):
    try:
        v = ast.literal_eval(text)
    except Exception:
        return None
    return list(v) if type(v) in (list, tuple) and all(type(e) is str for e in v) else None
json.dump([value(text) for text in json.load(sys.stdin)], sys.stdout)
`, string(in))
	var want [][]string
	if err := json.Unmarshal([]byte(out), &want); err != nil || len(want) != len(texts) {
		t.Fatalf("%d values, error %v", len(want), err)
	}
	for i, text := range texts {
		if want[i] != nil {
			python++
		}
		got, err := pythonList(text)
		if err != nil {
			continue
		}
		accepted++
		if want[i] == nil || !slices.Equal(got, want[i]) {
			t.Errorf("%q: got %q, Python reads %q", text, got, want[i])
		}
	}
	return accepted, python
}

// repr writes a list as Python's ascii does, with one kind of quotes.
func repr(list []string) string {
	var b strings.Builder
	b.WriteString("[")
	for _, text := range list {
		b.WriteString(`'`)
		for _, r := range text {
			switch {
			case r == '\\' || r == '\'':
				b.WriteString(`\` + string(r))
			case r == '\n':
				b.WriteString(`\n`)
			case r == '\r':
				b.WriteString(`\r`)
			case r == 0:
				b.WriteString(`\x00`)
			default:
				b.WriteRune(r)
			}
		}
		b.WriteString(`', `)
	}
	b.WriteString("]")
	return b.String()
}

func FuzzPythonList(f *testing.F) {
	for _, text := range []string{"[]", "()", "['a', \"b\",]", `('\x41\u20ac\U0001f600\101\d',)`, "[u'a'", `["\"]`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := pythonList(text)
		if err != nil {
			if list != nil {
				t.Errorf("%q with error %v", list, err)
			}
			return
		}
		if len(list) > maxElements || len(text) > maxList {
			t.Errorf("%d elements in %d bytes", len(list), len(text))
		}
		for _, element := range list {
			if !utf8.ValidString(element) {
				t.Errorf("%q holds %q", text, element)
			}
		}
		again, err := pythonList(repr(list))
		if len(repr(list)) <= maxList && (err != nil || !slices.Equal(again, list)) {
			t.Errorf("%q: written again it is %q, error %v", list, again, err)
		}
	})
}
