package sdk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/quick"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"fluxgate/sdk/internal/wire"
)

func TestBatchesWithColumnsOfUnequalLengthAreRefused(t *testing.T) {
	name := []byte("a")
	for _, w := range []*wire.Batch{
		{Metric: [][]byte{name}},
		{Metric: [][]byte{name}, Timestamp: []int64{1}},
		{Metric: [][]byte{name}, Value: []float64{1}},
		{Timestamp: []int64{1}, Value: []float64{1}},
		{Metric: [][]byte{name, name}, Timestamp: []int64{1}, Value: []float64{1}},
		{Metric: [][]byte{name}, Timestamp: []int64{1, 2}, Value: []float64{1, 2}},
	} {
		if b, err := unpackBatch(w); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v: %v, %v", w, b, err)
		}
		for _, s := range []*wire.Submission{{Batch: w}, {Backfill: w}} {
			if _, err := unpackSubmission(s); !errors.Is(err, ErrInvalid) {
				t.Errorf("%v: %v", s, err)
			}
		}
	}
	for _, w := range []*wire.Series{{Timestamp: []int64{1}}, {Value: []float64{1}}, {Timestamp: []int64{1}, Value: []float64{1, 2}}} {
		if _, err := unpackSeries(w); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v: %v", w, err)
		}
	}
}

// overTheWire returns what arrives of a message.
func overTheWire[M proto.Message](t *testing.T, sent, arrived M) M {
	t.Helper()
	text, err := proto.Marshal(sent)
	if err == nil {
		err = proto.Unmarshal(text, arrived)
	}
	if err != nil {
		t.Fatal(err)
	}
	return arrived
}

// Names are any bytes, as a generator of strings of runes would not make them.
func bytesOf(names [][]byte) (s []string) {
	for _, n := range names {
		s = append(s, string(n))
	}
	return s
}

func TestMessagesArriveAsTheyWereSent(t *testing.T) {
	batch := func(names [][]byte, timestamp int64, value float64) (b Batch) {
		for i, n := range bytesOf(names) {
			b = append(b, Datapoint{n, timestamp + int64(i), value})
		}
		return b
	}
	arrive := func(names [][]byte, key []byte, timestamp int64, value float64, dry, check bool, status int16) bool {
		sent := Submission{
			Key: string(key), Batch: batch(names, timestamp, value), Backfill: batch(names, -timestamp, value),
			Dropped: bytesOf(names), DryRun: dry, KeyCheck: check, Invalid: string(key),
		}
		if status > 0 {
			sent.Reply = &Reply{Status: int(status), Body: append([]byte{0}, key...)}
		}
		got, err := unpackSubmission(overTheWire(t, packSubmission(sent), &wire.Submission{}))
		return err == nil && reflect.DeepEqual(got, sent)
	}
	if err := quick.Check(arrive, nil); err != nil {
		t.Error(err)
	}
	ask := func(name, value, query, body []byte) bool {
		sent := Request{
			Route: "POST /x", Method: "POST", Query: string(query), Body: append([]byte{0}, body...),
			Header: http.Header{string(name): {string(value), ""}, "Empty-" + string(name): nil},
		}
		return reflect.DeepEqual(unpackRequest(overTheWire(t, packRequest(sent), &wire.Request{})), sent)
	}
	// The protocol has text for route and method, and bytes for the rest.
	if err := quick.Check(ask, nil); err != nil {
		t.Error(err)
	}
}

func TestErrorsCrossTheWire(t *testing.T) {
	tests := []struct {
		err  error
		kind error
	}{
		{Invalidf("so"), ErrInvalid},
		{fmt.Errorf("sink: %w", Unavailablef("so")), ErrUnavailable},
		{context.Canceled, context.Canceled},
		{fmt.Errorf("dial: %w", context.DeadlineExceeded), context.DeadlineExceeded},
		{fmt.Errorf("%w: %w", ErrUnavailable, context.DeadlineExceeded), context.DeadlineExceeded},
		{fmt.Errorf("%w: %w", ErrUnavailable, ErrInvalid), ErrInvalid},
		{errors.New("so"), nil},
	}
	for _, tt := range tests {
		got := fromWire(toWire(tt.err))
		if got == nil || got.Error() != tt.err.Error() {
			t.Errorf("%q arrives as %q", tt.err, got)
		}
		for _, k := range kinds {
			if errors.Is(got, k.err) != (tt.kind == k.err) {
				t.Errorf("%q is of kind %q: %v", got, k.err, errors.Is(got, k.err))
			}
		}
		if again := fromWire(toWire(got)); again.Error() != got.Error() {
			t.Errorf("on the second way %q becomes %q", got, again)
		}
	}
	if err := fromWire(toWire(nil)); err != nil {
		t.Errorf("no error arrives as %v", err)
	}
}

func TestLongErrorsAreCutBetweenLetters(t *testing.T) {
	text := fromWire(toWire(errors.New("x" + strings.Repeat("ü", maxErrorText)))).Error()
	if len(text) > maxErrorText || len(text) < maxErrorText-utf8.UTFMax || !utf8.ValidString(text) {
		t.Errorf("%d bytes, ending in %q", len(text), text[len(text)-4:])
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"port", "port", 0}, {"port", "prot", 2}, {"adress", "address", 1}, {"kitten", "sitting", 5}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("from %q to %q: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
