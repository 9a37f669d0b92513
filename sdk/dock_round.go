package sdk

import (
	"context"
	"sync"
	"time"

	"fluxgate/sdk/internal/frame"
)

// slow is how long the requests of a call are worked on one after the other, and
// answered together.
const slow = 2 * time.Millisecond

// A round is the requests of one call to an input, and what becomes of them. None
// waits long for another: after slow those that are left are worked on at once, and
// each is answered when it is done.
type round struct {
	guest    *guest[Input]
	voice    voice
	requests []Request
	outcomes []outcome

	mu      sync.Mutex
	next    int   // request
	left    int   // requests that have no outcome
	ready   []int // requests that have one, and no answer
	hurried bool  // each is answered at once

	unanswered sync.WaitGroup
}

// run returns when all requests are answered.
func (r *round) run(ctx context.Context) {
	if len(r.requests) > 1 {
		defer time.AfterFunc(slow, func() { r.spread(ctx) }).Stop()
	}
	r.work(ctx)
	r.unanswered.Wait()
}

// spread answers what is ready, and has each of the other requests worked on.
func (r *round) spread(ctx context.Context) {
	r.mu.Lock()
	r.hurried = true
	ready := r.takeReady()
	n := len(r.requests) - r.next
	r.mu.Unlock()
	for range n {
		go r.work(ctx)
	}
	r.answer(ready)
}

// work works on one request after the other until there are no more.
func (r *round) work(ctx context.Context) {
	for {
		r.mu.Lock()
		i := r.next
		r.next++
		r.mu.Unlock()
		if i >= len(r.requests) {
			return
		}
		r.decode(ctx, i)
		r.mu.Lock()
		r.left--
		r.ready = append(r.ready, i)
		var ready []int
		if r.hurried || r.left == 0 {
			ready = r.takeReady()
		}
		r.mu.Unlock()
		r.answer(ready)
	}
}

func (r *round) decode(ctx context.Context, i int) {
	o := &r.outcomes[i]
	o.err = r.guest.call(func(in Input) error {
		return recovered(func() (err error) {
			o.submission, err = in.Decode(ctx, r.requests[i])
			return err
		})
	})
}

// takeReady returns what is to be answered. The caller holds mu.
func (r *round) takeReady() []int {
	ready := r.ready
	r.ready = nil
	return ready
}

// answer answers requests, in as few frames as the limit allows.
func (r *round) answer(ready []int) {
	if len(ready) == 0 {
		return
	}
	buffer := frames.Get().(*[]byte)
	b := (*buffer)[:0]
	for len(ready) > 0 {
		var n int
		b, n = r.appendAnswer(b[:0], ready)
		r.voice.send(b)
		r.recycle(ready[:n])
		r.unanswered.Add(-n)
		ready = ready[n:]
	}
	keepFrame(buffer, b)
}

// appendAnswer appends a frame with the answers to some of the requests, as many as
// it may hold, and returns to how many.
func (r *round) appendAnswer(dst []byte, ready []int) (b []byte, n int) {
	datapoints := 0
	b = frame.AppendUint64(r.voice.begin(dst), 0) // both numbers, which are set below
	head := len(b)
	for ; n < len(ready); n++ {
		before, o := len(b), &r.outcomes[ready[n]]
		b = appendOutcome(frame.AppendUint32(b, uint32(ready[n])), o.err)
		if o.err == nil {
			b = appendSubmission(b, &o.submission)
		}
		if len(b)-frame.HeaderSize <= r.voice.limit {
			if o.err == nil {
				datapoints += len(o.submission.Batch) + len(o.submission.Backfill)
			}
			continue
		}
		if b = b[:before]; n == 0 {
			b = frame.AppendUint32(frame.AppendUint32(b, uint32(ready[n])), uint32(codeTooLong))
			b, n = frame.AppendUint32(b, 0), 1
		}
		break
	}
	frame.PutUint32(b[head-8:], uint32(datapoints))
	frame.PutUint32(b[head-4:], uint32(n))
	return b, n
}

// recycle gives an input its submissions back, if it wants them.
func (r *round) recycle(requests []int) {
	_ = r.guest.call(func(in Input) error { // of one that is closed nothing is used again
		recycler, ok := in.(Recycler)
		for _, i := range requests {
			if !ok || r.outcomes[i].err != nil {
				continue
			}
			_ = recovered(func() error { // a panic has been logged
				recycler.Recycle(r.outcomes[i].submission)
				return nil
			})
		}
		return nil
	})
}
