package sdk

import (
	"context"
	"math"
	"runtime"
	"strings"
	"testing"

	"fluxgate/sdk/internal/frame"
)

// What a lying number can make a reader take is a small multiple of what it was
// sent.
func TestLyingNumbersTakeLittleMemory(t *testing.T) {
	const size = 1 << 20
	lying := lyingNumbers(size)
	const forAnswers, forCalls = 8, 24 // times what was sent
	in := answerInput(openGuest(t, Input(decodes(func(context.Context, Request) (Submission, error) { return Submission{}, Invalidf("no") }))))
	sink := answerSink(openGuest(t, Sink(writes(func(context.Context, Batch) error { return nil }))))
	silent := voice{limit: size, send: func([]byte) {}}
	readers := map[string]func([]byte){
		"answers":     func(b []byte) { _, _ = readOutcomes(b, 1) },
		"submissions": func(b []byte) { c := frame.Parts(b); _, _, _ = readSubmission(&c, nil) },
		"calls of an input": func(b []byte) {
			c := frame.Parts(b)
			_ = in.answer(t.Context(), &c, silent)
		},
		"calls of a sink": func(b []byte) { c := frame.Parts(b); _ = sink.answer(t.Context(), &c, silent) },
		"batches":         func(b []byte) { _, _ = ReadBatch(nil, b) },
	}
	for name, read := range readers {
		times := forAnswers
		if strings.HasPrefix(name, "calls") {
			times = forCalls
		}
		for what, data := range lying {
			if took := allocated(func() { read(data) }); took > uint64(times*size) {
				t.Errorf("%s, %s: %d KiB for %d KiB, want at most %d times as much", name, what, took>>10, size>>10, times)
			}
		}
	}
}

// lyingNumbers are frames of so many bytes whose numbers say more than is there, or as
// much as there is room for.
func lyingNumbers(size int) map[string][]byte {
	zeros, ones := make([]byte, size), make([]byte, size)
	for i := 0; i < size; i += 4 {
		ones[i] = 1
	}
	counted := func(n int, rest []byte) []byte { return framed(frame.Call, 1, n, rest[:size-4])[frame.HeaderSize:] }
	names := make([]byte, 0, size)
	for i := 0; len(names)+10 < size-24; i++ { // as many short headers as there is room for
		names = append(append(names, 2, 0, 0, 0, byte(i), byte(i>>8)), 0, 0, 0, 0)
	}
	headers := framed(frame.Call, 1, 1, 0, 0, 0, len(names)/10, names, 0)[frame.HeaderSize:]
	return map[string][]byte{
		"zeros": zeros, "ones": ones, "headers": headers,
		"as many requests as there is room for":   counted(size/minRequest-1, zeros),
		"as many batches as there is room for":    counted(size/8-1, zeros),
		"as many datapoints as there is room for": counted(size/datapointSize-1, zeros),
		"more than there is room for":             counted(1<<32-1, zeros),
		"as many outcomes as there is room for":   framed(frame.Call, 1, 0, size/minOutcome-1, zeros[:size-8])[frame.HeaderSize:],
		"dropped":                                 framed(frame.Call, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, size/4-16, zeros[:size-64])[frame.HeaderSize:],
		"headers that are not there":              framed(frame.Call, 1, 1, 0, 0, 0, math.MaxUint32, zeros[:size-64])[frame.HeaderSize:],
		"values that are not there":               framed(frame.Call, 1, 1, 0, 0, 0, 1, 0, 1<<27, zeros[:size-64])[frame.HeaderSize:],
		"dropped that are not there":              framed(frame.Call, 1, 0, 0, 0, 0, 0, 1<<27, zeros[:size-64])[frame.HeaderSize:],
		"dropped of a submission":                 framed(frame.Call, 1, 0, 0, 0, 0, 0, size/4-16, zeros[:size-64])[frame.HeaderSize:],
	}
}

// allocated returns how many bytes were allocated under f.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
