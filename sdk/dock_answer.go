package sdk

import (
	"context"
	"errors"
	"sync"
	"unsafe"

	"fluxgate/sdk/internal/frame"
)

var errNoCall = errors.New("a frame that is no call")

// answerSink answers calls of a sink.
func answerSink(g *guest[Sink]) answerer {
	return answerer{sending: &g.sending, answer: func(ctx context.Context, c *frame.Cursor, v voice) error {
		list := lists.Get().(*[]Datapoint)
		batches, rows, err := readBatches(c, (*list)[:0])
		if err != nil {
			return err
		}
		err = g.call(func(s Sink) error { return recovered(func() error { return writeAll(ctx, s, batches) }) })
		if ctx.Err() == nil { // else what the sink has begun may go on for a while
			keepList(list, rows)
		}
		buffer := frames.Get().(*[]byte)
		b := appendOutcome(v.begin((*buffer)[:0]), err)
		v.send(b)
		keepFrame(buffer, b)
		return nil
	}}
}

// lists are the datapoints of calls to a sink, which does not keep them.
var lists = sync.Pool{New: func() any { return new([]Datapoint) }}

// keepList has a list used again, which has become rows.
func keepList(list *[]Datapoint, rows Batch) {
	clear(rows)
	if *list = rows; cap(rows) <= maxKeptFrame/int(unsafe.Sizeof(Datapoint{})) {
		lists.Put(list)
	}
}

// readBatches reads the batches of a call. They are parts of rows.
func readBatches(c *frame.Cursor, rows Batch) (batches []Batch, all Batch, err error) {
	parts := make([][]byte, c.Count(4+countSize))
	datapoints := 0
	for i := range parts {
		parts[i] = c.Bytes()
		datapoints += countBatch(parts[i])
	}
	if c.Err() != nil {
		return nil, rows, errNoCall
	}
	if cap(rows) < datapoints {
		rows = make(Batch, 0, datapoints)
	}
	batches = make([]Batch, 0, len(parts))
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
	return answerer{sending: &g.sending, answer: func(ctx context.Context, c *frame.Cursor, v voice) error {
		requests := make([]Request, c.Count(minRequest))
		for i := range requests {
			requests[i] = readRequest(c)
		}
		if c.Err() != nil || len(requests) == 0 {
			return errNoCall
		}
		r := &round{guest: g, voice: v, requests: requests, outcomes: make([]outcome, len(requests)), left: len(requests)}
		r.unanswered.Add(len(requests))
		r.run(ctx)
		return nil
	}}
}
