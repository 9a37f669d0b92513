package sdk

import (
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"

	"fluxgate/sdk/internal/frame"
)

// pageBytes are pairs of hexadecimal digits at the beginning of a line, or behind the
// arrow of whoever sends them.
var pageBytes = regexp.MustCompile(`^(?:-> |<- |   )((?:[0-9a-f]{2} {1,3})*[0-9a-f]{2})(?:   |$)`)

// The frames of PROTOCOL.md are those that travel.
func TestTheFramesOnThePage(t *testing.T) {
	page, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## The data socket\n")
	_, section, _ = strings.Cut(section, "```\n")
	block, _, _ := strings.Cut(section, "```")
	var got []byte
	for line := range strings.Lines(block) {
		match := pageBytes.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if match == nil {
			t.Fatalf("no bytes in %q", line)
		}
		bytes, err := hex.DecodeString(strings.ReplaceAll(match[1], " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, bytes...)
	}
	const tenSeconds = 10_000_000_000
	call := frame.AppendUint64(frame.Begin(nil, frame.Call, 7), tenSeconds)
	call = appendBatches(call, []Batch{{{"a.b", 60, 1.5}}})
	frame.End(call, 0)
	answer := appendOutcome(frame.Begin(nil, frame.Answer, 7), nil)
	frame.End(answer, 0)
	if want := append(call, answer...); string(got) != string(want) {
		t.Errorf("the page has\n%x, want\n%x", got, want)
	}
}
