package delivery

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"fluxgate/core/journal"
	"fluxgate/sdk"
)

// A lane is the road from a journal to one sink, in the journal's order.
type lane struct {
	stream   *Stream
	target   *target
	reader   *journal.Reader
	required atomic.Bool
	pace     pace

	most  int       // datapoints of the next write; fewer after one that took too long
	batch sdk.Batch // of the last consignment, whose room the next has
}

func newLane(s *Stream, t *target, reader *journal.Reader, rate int) *lane {
	l := &lane{stream: s, target: t, reader: reader, most: maxBatch}
	l.required.Store(t.sink.Required)
	l.pace.limiter.SetBurst(maxBatch)
	l.pace.set(rate)
	return l
}

// run delivers until ctx ends. The write under way may then go on for
// lastWrites.
func (l *lane) run(ctx context.Context) {
	writing, cancel := longer(ctx, lastWrites)
	defer cancel()
	for ctx.Err() == nil {
		found, err := l.reader.Next(ctx, l.load())
		if err != nil {
			l.stream.unreadable(ctx, l.target.sink.Name, err)
			continue
		}
		c := &consignment{ctx: ctx, writing: writing}
		c.batch, c.records = l.stream.decode(l.batch[:0], found)
		l.batch = c.batch
		if l.deliver(c, 0, len(c.batch), false) != nil {
			return
		}
		if l.save(c) != nil {
			return
		}
	}
}

// load bounds the next write: to one batch, or to more where the sink takes several
// at once, as fast as it can.
func (l *lane) load() journal.Limit {
	capacity := l.target.capacity()
	if capacity < maxBytes || l.pace.limited() {
		return journal.Limit{Bytes: maxBytes, Count: min(l.most, maxBatch)}
	}
	return journal.Limit{Bytes: min(capacity, maxBytes*max(1, l.most/maxBatch)), Count: l.most}
}

// grow has the next write be larger after one of n datapoints that was taken, unless
// that was so small that it tells nothing: up to a batch slowly, beyond that only
// while writes are quick.
func (l *lane) grow(n int, took time.Duration) {
	switch {
	case n < l.most/2:
	case took < quick:
		l.most = min(max(l.most, 2*n), maxLoad)
	case l.most < maxBatch:
		l.most = min(l.most+moreAfter, maxBatch)
	}
}

// save moves the cursor behind c, once its dead letters are on disk. A cursor that
// cannot be written stays where it was: after a restart its datapoints are
// delivered again.
func (l *lane) save(c *consignment) error {
	if c.dead > 0 {
		if err := l.persist(c.ctx, l.target.dead.sync); err != nil {
			return err
		}
	}
	if err := l.reader.Save(c.delivered, c.dead); err != nil {
		slog.Error("a cursor cannot be saved", "journal", l.stream.name, "sink", l.target.sink.Name, "err", err)
	}
	l.stream.advanced()
	return nil
}

// persist tries to write dead letters until it succeeds or ctx ends.
func (l *lane) persist(ctx context.Context, write func() error) error {
	wait := newBackoff()
	for {
		err := write()
		if err == nil {
			return nil
		}
		slog.Error("a dead letter cannot be written, it is tried again", "sink", l.target.sink.Name, "err", err)
		if sleep(ctx, wait.NextBackOff()); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// A consignment is a batch on its way to a sink.
type consignment struct {
	ctx     context.Context // ended: no further write is begun
	writing context.Context // ended: the write under way is given up
	records []journal.Record
	batch   sdk.Batch // of records, whose bytes it shares

	delivered, dead int // datapoints
}

// number returns that of the i-th datapoint of the batch in its journal.
func (c *consignment) number(i int) uint64 {
	for _, r := range c.records {
		if i < r.Count {
			return r.Number + uint64(i)
		}
		i -= r.Count
	}
	panic("a datapoint of no record")
}

// deliver returns when each datapoint from one place of c up to another is in the
// sink or among the dead letters, or when the lane must end. A part that the sink
// refuses, takes too long over or dies of, or that is too large by now, is halved,
// until the bad datapoint stands alone. Of a suspect part the sink has died before.
func (l *lane) deliver(c *consignment, from, to int, suspect bool) error {
	n := to - from
	if n == 0 {
		return nil
	}
	began := time.Now()
	outcome, err := l.attempt(c, c.batch[from:to], suspect)
	switch {
	case outcome == taken:
		c.delivered += n
		l.grow(n, time.Since(began))
		return nil
	case outcome == ended:
		return err
	case outcome == large:
		return l.halve(c, from, to, suspect)
	case n == 1:
		return l.bury(c, from, err)
	case outcome == late:
		l.most = max(n/2, minBatch)
	}
	return l.halve(c, from, to, outcome == deadly)
}

func (l *lane) halve(c *consignment, from, to int, suspect bool) error {
	middle := from + (to-from)/2
	if err := l.deliver(c, from, middle, suspect); err != nil {
		return err
	}
	return l.deliver(c, middle, to, suspect)
}

// bury puts a datapoint among the dead letters.
func (l *lane) bury(c *consignment, i int, reason error) error {
	d := c.batch[i]
	letter := Letter{
		Journal: l.stream.name, Number: c.number(i),
		Metric: d.Metric, Timestamp: d.Timestamp, Value: d.Value, Reason: shortened(reason), Time: time.Now().UTC(),
	}
	if err := l.persist(c.ctx, func() error { return l.target.dead.add(letter) }); err != nil {
		return err
	}
	c.dead++
	return nil
}

// shortened returns the text of a reason, of which a sink may give any length.
func shortened(reason error) string {
	const most = 1 << 10 // bytes
	text := reason.Error()
	if len(text) > most {
		text = text[:most] + "..."
	}
	return strings.ToValidUTF8(text, "\ufffd")
}

// A pace bounds the datapoints in a second. The zero pace has a burst of none.
type pace struct{ limiter rate.Limiter }

// set makes the pace n datapoints in a second, or none in particular for 0.
func (p *pace) set(n int) {
	limit := rate.Inf
	if n > 0 {
		limit = rate.Limit(n)
	}
	p.limiter.SetLimit(limit)
}

func (p *pace) limited() bool { return p.limiter.Limit() != rate.Inf }

// wait waits for its turn with n datapoints, about a tenth of a second at a time,
// so that another pace holds at once.
func (p *pace) wait(ctx context.Context, n int) error {
	for n > 0 {
		part := min(n, maxBatch) // not more than the burst, whatever pace is set meanwhile
		if limit := p.limiter.Limit(); limit != rate.Inf {
			part = min(part, max(1, int(limit)/10))
		}
		if err := p.limiter.WaitN(ctx, part); err != nil {
			return err
		}
		n -= part
	}
	return nil
}
