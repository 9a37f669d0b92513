package sdk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"fluxgate/sdk/internal/frame"
)

// A source makes values of the bytes of a fuzz target, or of a random number.
type source struct{ *rand.Rand }

func newSource(seed uint64) source { return source{rand.New(rand.NewPCG(seed, 1))} }

// text returns bytes of any kind, some of them long.
func (s source) text() string {
	n := s.IntN(6)
	if s.IntN(50) == 0 {
		n = 20_000
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(s.Uint32())
	}
	return string(b)
}

func (s source) texts() (all []string) {
	for range s.IntN(4) {
		all = append(all, s.text())
	}
	return all
}

// body returns bytes, nil for none.
func (s source) body() []byte {
	if text := s.text(); text != "" {
		return []byte(text)
	}
	return nil
}

func (s source) batch() (b Batch) {
	for range s.IntN(5) {
		b = append(b, Datapoint{s.text(), s.Int64() - s.Int64(), s.NormFloat64()})
	}
	return b
}

func (s source) request() Request {
	r := Request{Route: s.text(), Method: s.text(), Query: s.text(), Header: http.Header{}, Body: s.body()}
	for range s.IntN(4) {
		r.Header[s.text()] = append([]string{}, s.texts()...)
	}
	return r
}

func (s source) submission() Submission {
	sub := Submission{
		Key: s.text(), Batch: s.batch(), Backfill: s.batch(), Dropped: s.texts(),
		DryRun: s.IntN(2) == 0, KeyCheck: s.IntN(2) == 0, Invalid: s.text(),
	}
	if s.IntN(2) == 0 {
		sub.Reply = &Reply{Status: s.IntN(700) - 50, Body: s.body()}
	}
	return sub
}

func (s source) outcome() outcome {
	switch s.IntN(6) {
	case 0:
		return outcome{err: Invalidf("a")}
	case 1:
		return outcome{err: Unavailablef("b")}
	case 2:
		return outcome{err: errors.New("c")}
	default:
		return outcome{submission: s.submission()}
	}
}

// FuzzCallsArriveAsTheyWereSent has a plugin answer requests of whatever content with
// submissions of whatever content, over the forms that both ends use.
func FuzzCallsArriveAsTheyWereSent(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed, uint8(seed%20))
	}
	f.Fuzz(func(t *testing.T, seed uint64, many uint8) {
		s := newSource(seed)
		requests := make([]Request, 1+int(many)%64)
		outcomes := make(map[string]outcome)
		for i := range requests {
			requests[i] = s.request()
			requests[i].Query += fmt.Sprint("#", i)
			outcomes[requests[i].Query] = s.outcome()
		}
		byQuery := make(map[string]Request)
		for _, r := range requests {
			byQuery[r.Query] = r
		}
		in := decodes(func(_ context.Context, r Request) (Submission, error) {
			if !reflect.DeepEqual(r, byQuery[r.Query]) {
				return Submission{}, fmt.Errorf("%#v arrived as %#v", byQuery[r.Query], r)
			}
			o := outcomes[r.Query]
			return o.submission, o.err
		})
		got := answersOf(t, in, requests)
		for i, r := range requests {
			o, want := got[i], outcomes[r.Query]
			if fmt.Sprint(o.err) != fmt.Sprint(want.err) || want.err == nil && !reflect.DeepEqual(o.submission, want.submission) {
				t.Fatalf("%#v, %v arrived as %#v, %v", want.submission, want.err, o.submission, o.err)
			}
		}
	})
}

// FuzzCallOfAnInput has an input called with whatever bytes.
func FuzzCallOfAnInput(f *testing.F) {
	f.Add(callOf(Request{Route: "POST /x", Query: "a", Header: http.Header{"A": {"b", "c"}}, Body: []byte("d")}, Request{}))
	f.Add(make([]byte, 100))
	f.Add([]byte{1, 0, 0, 0, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		kept, decoded := bytes.Clone(data), atomic.Int64{}
		in := decodes(func(_ context.Context, r Request) (Submission, error) {
			decoded.Add(1)
			for _, part := range []string{r.Route, r.Method, r.Query, string(r.Body)} {
				if !bytes.Contains(data, []byte(part)) {
					t.Errorf("%q is not in the data", part)
				}
			}
			for _, part := range []string{r.Route, r.Method, r.Query, text(r.Body)} {
				if !isPartOf(part, data) {
					t.Errorf("%q is outside of the data", part)
				}
			}
			return Submission{Key: r.Query}, nil
		})
		h, c := &heard{}, frame.Parts(data)
		err := answerInput(openGuest(t, Input(in))).answer(t.Context(), &c, h.voice(planeLimit))
		if (err == nil) != (decoded.Load() > 0) || (err == nil) != (len(h.frames) > 0) || !bytes.Equal(data, kept) {
			t.Fatalf("%v, %d requests and %d answers", err, decoded.Load(), len(h.frames))
		}
	})
}

// FuzzCallOfASink has a sink called with whatever bytes.
func FuzzCallOfASink(f *testing.F) {
	f.Add(appendBatches(nil, []Batch{{{"a", 1, 2}}, nil, {{"b", 3, 4}, {"c", 5, 6}}}))
	f.Add(appendBatches(nil, nil))
	f.Add([]byte{1, 0, 0, 0, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		kept := bytes.Clone(data)
		var got []Batch
		sink := bulk{all: func(batches []Batch) error { got = batches; return nil }}
		sink.writes = func(_ context.Context, b Batch) error { got = append(got, b); return nil }
		again := func() []byte { return appendBatches(nil, got) }
		h, c := &heard{}, frame.Parts(data)
		checked := bulk{writes: sink.writes, all: func(batches []Batch) error {
			for _, b := range batches {
				for _, d := range b {
					if !isPartOf(d.Metric, data) {
						t.Errorf("metric %q is outside of the data", d.Metric)
					}
				}
			}
			_ = sink.all(batches)
			if !bytes.Equal(again(), data) {
				t.Errorf("%x became %x", data, again())
			}
			return nil
		}}
		err := answerSink(openGuest(t, Sink(checked))).answer(t.Context(), &c, h.voice(planeLimit))
		if (err == nil) != (len(h.frames) == 1) || !bytes.Equal(data, kept) {
			t.Fatalf("%v, and %d answers", err, len(h.frames))
		}
	})
}

// FuzzAnswerOfAnInput reads whatever bytes as an answer, or a part of one.
func FuzzAnswerOfAnInput(f *testing.F) {
	f.Add(answerOf(upTo(3), "k"), uint8(3))
	r := &round{requests: make([]Request, 2), outcomes: []outcome{{submission: newSource(3).submission()}, {err: Invalidf("no")}}, voice: voice{limit: planeLimit}}
	whole, _ := r.appendAnswer(nil, upTo(2))
	f.Add(whole[frame.HeaderSize:], uint8(2))
	f.Add([]byte{255, 255, 255, 255, 1, 0, 0, 0}, uint8(1))
	for _, lie := range lies {
		f.Add(lie.says, uint8(1))
	}
	f.Fuzz(func(t *testing.T, data []byte, requests uint8) {
		kept := bytes.Clone(data)
		outcomes, err := readOutcomes(data, int(requests))
		if err == nil && (len(outcomes) == 0 || len(outcomes) > int(requests)) || !bytes.Equal(data, kept) {
			t.Fatalf("%d outcomes of %d requests", len(outcomes), requests)
		}
		for _, o := range outcomes {
			if o.request < 0 || o.request >= int(requests) {
				t.Fatalf("an answer to request %d of %d", o.request, requests)
			}
			parts := append([]string{o.submission.Key, o.submission.Invalid}, o.submission.Dropped...)
			for _, d := range append(append(Batch{}, o.submission.Batch...), o.submission.Backfill...) {
				parts = append(parts, d.Metric)
			}
			for _, part := range parts {
				if !isPartOf(part, data) {
					t.Fatalf("%q is outside of the data", part)
				}
			}
		}
	})
}

// FuzzAnswerOfASink reads whatever bytes as an outcome.
func FuzzAnswerOfASink(f *testing.F) {
	f.Add(appendOutcome(nil, nil))
	f.Add(appendOutcome(nil, Invalidf("no")))
	f.Add([]byte{3, 0, 0, 0, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		outcome, err := readOutcome(data)
		if err == nil && outcome != nil {
			if text := outcome.Error(); text != cut(string(data[8:]), maxErrorText) {
				t.Fatalf("%d bytes of text in %d", len(text), len(data))
			}
		}
	})
}

// FuzzWhatAPluginSays has a host hear whatever bytes while a call is under way: it is
// answered, by whichever plane.
func FuzzWhatAPluginSays(f *testing.F) {
	f.Add(framed(frame.Answer, 1, answerOf(upTo(1), "k")))
	for _, lie := range lies {
		f.Add(lie.says)
	}
	f.Fuzz(func(t *testing.T, says []byte) {
		host, plugin := sockets(t)
		in, _ := inputAt(t, host, planeLimit)
		got := ask(t.Context(), in, Request{Query: "a"})
		go func() {
			_, _ = plugin.Write(says)
			_ = plugin.Close()
		}()
		if one := inTime(t, "the call", got); one.err == errNoLink {
			t.Fatal(one.err)
		}
		_ = host.Close()
	})
}

// FuzzWhatAHostSays has a plugin hear whatever bytes: it goes on until the host hangs
// up, or speaks nonsense.
func FuzzWhatAHostSays(f *testing.F) {
	call := framed(frame.Call, 1, 0, 0, callOf(Request{Query: "a"}))
	f.Add(call)
	f.Add(append(framed(frame.Cancel, 1), call...))
	f.Add(append(call, framed(frame.Cancel, 1)...))
	f.Add(framed(frame.Answer, 1))
	f.Fuzz(func(t *testing.T, says []byte) {
		host, plugin := sockets(t)
		ended := make(chan struct{})
		g := openGuest(t, Input(decodes(func(context.Context, Request) (Submission, error) { return Submission{}, nil })))
		go func() {
			defer close(ended)
			newDock(answerInput(g), 1<<16, plugin).run()
		}()
		_ = host.SetDeadline(time.Now().Add(testPatience))
		_, _ = host.Write(says)
		_ = host.Close()
		inTime(t, "the end", ended)
		if err := g.close(); err != nil {
			t.Fatal(err)
		}
	})
}
