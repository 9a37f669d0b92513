package sdk

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"fluxgate/sdk/internal/frame"
)

// writeIn has a sink write in the background.
func writeIn(ctx context.Context, s Sink, b Batch) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.Write(ctx, b) }()
	return done
}

// Who waits for the turn, and gives up, does no harm to who has it.
func TestGivingUpTheWaitForATurn(t *testing.T) {
	t.Parallel()
	host, plugin := sockets(t)
	sink, p := sinkAt(t, host, planeLimit)
	sink.link.stuck = -time.Hour // what does not leave in its own time breaks the link
	far := farEndOf(t, plugin)
	metric := string(make([]byte, 4<<20))
	first := writeIn(t.Context(), sink, Batch{{Metric: metric}})
	if _, err := far.r.Peek(frame.HeaderSize); err != nil { // it is on its way
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	behind := writeIn(ctx, sink, Batch{{Metric: "b"}})
	eventually(t, "it waits for the turn", func() bool {
		sink.link.mu.Lock()
		defer sink.link.mu.Unlock()
		return sink.link.last == 2
	})
	cancel()
	if err := inTime(t, "the one behind", behind); !errors.Is(err, context.Canceled) {
		t.Errorf("the one behind: %v", err)
	}
	sink.link.hurry() // as late as it may be
	call, c := far.call()
	if batches, _, err := readBatches(&c, nil); err != nil || len(batches) != 1 || batches[0][0].Metric != metric {
		t.Errorf("call %d has %d batches: %v", call, len(batches), err)
	}
	far.say(frame.Answer, call, 0, 0)
	if err := inTime(t, "the first", first); err != nil || len(p.calls) > 0 {
		t.Errorf("the first: %v, and %d calls over the portable plane", err, len(p.calls))
	}
}

// fill writes to a connection until there is no room, and returns how much.
func fill(t *testing.T, conn net.Conn) (size int64) {
	t.Helper()
	_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	for {
		n, err := conn.Write(make([]byte, 64<<10))
		size += int64(n)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return size
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// What is given up before any of it has left never leaves.
func TestWhatIsGivenUpBeforeItLeaves(t *testing.T) {
	t.Parallel()
	host, plugin := sockets(t)
	sink, _ := sinkAt(t, host, planeLimit)
	far, filler := farEndOf(t, plugin), fill(t, host)
	ctx, cancel := context.WithCancel(t.Context())
	never := writeIn(ctx, sink, Batch{{Metric: "never"}})
	eventually(t, "it has the turn", func() bool { return len(sink.link.turn) == 1 })
	cancel()
	if err := inTime(t, "the call", never); !errors.Is(err, context.Canceled) {
		t.Errorf("the call: %v", err)
	}
	next := writeIn(t.Context(), sink, Batch{{Metric: "next"}})
	if _, err := io.CopyN(io.Discard, far.r, filler); err != nil {
		t.Fatal(err)
	}
	call, c := far.call()
	if batches, _, err := readBatches(&c, nil); err != nil || batches[0][0].Metric != "next" {
		t.Errorf("call %d has %v: %v", call, batches, err)
	}
	far.say(frame.Answer, call, 0, 0)
	if err := inTime(t, "the next", next); err != nil {
		t.Error(err)
	}
}

// holdBack has requests wait.
func holdBack(g *gathering) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.newest = &flight{}
}

// What is given up while it waits is not referred to, and does not leave.
func TestWhatIsGivenUpWhileItWaits(t *testing.T) {
	host, plugin := sockets(t)
	in, _ := inputAt(t, host, planeLimit)
	far := farEndOf(t, plugin)
	holdBack(in.link)
	var all []<-chan asked
	ctx, cancel := context.WithCancel(t.Context())
	for i, c := range []context.Context{t.Context(), ctx, t.Context()} {
		all = append(all, ask(c, in, Request{Body: []byte{byte(i)}}))
		eventually(t, "it waits", func() bool { return waitingFor(in.link) == i+1 })
	}
	cancel()
	if got := inTime(t, "the second", all[1]); !errors.Is(got.err, context.Canceled) {
		t.Errorf("the second: %+v", got)
	}
	for i, d := range in.link.waiting {
		if i == 1 && d.request.Body != nil {
			t.Error("its body is referred to")
		}
	}
	go in.link.goOn()
	call, requests := far.requests()
	if len(requests) != 2 || requests[0].Body[0] != 0 || requests[1].Body[0] != 2 {
		t.Errorf("%d requests leave: %v", len(requests), requests)
	}
	far.answer(call, upTo(len(requests)), "k")
	for _, i := range []int{0, 2} {
		if got := inTime(t, "another", all[i]); got.s.Key != "k" || got.err != nil {
			t.Errorf("request %d: %+v", i, got)
		}
	}
}

// When all that wait have given up nothing leaves, and the next request does.
func TestAllThatWaitGiveUp(t *testing.T) {
	host, plugin := sockets(t)
	in, _ := inputAt(t, host, planeLimit)
	far := farEndOf(t, plugin)
	holdBack(in.link)
	ctx, cancel := context.WithCancel(t.Context())
	one := ask(ctx, in, Request{Query: "one"})
	eventually(t, "it waits", func() bool { return waitingFor(in.link) == 1 })
	cancel()
	inTime(t, "the first", one)
	in.link.goOn()
	next := ask(t.Context(), in, Request{Query: "next"})
	call, requests := far.requests()
	if len(requests) != 1 || requests[0].Query != "next" {
		t.Errorf("%d requests leave: %v", len(requests), requests)
	}
	far.answer(call, upTo(1), "k")
	if got := inTime(t, "the next", next); got.s.Key != "k" || got.err != nil {
		t.Errorf("the next: %+v", got)
	}
}

// The next frame leaves before the answer is handed out, and whoever is slow to take his
// part of that holds nobody up.
func TestAnAnswerHasTheNextFrameLeave(t *testing.T) {
	host, plugin := sockets(t)
	in, _ := inputAt(t, host, planeLimit)
	in.link.overdue = time.Hour
	far := farEndOf(t, plugin)
	slow := &decoding{done: make(chan outcome)}
	in.link.waiting = append(in.link.waiting, slow)
	in.link.leave(t.Context())
	call, _ := far.requests()
	next := ask(t.Context(), in, Request{})
	eventually(t, "it waits", func() bool { return waitingFor(in.link) == 1 })
	far.answer(call, upTo(1), "slow")
	call, _ = far.requests()
	if o := inTime(t, "the slow one", slow.done); o.submission.Key != "slow" {
		t.Errorf("the slow one: %+v", o)
	}
	far.answer(call, upTo(1), "next")
	if got := inTime(t, "the next", next); got.s.Key != "next" || got.err != nil {
		t.Errorf("the next: %+v", got)
	}
}

// Of a link that has broken a request does not even ask for the others' lock.
func TestARequestBehindABrokenLink(t *testing.T) {
	host, _ := sockets(t)
	in, p := inputAt(t, host, planeLimit)
	in.link.link.close(errEnded)
	in.link.mu.Lock()
	defer in.link.mu.Unlock()
	if got := inTime(t, "the call", ask(t.Context(), in, Request{})); got.s.Key != "portable" || got.err != nil || len(p.calls) != 1 {
		t.Errorf("the call: %+v", got)
	}
}
