package sdk

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// Whatever pieces it comes in, the first line is read, and the rest goes elsewhere.
func TestGreeting(t *testing.T) {
	for text, want := range map[string][2]string{
		"":                  {"", ""},
		"half":              {"half", ""},
		"one\n":             {"one\n", ""},
		"one\ntwo\n\nthree": {"one\n", "two\n\nthree"},
		"\ntwo\n":           {"\n", "two\n"},
	} {
		for name, reader := range map[string]io.Reader{"at once": strings.NewReader(text), "by bytes": iotest.OneByteReader(strings.NewReader(text))} {
			rest := &bytes.Buffer{}
			g := &greeting{ReadCloser: io.NopCloser(reader), rest: rest}
			got, err := io.ReadAll(g)
			if err != nil || string(got) != want[0] || rest.String() != want[1] || g.text() != strings.TrimSpace(want[0]) || !g.closed() {
				t.Errorf("%q, %s: %q, then %q, told as %q, %v; want %q", text, name, got, rest, g.text(), err, want)
			}
		}
	}
}
