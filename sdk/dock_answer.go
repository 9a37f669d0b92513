package sdk

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"fluxgate/sdk/internal/frame"
)

var errNoCall = errors.New("a frame that is no call")

// answerSink answers calls of a sink.
func answerSink(g *guest[Sink]) answerer {
	return answerer{sending: &g.sending, answer: func(ctx context.Context, c *frame.Cursor, dst []byte) ([]byte, error) {
		list := lists.Get().(*[]Datapoint)
		defer lists.Put(list)
		batches, rows, err := readBatches(c, (*list)[:0])
		if err != nil {
			return nil, err
		}
		err = g.call(func(s Sink) error { return recovered(func() error { return writeAll(ctx, s, batches) }) })
		clear(rows)
		*list = rows
		return appendOutcome(dst, err), nil
	}}
}

// lists are the datapoints of calls to a sink, which does not keep them.
var lists = sync.Pool{New: func() any { return new([]Datapoint) }}

// readBatches reads the batches of a call. They are parts of rows.
func readBatches(c *frame.Cursor, rows Batch) (batches []Batch, all Batch, err error) {
	parts := make([][]byte, c.Count(4))
	datapoints := 0
	for i := range parts {
		parts[i] = c.Bytes()
		datapoints += CountBatch(parts[i])
	}
	if c.Err() != nil {
		return nil, rows, errNoCall
	}
	if cap(rows) < datapoints {
		rows = make(Batch, 0, datapoints)
	}
	for _, part := range parts {
		begin := len(rows)
		if rows, err = ReadBatch(rows, part); err != nil {
			return nil, rows, err
		}
		batches = append(batches, rows[begin:len(rows):len(rows)])
	}
	return batches, rows, nil
}

// writeAll has a sink write batches in their order.
func writeAll(ctx context.Context, s Sink, batches []Batch) error {
	if bulk, ok := s.(BulkSink); ok && len(batches) > 1 {
		return bulk.WriteAll(ctx, batches)
	}
	for _, b := range batches {
		if err := s.Write(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// answerInput answers calls of an input.
func answerInput(g *guest[Input]) answerer {
	return answerer{sending: &g.sending, answer: func(ctx context.Context, c *frame.Cursor, dst []byte) ([]byte, error) {
		requests := make([]Request, c.Count(minRequest))
		for i := range requests {
			requests[i] = readRequest(c)
		}
		if c.Err() != nil {
			return nil, errNoCall
		}
		outcomes := make([]outcome, len(requests))
		inTurn(len(requests), func(i int) {
			o := &outcomes[i]
			o.err = g.call(func(in Input) error {
				return recovered(func() (err error) {
					o.submission, err = in.Decode(ctx, requests[i])
					return err
				})
			})
		})
		dst = appendOutcomes(dst, outcomes)
		recycle(g, outcomes)
		return dst, nil
	}}
}

func appendOutcomes(dst []byte, outcomes []outcome) []byte {
	datapoints := 0
	for i := range outcomes {
		datapoints += len(outcomes[i].submission.Batch) + len(outcomes[i].submission.Backfill)
	}
	dst = frame.AppendUint32(dst, uint32(datapoints))
	for i := range outcomes {
		o := &outcomes[i]
		dst = appendOutcome(dst, o.err)
		if o.err == nil {
			dst = appendSubmission(dst, &o.submission)
		}
	}
	return dst
}

// recycle gives an input its submissions back, if it wants them.
func recycle(g *guest[Input], outcomes []outcome) {
	_ = g.call(func(in Input) error { // of one that is closed nothing is used again
		r, ok := in.(Recycler)
		for i := range outcomes {
			if ok && outcomes[i].err == nil {
				r.Recycle(outcomes[i].submission)
			}
		}
		return nil
	})
}

// slow is how long the requests of a frame are worked on one after the other.
const slow = 2 * time.Millisecond

// inTurn does n pieces of work one after the other; those that are left after slow,
// at once.
func inTurn(n int, work func(int)) {
	if n == 1 {
		work(0)
		return
	}
	var (
		next atomic.Int64
		left sync.WaitGroup
	)
	left.Add(n)
	worker := func() {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			work(i)
			left.Done()
		}
	}
	more := time.AfterFunc(slow, func() {
		for range n - min(n, int(next.Load())) {
			go worker()
		}
	})
	defer more.Stop()
	worker()
	left.Wait()
}
