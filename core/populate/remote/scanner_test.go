package remote

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

// anything reads a value as encoding/json does into an any.
func (s *scanner) anything() (any, error) {
	c, err := s.peek()
	switch {
	case err != nil:
		return nil, err
	case c == '[':
		list := []any{}
		err := s.array(func() error {
			v, err := s.anything()
			list = append(list, v)
			return err
		})
		return list, err
	case c == '{':
		members := map[string]any{}
		err := s.object(func(name string) error {
			v, err := s.anything()
			members[strings.ToValidUTF8(name, "\ufffd")] = v
			return err
		})
		return members, err
	}
	t, err := s.value()
	if err != nil {
		return nil, err
	}
	switch t {
	case number:
		v, _ := float(s.text)
		return v, nil
	case text:
		return string(s.text), nil
	}
	return map[string]any{"null": nil, "true": true, "false": false}[string(s.text)], nil
}

// whole reads document with both ends of the buffer in awkward places.
func whole(document string) (any, error) {
	d := decoder{scanner: scanner{in: bufio.NewReaderSize(iotest.OneByteReader(strings.NewReader(document)), 16)}}
	v, err := d.anything()
	if err == nil {
		err = d.end()
	}
	return v, err
}

func TestScannerRefuses(t *testing.T) {
	tests := []struct{ name, document, want string }{
		{"nothing", "", "ends too early"},
		{"half a list", "[1", "ends too early"},
		{"half an object", `{"a":`, "ends too early"},
		{"half a text", `"ab`, "ends too early"},
		{"half an escape", `"\u12`, "ends too early"},
		{"HTML", "<html>login</html>", "HTML"},
		{"something behind", "[] x", "not JSON"},
		{"a second value", "[] []", "not JSON"},
		{"a comma too many", "[1,]", "not JSON"},
		{"a comma too many in an object", `{"a":1,}`, "not JSON"},
		{"no comma", "[1 2]", "not JSON"},
		{"no colon", `{"a" 1}`, "not JSON"},
		{"a bare name", `{a:1}`, "not JSON"},
		{"a bare word", "nil", "not JSON"},
		{"an octal number", "[01]", "not JSON"},
		{"a number with a plus", "[+1]", "not JSON"},
		{"a number without digits", "[-]", "not JSON"},
		{"a number of letters", "[1e5x]", "not JSON"},
		{"a minus word", "[-NaN]", "not JSON"},
		{"a byte order mark", "\ufeff[]", "not JSON"},
		{"a line break in a text", "\"a\nb\"", "not JSON"},
		{"an unknown escape", `"\x"`, "not JSON"},
		{"a bad escape", `"\u12g4"`, "not JSON"},
		{"an escape with a sign", `"\u+123"`, "not JSON"},
		{"the other bracket", "[}", "not JSON"},
		{"33 levels", strings.Repeat("[", 33) + strings.Repeat("]", 33), "deeper"},
		{"levels without end", strings.Repeat(`{"a":[`, 100_000), "deeper"},
		{"a long text", `"` + strings.Repeat("a", maxText+1) + `"`, "longer"},
		{"a long number", strings.Repeat("1", maxText+1), "longer"},
	}
	for _, test := range tests {
		v, err := whole(test.document)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, %v; want an error with %q", test.name, v, err, test.want)
		}
	}
}

func TestScannerReads(t *testing.T) {
	tests := []struct {
		name, document string
		want           any
	}{
		{"bare words", `[NaN, Infinity, -Infinity]`, "[NaN +Inf -Inf]"},
		{"32 levels", strings.Repeat("[", 32) + strings.Repeat("]", 32), strings.Repeat("[", 32) + strings.Repeat("]", 32)},
		{"escapes", `"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"`, "\"\\/\b\f\n\r\té😀"},
		{"lone halves", `"\ud83dx\ude00\ud83d\u0041"`, "\ufffdx\ufffd\ufffdA"},
		{"a long text", `"` + strings.Repeat("a", maxText) + `"`, strings.Repeat("a", maxText)},
	}
	for _, test := range tests {
		v, err := whole(test.document)
		if got := fmt.Sprint(v); got != test.want || err != nil {
			t.Errorf("%s: %q, %v; want %q", test.name, got, err, test.want)
		}
	}
}

// What is JSON is read as encoding/json reads it, and what is read is JSON, but for
// bare words and bounds.
func FuzzScanner(f *testing.F) {
	for _, document := range []string{
		`[{"target": "a.b", "datapoints": [[1.5, 1700000040], [null, 1700000100], [-0.0, 1e9]], "tags": {}}]`,
		`{"status":"success","data":{"result":[{"metric":{"a":"\ud83d\ude00\n"},"values":[[1700000040.123,"NaN"]]}]}}`,
		`[NaN, -Infinity, 1E+5, true]`, " \t\r\n0 ", `"\ud800\ud800\udc00"`, "\"\xff\"",
	} {
		f.Add(document)
	}
	f.Fuzz(func(t *testing.T, document string) {
		var want any
		valid := json.Valid([]byte(document))
		got, err := whole(document)
		if errors.Is(err, errDeep) || errors.Is(err, errLong) || !utf8.ValidString(document) {
			return
		}
		bare := strings.Contains(document, "NaN") || strings.Contains(document, "Infinity")
		if (err == nil) != valid && !(err == nil && bare) {
			t.Fatalf("%q: %v, while for encoding/json it is valid: %v", document, err, valid)
		}
		if !valid {
			return
		}
		decoder := json.NewDecoder(strings.NewReader(document))
		decoder.UseNumber() // a number out of range is no error
		_ = decoder.Decode(&want)
		if want = floats(want); !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %#v, for encoding/json %#v", document, got, want)
		}
	})
}

// floats returns v with numbers as the scanner returns them.
func floats(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, _ := v.Float64()
		if math.IsInf(f, 0) {
			f, _ = float([]byte(v))
		}
		return f
	case []any:
		for i := range v {
			v[i] = floats(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = floats(v[name])
		}
	}
	return v
}
