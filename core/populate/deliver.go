package populate

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/schema"
)

const (
	batchSize = 5000 // datapoints that a sink gets at once

	// slowWrite is after how long a write that failed counts as too large for the
	// sink.
	slowWrite = 9 * time.Second
	minBatch  = 480 // datapoints: one frame of Carbon's pickles

	// unaged is for how long a pass may rest without its points being of another age
	// than it took them for.
	unaged = 60 // seconds

	// creationWait is when a job that may not make a new metric yet asks again.
	creationWait = time.Second
)

// deliver brings to the sink what is resampled and was not delivered. It returns
// how long to wait where it may not begin yet.
func (t *turn) deliver() (time.Duration, error) {
	v := t.job.view()
	if t.job.Pass.View == nil && (len(v.Windows) == 0 || v.equal(t.job.Pass.Before)) {
		return 0, nil
	}
	if err := t.enter(Delivering); err != nil {
		return 0, err
	}
	if !t.job.Known && t.job.Delivered == 0 && !t.p.fresh.Allow() {
		return creationWait, nil
	}
	if err := t.beginPass(v); err != nil {
		return 0, err
	}
	sink, _, err := t.terms.Sink(t.job.Request.Sink)
	if err != nil {
		return 0, err
	}
	c := &courier{turn: t, sink: sink}
	if err := t.outgoing(c.send); err != nil {
		return 0, err
	}
	return 0, t.change(func(s *saved) { s.Pass = pass{Before: *s.Pass.View} })
}

// beginPass begins a pass with a view, unless one is to go on.
func (t *turn) beginPass(v view) error {
	now := t.p.now().Unix()
	_, aged := t.terms.Schema(t.job.Request.Sink, t.job.Metric)
	if t.job.Pass.View != nil && (!aged || now < t.job.Pass.Now+unaged) {
		return nil
	}
	if t.job.Pass.View != nil {
		v = *t.job.Pass.View
	}
	if err := t.verify(v); err != nil {
		return err
	}
	if err := t.change(func(s *saved) { s.Pass.View, s.Pass.Now, s.Pass.Sent = &v, now, 0 }); err != nil {
		return err
	}
	var total int64
	err := t.outgoing(func(points iter.Seq[sdk.Point]) error {
		for range points {
			total++
		}
		return nil
	})
	if err != nil {
		return err
	}
	return t.change(func(s *saved) { s.Total = s.Delivered + s.Refused + total })
}

// verify has windows whose files are damaged resampled again.
func (t *turn) verify(v view) error {
	for _, i := range v.Windows {
		err := verifyPoints(pointsFile(t.p.folder, t.job.ID, i, resampledFile))
		if err == nil {
			continue
		}
		again := t.change(func(s *saved) {
			s.Windows[i].State, s.Pass.View = Pending, nil
		})
		return errors.Join(sdk.Unavailablef("window %d is fetched again: %w", i, err), again)
	}
	return nil
}

// outgoing hands the points of the pass to send, in the order in which they must be
// sent: without a schema as they are, with one so that each ends in the right
// archive.
func (t *turn) outgoing(send func(iter.Seq[sdk.Point]) error) error {
	known, aged := t.terms.Schema(t.job.Request.Sink, t.job.Metric)
	if !aged {
		return t.plainly(send)
	}
	return t.byArchive(known, send)
}

// read yields the points of the pass. After it, the error says whether those were
// all.
func (t *turn) read(yield func(chosen) bool) error {
	m, err := openMerge(t.p.folder, &t.job.Job, *t.job.Pass.View, t.job.Pass.Before)
	if err != nil {
		return err
	}
	defer m.close()
	for {
		c, ok, err := m.next()
		if err != nil || !ok || !yield(c) {
			return err
		}
	}
}

func (t *turn) plainly(send func(iter.Seq[sdk.Point]) error) error {
	var failure error
	old := t.job.Pass.Now - 24*3600
	err := send(func(yield func(sdk.Point) bool) {
		failure = t.read(func(c chosen) bool {
			if c.Timestamp < old {
				t.show(func(s *saved) { s.warn(noSchema) })
				old = 0
			}
			return !c.news || yield(c.Point)
		})
	})
	return errors.Join(err, failure)
}

const noSchema = "some of the history is older than a day, and the archives of the target are not known: of what lies beyond its first archive " +
	"only the last point of each interval will be kept, unless populate.schema says which archives there are"

func (t *turn) byArchive(known schema.Schema, send func(iter.Seq[sdk.Point]) error) error {
	return fmt.Errorf("TO DO %v", known)
}

// A courier sends points to the sink, and notes each batch that is taken.
type courier struct {
	turn  *turn
	sink  Sink
	begun int64 // points that were looked at
}

// send sends points, but for those that the pass has sent before.
func (c *courier) send(points iter.Seq[sdk.Point]) error {
	batch := make(sdk.Batch, 0, batchSize)
	sent := c.turn.job.Pass.Sent
	for p := range points {
		if c.begun++; c.begun <= sent {
			continue
		}
		batch = append(batch, sdk.Datapoint{Metric: c.turn.job.Metric, Timestamp: p.Timestamp, Value: p.Value})
		if len(batch) == batchSize {
			if err := c.write(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return c.write(batch)
}

// write sends a batch. One that the sink refuses, or takes too long over, is
// halved; a datapoint that it refuses alone is left out, and counted.
func (c *courier) write(b sdk.Batch) error {
	if len(b) == 0 {
		return nil
	}
	began := time.Now()
	n, err := c.sink.Write(c.turn.ctx, b)
	if n > 0 {
		if err := c.turn.change(func(s *saved) { s.Pass.Sent += int64(n); s.Delivered += int64(n) }); err != nil {
			return err
		}
	}
	b = b[n:]
	refused := errors.Is(err, sdk.ErrInvalid)
	late := len(b) > minBatch && time.Since(began) >= slowWrite && c.turn.ctx.Err() == nil
	switch {
	case err == nil || len(b) == 0:
		return err
	case refused && len(b) == 1:
		return c.turn.change(func(s *saved) {
			s.Pass.Sent++
			s.Refused++
			s.warn(fmt.Sprintf("the sink refuses datapoints: %v", err))
		})
	case refused || late:
		middle := len(b) / 2
		if err := c.write(b[:middle]); err != nil {
			return err
		}
		return c.write(b[middle:])
	}
	return fmt.Errorf("sink %q: %w", c.turn.job.Request.Sink, err)
}
