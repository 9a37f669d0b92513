package sdk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fluxgate/sdk/internal/frame"
)

// heard collects what a voice sends.
type heard struct {
	mu     sync.Mutex
	frames [][]byte
}

func (h *heard) voice(limit int) voice {
	return voice{limit: limit, call: 7, send: func(b []byte) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.frames = append(h.frames, append([]byte(nil), b[frame.HeaderSize:]...))
	}}
}

// callOf returns a call with requests, behind the time that is left.
func callOf(requests ...Request) []byte {
	group := make([]*decoding, len(requests))
	for i := range requests {
		group[i] = &decoding{request: requests[i]}
	}
	parts, _, _ := appendCall(nil, 7, group)
	var b []byte
	for _, part := range parts {
		b = append(b, part...)
	}
	return b[frame.HeaderSize+8:]
}

func openGuest[T any](t testing.TB, plugin T) *guest[T] {
	t.Helper()
	g := &guest[T]{}
	if err := g.set(plugin); err != nil {
		t.Fatal(err)
	}
	return g
}

// Answers that are too long for one frame come on several, and one that is too long
// for any is asked for over the portable plane, without harm to the others.
func TestAnswersThatAreTooLongForOneFrame(t *testing.T) {
	const limit = 10_000
	size := func(r Request) int { return int(r.Body[0]) * 1000 }
	in := decodes(func(_ context.Context, r Request) (Submission, error) {
		return Submission{Key: strings.Repeat("k", size(r)), Batch: Batch{{Metric: r.Query}}}, nil
	})
	var requests []Request
	for i, thousands := range []byte{4, 4, 4, 20, 1, 9, 20} {
		requests = append(requests, Request{Query: fmt.Sprint(i), Body: []byte{thousands}})
	}
	h, c := &heard{}, frame.Parts(callOf(requests...))
	if err := answerInput(openGuest(t, Input(in))).answer(t.Context(), &c, h.voice(limit)); err != nil {
		t.Fatal(err)
	}
	answers := make(map[int]outcome)
	for _, b := range h.frames {
		if len(b) > limit {
			t.Errorf("a frame of %d bytes", len(b))
		}
		outcomes, err := readOutcomes(b, len(requests))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range outcomes {
			answers[o.request] = o.outcome
		}
	}
	if len(h.frames) < 4 || len(answers) != len(requests) {
		t.Errorf("%d answers on %d frames", len(answers), len(h.frames))
	}
	for i, r := range requests {
		o := answers[i]
		switch {
		case size(r) > limit:
			if o.err != errNoLink {
				t.Errorf("request %d: %v, want that it goes over the portable plane", i, o.err)
			}
		case o.err != nil || len(o.submission.Key) != size(r) || o.submission.Batch[0].Metric != r.Query:
			t.Errorf("request %d: %v, a key of %d bytes", i, o.err, len(o.submission.Key))
		}
	}
}

// What is no call ends the connection, and nobody dies of it.
func TestCallsThatAreNone(t *testing.T) {
	request := callOf(Request{Route: "POST /x", Header: map[string][]string{"A": {"b"}}})
	calls := map[string][]byte{
		"nothing":             nil,
		"no time":             {1, 2, 3},
		"no request":          framed(frame.Call, 1, 0, 0, 0)[frame.HeaderSize:],
		"many requests":       framed(frame.Call, 1, 0, 0, 1<<31)[frame.HeaderSize:],
		"a request cut off":   framed(frame.Call, 1, 0, 0, request[:len(request)-5])[frame.HeaderSize:],
		"bytes to spare":      framed(frame.Call, 1, 0, 0, request, 0)[frame.HeaderSize:],
		"a batch of an input": framed(frame.Call, 1, 0, 0, appendBatches(nil, []Batch{{{Metric: "a"}}}))[frame.HeaderSize:],
	}
	in := Input(decodes(func(context.Context, Request) (Submission, error) { return Submission{}, nil }))
	for name, data := range calls {
		t.Run(name, func(t *testing.T) { refuses(t, in, answerInput, framed(frame.Call, 1, data)) })
	}
}

// refuses tells a plugin what ends the connection.
func refuses[T any](t *testing.T, plugin T, answer func(*guest[T]) answerer, says []byte) {
	t.Helper()
	host, end := sockets(t)
	serveDock(t, end, plugin, planeLimit, answer)
	_ = host.SetDeadline(time.Now().Add(testPatience))
	if _, err := host.Write(says); err != nil {
		t.Fatal(err)
	}
	kind, _, _, err := frame.Read(bufio.NewReader(host), planeLimit)
	if err == nil {
		t.Errorf("answered with kind %d", kind)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection stays")
	}
}

// What is no call ends the connection to a sink, too.
func TestCallsOfASinkThatAreNone(t *testing.T) {
	batch := AppendBatch(nil, Batch{{Metric: "a"}})
	sink := Sink(writes(func(context.Context, Batch) error { return nil }))
	for name, data := range map[string][]byte{
		"nothing":        nil,
		"many batches":   framed(frame.Call, 1, 0, 0, 1<<31)[frame.HeaderSize:],
		"no columns":     framed(frame.Call, 1, 0, 0, 1, 5, []byte("12345"))[frame.HeaderSize:],
		"an empty one":   framed(frame.Call, 1, 0, 0, 2, 0, 4, 0)[frame.HeaderSize:],
		"cut off":        framed(frame.Call, 1, 0, 0, 1, len(batch), batch[:len(batch)-1])[frame.HeaderSize:],
		"bytes to spare": framed(frame.Call, 1, 0, 0, 1, len(batch), batch, 0)[frame.HeaderSize:],
	} {
		t.Run(name, func(t *testing.T) { refuses(t, sink, answerSink, framed(frame.Call, 1, data)) })
	}
}

func TestFramesThatAreNoneOfAHost(t *testing.T) {
	for name, says := range map[string][]byte{
		"an answer": framed(frame.Answer, 1), "no kind": framed(0, 1), "no frame": []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) { refuses(t, Input(decodes(nil)), answerInput, says) })
	}
}

func TestPanicsAndErrorsCrossTheDataSocket(t *testing.T) {
	in, _ := planeOf(t, decodes(func(_ context.Context, r Request) (Submission, error) {
		switch r.Query {
		case "panic":
			panic("index out of range")
		case "invalid":
			return Submission{}, Invalidf("no key: \xff")
		case "unavailable":
			return Submission{}, Unavailablef("later")
		}
		return Submission{}, errors.New("odd")
	}), planeLimit)
	for query, want := range map[string]struct {
		text string
		kind error
	}{
		"panic":       {"panic: index out of range", nil},
		"invalid":     {"invalid: no key: \ufffd", ErrInvalid},
		"unavailable": {"unavailable: later", ErrUnavailable},
		"odd":         {"odd", nil},
	} {
		_, err := in.Decode(t.Context(), Request{Query: query})
		if err == nil || err.Error() != want.text || want.kind != nil && !errors.Is(err, want.kind) {
			t.Errorf("%s: %v", query, err)
		}
	}
}

// A recycling input counts what it gets back.
type recycling struct {
	decodes
	mu   sync.Mutex
	back []string
}

func (r *recycling) Recycle(s Submission) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.back = append(r.back, s.Key)
	if s.Key == "b" {
		panic("of no harm to others")
	}
}

func TestSubmissionsAreRecycledOnce(t *testing.T) {
	host, plugin := sockets(t)
	r := &recycling{decodes: func(_ context.Context, r Request) (Submission, error) {
		if r.Query == "" {
			return Submission{Key: "none"}, Invalidf("no key")
		}
		return Submission{Key: r.Query}, nil
	}}
	serveDock(t, plugin, Input(r), planeLimit, answerInput)
	in, _ := inputAt(t, host, planeLimit)
	f := sendTogether(t, in.link, "a", "b", "", "c")
	for _, d := range f.group {
		inTime(t, "an answer", d.done)
	}
	var back []string
	eventually(t, "all are back", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		back = slices.Sorted(slices.Values(r.back)) // a slow machine has them worked on at once
		return len(back) >= 3
	})
	if want := []string{"a", "b", "c"}; !reflect.DeepEqual(back, want) {
		t.Errorf("given back: %q, want %q", back, want)
	}
}

type bulk struct {
	writes
	all func([]Batch) error
}

func (b bulk) WriteAll(_ context.Context, batches []Batch) error { return b.all(batches) }

func TestSeveralBatchesAtOnce(t *testing.T) {
	sent := []Batch{{{Metric: "a", Timestamp: 1, Value: 2}}, nil, {{Metric: "b"}, {Metric: "c\xff", Timestamp: -1}}}
	for _, inBulk := range []bool{false, true} {
		t.Run(fmt.Sprint("in bulk: ", inBulk), func(t *testing.T) {
			one, all := make(chan Batch, 10), make(chan Batch, 10) // given to either method
			sink := Sink(writes(func(_ context.Context, b Batch) error { one <- copied(b); return nil }))
			if inBulk {
				sink = bulk{sink.(writes), func(batches []Batch) error {
					for _, b := range batches {
						all <- copied(b)
					}
					return nil
				}}
			}
			host, plugin := sockets(t)
			serveDock(t, plugin, sink, planeLimit, answerSink)
			remote, _ := sinkAt(t, host, planeLimit)
			if err := remote.WriteAll(t.Context(), sent); err != nil {
				t.Error(err)
			}
			given, other := one, all
			if inBulk {
				given, other = all, one
			}
			if got := drain(given); fmt.Sprint(got) != fmt.Sprint(sent) || len(other) > 0 {
				t.Errorf("it was given %v, and %d in the other way", got, len(other))
			}
			err := remote.Write(t.Context(), sent[0])
			if got := drain(one); err != nil || len(got) != 1 || len(all) > 0 {
				t.Errorf("a single batch: %v, %v", got, err)
			}
		})
	}
}

func copied(b Batch) Batch {
	c := append(Batch{}, b...)
	for i := range c {
		c[i].Metric = strings.Clone(c[i].Metric)
	}
	return c
}

// drain takes what is in a channel.
func drain[T any](c chan T) (all []T) {
	for len(c) > 0 {
		all = append(all, <-c)
	}
	return all
}
