package sdk

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestRequestsThatArriveTogetherLeaveTogether(t *testing.T) {
	host, plugin := sockets(t)
	in, calls := inputAt(t, host, planeLimit)
	in.link.overdue = time.Hour
	far := farEndOf(t, plugin)
	first := ask(t.Context(), in, Request{Query: "alone"})
	call, requests := far.requests()
	if len(requests) != 1 {
		t.Fatalf("a lone request leaves with %d others", len(requests)-1)
	}
	const many = 50
	var others []<-chan asked
	for i := range many {
		others = append(others, ask(t.Context(), in, Request{Query: fmt.Sprint(i)}))
		eventually(t, "it waits", func() bool { return waitingFor(in.link) == i+1 })
	}
	far.answer(call, upTo(1), "first")
	if got := inTime(t, "the first", first); got.s.Key != "first" || got.err != nil {
		t.Errorf("the first: %+v", got)
	}
	call, requests = far.requests()
	if len(requests) != many {
		t.Fatalf("%d requests left together, want %d", len(requests), many)
	}
	for i, r := range requests {
		if r.Query != fmt.Sprint(i) {
			t.Errorf("at place %d is request %s: they did not leave in their order", i, r.Query)
		}
	}
	answerInParts(t, far, call, others)
	if len(calls.calls) > 0 {
		t.Errorf("%d calls went over the portable plane", len(calls.calls))
	}
}

// answerInParts answers the last of some requests first: answers may come in parts, and in
// any order.
func answerInParts(t *testing.T, far *farEnd, call uint64, others []<-chan asked) {
	t.Helper()
	many := len(others)
	far.answer(call, []int{many - 1}, "last")
	if got := inTime(t, "the last", others[many-1]); got.s.Key != "last" || got.err != nil {
		t.Errorf("the last, answered before the others: %+v", got)
	}
	far.answer(call, upTo(many-1), "others")
	for _, other := range others[:many-1] {
		if got := inTime(t, "the others", other); got.s.Key != "others" || got.err != nil {
			t.Errorf("the others: %+v", got)
		}
	}
}

func TestMoreThanAFrameShouldHoldLeavesOnSeveral(t *testing.T) {
	host, plugin := sockets(t)
	in, _ := inputAt(t, host, planeLimit)
	in.link.overdue = time.Hour
	far := farEndOf(t, plugin)
	all := []<-chan asked{ask(t.Context(), in, Request{})}
	call, _ := far.requests()
	const half = (maxGathered-callSize)/2 - minRequest
	for i, size := range []int{half, half, 1, 2 * maxGathered, 1} {
		all = append(all, ask(t.Context(), in, Request{Body: make([]byte, size)}))
		eventually(t, "it waits", func() bool { return waitingFor(in.link) == i+1 })
	}
	far.answer(call, upTo(1), "")
	for _, want := range []int{2, 1, 1, 1} {
		call, requests := far.requests()
		if len(requests) != want {
			t.Errorf("%d requests left together, want %d", len(requests), want)
		}
		far.answer(call, upTo(len(requests)), "")
	}
	for _, one := range all {
		if got := inTime(t, "the answer", one); got.err != nil {
			t.Error(got.err)
		}
	}
}

// A frame holds back those behind it for no longer than overdue, and a frame that is
// overdue holds back none of them.
func TestASlowRequestHoldsUpNoLaterOne(t *testing.T) {
	host, plugin := sockets(t)
	in, _ := inputAt(t, host, planeLimit)
	far := farEndOf(t, plugin)
	slow := ask(t.Context(), in, Request{Query: "slow"})
	stuck, _ := far.requests()
	for range 100 {
		later := ask(t.Context(), in, Request{Query: "later"})
		call, requests := far.requests()
		far.answer(call, upTo(len(requests)), "later")
		if got := inTime(t, "a later request", later); got.s.Key != "later" || got.err != nil {
			t.Fatalf("a later request: %+v", got)
		}
	}
	far.answer(stuck, upTo(1), "slow")
	if got := inTime(t, "the slow request", slow); got.s.Key != "slow" || got.err != nil {
		t.Errorf("the slow request: %+v", got)
	}
}

// The requests of one frame do not wait for one of them.
func TestASlowRequestHoldsUpNoFrameMate(t *testing.T) {
	host, plugin := sockets(t)
	free := make(chan struct{})
	serveDock(t, plugin, Input(decodes(func(_ context.Context, r Request) (Submission, error) {
		if r.Query == "slow" {
			<-free
		}
		return Submission{Key: r.Query}, nil
	})), planeLimit, answerInput)
	in, _ := inputAt(t, host, planeLimit)
	f := sendTogether(t, in.link, "a", "slow", "b", "slow", "c")
	for _, i := range []int{0, 2, 4} {
		if o := inTime(t, "a frame-mate", f.group[i].done); o.err != nil || o.submission.Key != f.group[i].request.Query {
			t.Errorf("a frame-mate: %+v", o)
		}
	}
	close(free)
	for _, i := range []int{1, 3} {
		if o := inTime(t, "the slow one", f.group[i].done); o.err != nil || o.submission.Key != "slow" {
			t.Errorf("the slow one: %+v", o)
		}
	}
	eventually(t, "the call is over", func() bool {
		in.link.link.mu.Lock()
		defer in.link.link.mu.Unlock()
		return len(in.link.link.calls) == 0
	})
}

// sendTogether has requests with these queries leave on one frame.
func sendTogether(t *testing.T, g *gathering, queries ...string) *flight {
	t.Helper()
	g.mu.Lock()
	for _, q := range queries {
		g.waiting = append(g.waiting, &decoding{request: Request{Query: q}, done: make(chan outcome, 1)})
	}
	first := g.waiting[0]
	g.mu.Unlock()
	g.leave(t.Context())
	return first.flight
}

func TestACallThatIsGivenUpIsCancelled(t *testing.T) {
	in, p := planeOf(t, decodes(func(ctx context.Context, r Request) (Submission, error) {
		if r.Query == "hang" {
			<-ctx.Done()
			return Submission{}, ctx.Err()
		}
		return Submission{Key: "quick"}, nil
	}), planeLimit)
	ctx, cancel := context.WithCancel(t.Context())
	hanging := ask(ctx, in, Request{Query: "hang"})
	if got := inTime(t, "another", ask(t.Context(), in, Request{})); got.s.Key != "quick" || got.err != nil {
		t.Errorf("another: %+v", got)
	}
	cancel()
	if got := inTime(t, "the cancelled call", hanging); !errors.Is(got.err, context.Canceled) {
		t.Errorf("the cancelled call: %v", got.err)
	}
	eventually(t, "the plugin has given it up", func() bool {
		in.link.link.mu.Lock()
		defer in.link.link.mu.Unlock()
		return len(in.link.link.calls) == 0
	})
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if got := inTime(t, "the expired call", ask(short, in, Request{Query: "hang"})); !errors.Is(got.err, context.DeadlineExceeded) {
		t.Errorf("the expired call: %v", got.err)
	}
	if len(p.calls) > 0 {
		t.Errorf("%d calls went over the portable plane", len(p.calls))
	}
}

// A frame is cancelled with the last of its requests that somebody waits for.
func TestAFrameIsCancelledWithItsLastRequest(t *testing.T) {
	host, plugin := sockets(t)
	in, _ := inputAt(t, host, planeLimit)
	far := farEndOf(t, plugin)
	f := sendTogether(t, in.link, "a", "b", "c")
	call, _ := far.requests()
	far.answer(call, []int{1}, "b")
	inTime(t, "the second request", f.group[1].done)
	in.link.abandon(f.group[0])
	next := ask(t.Context(), in, Request{Query: "next"})
	if _, requests := far.requests(); len(requests) != 1 { // and not a cancellation
		t.Fatalf("%d requests", len(requests))
	}
	in.link.abandon(f.group[2])
	if got := far.cancelled(); got != call {
		t.Errorf("call %d is cancelled, want %d", got, call)
	}
	far.answer(call, []int{0, 2}, "late") // which it may have been on the way
	far.answer(call+1, upTo(1), "next")
	if got := inTime(t, "the next", next); got.s.Key != "next" || got.err != nil {
		t.Errorf("the next: %+v", got)
	}
}
