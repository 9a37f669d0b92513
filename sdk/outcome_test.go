package sdk

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"fluxgate/sdk/internal/frame"
)

// tooLongOnTheWire is the code of a submission that is too long for a frame, as plugins
// in other languages say it.
const tooLongOnTheWire = 8

// A submission that is too long is asked for again over the portable plane, and the
// data socket stays.
func TestASubmissionThatIsTooLong(t *testing.T) {
	page, err := os.ReadFile("PROTOCOL.md")
	if err != nil || !strings.Contains(string(page), "\n| outcome | 8 and no text if the submission is too long for a frame: ") {
		t.Errorf("PROTOCOL.md does not say %d: %v", tooLongOnTheWire, err)
	}
	host, plugin := sockets(t)
	in, p := inputAt(t, host, planeLimit)
	far := farEndOf(t, plugin)
	long := ask(t.Context(), in, Request{})
	call, _ := far.requests()
	far.say(frame.Answer, call, 0, 1, 0, tooLongOnTheWire, 0)
	if got := inTime(t, "the call", long); got.s.Key != "portable" || got.err != nil || len(p.calls) != 1 {
		t.Errorf("the call: %+v, and %d calls over the portable plane", got, len(p.calls))
	}
	next := ask(t.Context(), in, Request{})
	call, _ = far.requests()
	far.answer(call, upTo(1), "next")
	if got := inTime(t, "the next", next); got.s.Key != "next" || got.err != nil {
		t.Errorf("the next: %+v", got)
	}
}

// writeTo has a sink write at whose end a test answers with one outcome.
func writeTo(t *testing.T, code int, text string) (portable, error) {
	t.Helper()
	host, plugin := sockets(t)
	sink, p := sinkAt(t, host, planeLimit)
	far := farEndOf(t, plugin)
	written := make(chan error, 1)
	go func() { written <- sink.Write(t.Context(), Batch{{Metric: "a"}}) }()
	far.call()
	far.say(frame.Answer, 1, code, len(text), []byte(text))
	return p, inTime(t, "the call", written)
}

// Of a sink every code means what the page says: a store that is full is no reason to
// send the same again at once.
func TestASinkThatIsExhausted(t *testing.T) {
	if p, err := writeTo(t, tooLongOnTheWire, "the disk is full"); err == nil || err.Error() != "the disk is full" || len(p.calls) > 0 {
		t.Errorf("%v, and %d calls over the portable plane", err, len(p.calls))
	}
}

func TestAnOutcomeHasAShortText(t *testing.T) {
	if _, err := writeTo(t, 3, strings.Repeat("ü", maxErrorText)); !errors.Is(err, ErrInvalid) || len(err.Error()) > maxErrorText || !utf8.ValidString(err.Error()) {
		t.Errorf("an error with a text of %d bytes", len(err.Error()))
	}
	b := appendOutcome(nil, errors.New(strings.Repeat("\xff", maxErrorText)))
	if len(b) > 8+maxErrorText {
		t.Errorf("an outcome of %d bytes", len(b))
	}
}

// A call that its host has not given up was not cancelled by it, whatever the plugin
// says, on either plane.
func TestOutcomesOfCallsThatNobodyGaveUp(t *testing.T) {
	const cancelled = 1
	if _, err := writeTo(t, cancelled, "context canceled"); !errors.Is(err, ErrUnavailable) || errors.Is(err, context.Canceled) {
		t.Errorf("a batch: %v", err)
	}
	in, _ := planeOf(t, decodes(func(context.Context, Request) (Submission, error) {
		return Submission{}, context.Canceled
	}), planeLimit)
	if _, err := in.Decode(t.Context(), Request{}); !errors.Is(err, ErrUnavailable) || errors.Is(err, context.Canceled) {
		t.Errorf("a request: %v", err)
	}
}
