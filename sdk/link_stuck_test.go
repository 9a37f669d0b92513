package sdk

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A request that is stuck on its way to a plugin that does not read is given up in
// time, and nothing refers to its body then: what leaves later is what it was.
func TestWhatIsGivenUpOnItsWayIsNotReferredTo(t *testing.T) {
	t.Parallel()
	for name, deadline := range map[string]time.Duration{"cancelled": time.Hour, "expired": 2 * time.Second} {
		host, plugin := sockets(t)
		in, _ := inputAt(t, host, planeLimit)
		in.link.link.stuck = time.Hour
		far := farEndOf(t, plugin)
		body := make([]byte, 8<<20)
		for i := range body {
			body[i] = byte(i >> 8)
		}
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		stuck := ask(ctx, in, Request{Body: body})
		eventually(t, "it is on its way", func() bool { return len(in.link.link.turn) == 1 })
		if name == "cancelled" {
			cancel()
		}
		if got := inTime(t, name, stuck); got.err != ctx.Err() {
			t.Errorf("%s: %v", name, got.err)
		}
		cancel()
		clear(body)
		_, requests := far.requests()
		for i, b := range requests[0].Body {
			if b != byte(i>>8) {
				t.Fatalf("%s: byte %d of the body has changed on its way", name, i)
			}
		}
		if got := far.cancelled(); got != 1 {
			t.Errorf("%s: call %d is cancelled", name, got)
		}
		next := ask(t.Context(), in, Request{})
		call, _ := far.requests()
		far.answer(call, upTo(1), "next")
		if got := inTime(t, "the next", next); got.s.Key != "next" || got.err != nil {
			t.Errorf("%s: the next: %+v", name, got)
		}
	}
}

// Whoever gives a request up does not wait for another caller, who sends it.
func TestARequestThatAnotherCallerSends(t *testing.T) {
	t.Parallel()
	host, plugin := sockets(t)
	in, _ := inputAt(t, host, planeLimit)
	in.link.link.stuck = time.Hour
	far := farEndOf(t, plugin)
	group := []*decoding{{done: make(chan outcome, 1)}, {done: make(chan outcome, 1)}}
	for _, d := range group {
		d.request.Body = make([]byte, maxGathered/2)
	}
	in.link.waiting = append(in.link.waiting, group...)
	left := make(chan struct{})
	go func() {
		defer close(left)
		in.link.leave(t.Context())
	}()
	eventually(t, "it is on its way", func() bool { return len(in.link.link.turn) == 1 })
	given := make(chan struct{})
	go func() {
		defer close(given)
		in.link.abandon(group[1])
	}()
	inTime(t, "the one that is given up", given)
	inTime(t, "the caller who sends", left)
	call, _ := far.requests()
	far.answer(call, []int{0}, "kept")
	if o := inTime(t, "the other", group[0].done); o.submission.Key != "kept" || o.err != nil {
		t.Errorf("the other: %+v", o)
	}
}

// A plugin that answers what it has not read holds nobody up for longer than his time.
func TestAnAnswerThatIsFasterThanItsRequest(t *testing.T) {
	t.Parallel()
	host, plugin := sockets(t)
	in, _ := inputAt(t, host, planeLimit)
	far := farEndOf(t, plugin)
	ctx, cancel := context.WithCancel(t.Context())
	in.link.newest = &flight{} // which holds them back
	early := ask(ctx, in, Request{Body: make([]byte, maxGathered)})
	eventually(t, "it waits", func() bool { return waitingFor(in.link) == 1 })
	answer := in.link.waiting[0].done
	go in.link.goOn()
	eventually(t, "it is on its way", func() bool { return len(in.link.link.turn) == 1 })
	far.answer(1, upTo(1), "early")
	eventually(t, "it has its answer", func() bool {
		in.link.link.mu.Lock()
		defer in.link.link.mu.Unlock()
		return len(in.link.link.calls) == 0 && len(answer) == 0
	})
	cancel()
	if got := inTime(t, "the call", early); got.s.Key != "early" || got.err != nil {
		t.Errorf("the call: %+v", got)
	}
}

// A plugin that goes on to read nothing costs the link, and no call more than its
// time.
func TestAPluginThatReadsNothing(t *testing.T) {
	t.Parallel()
	host, plugin := sockets(t)
	in, p := inputAt(t, host, planeLimit)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	first, cancelFirst := context.WithCancel(t.Context())
	stuck := ask(first, in, Request{Body: make([]byte, 1<<20)})
	if _, err := farEndOf(t, plugin).r.Peek(1); err != nil { // a part of it has left
		t.Fatal(err)
	}
	for range 20 { // which wait behind it
		go func() { _, _ = in.Decode(ctx, Request{Body: make([]byte, 1<<20)}) }()
	}
	if got := inTime(t, "the last", ask(ctx, in, Request{Body: make([]byte, 1<<20)})); !errors.Is(got.err, context.DeadlineExceeded) {
		t.Errorf("it ends with %v", got.err)
	}
	cancelFirst()
	if got := inTime(t, "the first", stuck); !errors.Is(got.err, context.Canceled) {
		t.Errorf("the first ends with %v", got.err)
	}
	inTime(t, "the end of the link", in.link.link.broken)
	if got := inTime(t, "a later call", ask(t.Context(), in, Request{})); got.s.Key != "portable" || got.err != nil {
		t.Errorf("a later call: %+v", got)
	}
	if len(p.calls) != 1 {
		t.Errorf("%d calls over the portable plane, want 1", len(p.calls))
	}
}

func TestABatchThatIsStuckOnItsWay(t *testing.T) {
	t.Parallel()
	host, _ := sockets(t)
	sink, p := sinkAt(t, host, planeLimit)
	long := Batch{{Metric: string(make([]byte, 4<<20)), Timestamp: 1}}
	first, cancelFirst := context.WithCancel(t.Context())
	write := func(ctx context.Context, b Batch) <-chan error {
		done := make(chan error, 1)
		go func() { done <- sink.Write(ctx, b) }()
		return done
	}
	stuck := write(first, long)
	eventually(t, "it is on its way", func() bool { return len(sink.link.turn) == 1 })
	second, cancelSecond := context.WithCancel(t.Context())
	behind := write(second, long)
	cancelSecond()
	if err := inTime(t, "the one behind it", behind); !errors.Is(err, context.Canceled) {
		t.Errorf("the one behind it: %v", err)
	}
	cancelFirst()
	if err := inTime(t, "the one that is stuck", stuck); !errors.Is(err, context.Canceled) {
		t.Errorf("the one that is stuck: %v", err)
	}
	inTime(t, "the end of the link", sink.link.broken)
	if err := inTime(t, "a later one", write(t.Context(), long)); err != nil || len(p.calls) != 1 {
		t.Errorf("a later one: %v, and %d calls over the portable plane", err, len(p.calls))
	}
}
