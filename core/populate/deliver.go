package populate

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"fluxgate/sdk"
)

const (
	batchSize = 5000 // datapoints that a sink gets at once

	// slowWrite is after how long a write that failed counts as too large for the
	// sink.
	slowWrite = 9 * time.Second
	minBatch  = 480 // datapoints: one frame of Carbon's pickles

	// creationWait is when a job that may not make a new metric yet asks again.
	creationWait = 3 * time.Second
)

// deliver brings to the sink what is resampled and was not delivered. It returns
// how long to wait where it may not begin yet.
func (t *turn) deliver() (time.Duration, error) {
	for {
		v := t.job.view()
		if t.job.Pass.View == nil && (len(v.Windows) == 0 || v.equal(t.job.Pass.Before)) {
			return 0, nil
		}
		if !t.mayBegin() {
			return creationWait, nil
		}
		if err := t.mend(t.passOn(v)); err != nil {
			return 0, err
		}
	}
}

// mayBegin reports whether the job may make its metric, if that is a new one. It
// asks until it has been told so once.
func (t *turn) mayBegin() bool {
	t.job.granted = t.job.granted || t.job.Known || t.job.Delivered > 0 || t.p.fresh.Allow()
	return t.job.granted
}

// passOn makes a pass with a view, or finishes the one that was begun.
func (t *turn) passOn(v view) error {
	if err := t.enter(Delivering); err != nil {
		return err
	}
	if t.job.Pass.View == nil {
		if err := t.beginPass(v); err != nil {
			return err
		}
	}
	sink, _, err := t.terms.Sink(t.job.Request.Sink)
	if err != nil {
		return err
	}
	var failure error
	c := &courier{turn: t, sink: sink}
	if err := c.send(t.plan(&failure)); err != nil || failure != nil {
		return cmp.Or(err, failure)
	}
	return t.change(func(s *saved) { s.Pass = pass{Before: *s.Pass.View} })
}

func (t *turn) beginPass(v view) error {
	if err := t.verify(v); err != nil {
		return err
	}
	now := t.p.now().Unix()
	if err := t.change(func(s *saved) { s.Pass.View, s.Pass.Now, s.Pass.Sent = &v, now, 0 }); err != nil {
		return err
	}
	return t.measure()
}

// measure counts what the pass has to send, and warns of what will become of it.
func (t *turn) measure() error {
	var failure error
	p := t.plan(&failure)
	oldest, cover, total := int64(0), int64(0), int64(0)
	for s := range p.points() {
		if oldest == 0 {
			oldest = s.Timestamp
		}
		cover = max(cover, s.Cover)
	}
	for range p.fine() {
		total++
	}
	for range p.coarse() {
		total++
	}
	for range p.boundary(p.now) {
		total++
	}
	if failure != nil {
		return failure
	}
	return t.change(func(s *saved) {
		s.Total = s.Delivered + s.Refused + total
		if w := p.warning(oldest, cover); oldest != 0 && w != "" {
			s.warn(w)
		}
	})
}

// mend has windows fetched again whose files turned out to be damaged. It returns
// its argument.
func (t *turn) mend(err error) error {
	if !errors.Is(err, errDamaged) {
		return err
	}
	return errors.Join(err, t.verify(t.job.view()))
}

// verify returns an error if the file of a window is damaged, which is then fetched
// again.
func (t *turn) verify(v view) error {
	for _, i := range v.Windows {
		err := verifyPoints(pointsFile(t.p.folder, t.job.ID, i, resampledFile))
		if err == nil {
			continue
		}
		again := t.change(func(s *saved) {
			s.Windows[i].State, s.Pass.View = Pending, nil
			s.Pass.Before.Windows = slices.DeleteFunc(s.Pass.Before.Windows, func(w int) bool { return w == i })
		})
		return errors.Join(sdk.Unavailablef("window %d is fetched again: %w", i, err), again)
	}
	return nil
}

// plan returns what of the pass is to be sent. Why points could not be read is told
// in failure.
func (t *turn) plan(failure *error) plan {
	known, _ := t.terms.Schema(t.job.Request.Sink, t.job.Metric)
	p := plan{schema: known, now: t.job.Pass.Now, last: t.job.Last}
	if t.job.Request.From != 0 {
		p.last = t.job.From - 1
	}
	p.points = func() iter.Seq[span] {
		return func(yield func(span) bool) {
			err := t.read(func(c chosen) bool {
				cover := max(t.job.Request.Step, t.job.Windows[c.window].Step)
				return p.plain() && !c.news || yield(span{c.Timestamp, c.Value, cover})
			})
			*failure = errors.Join(*failure, err)
		}
	}
	return p
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

// A courier sends points to the sink, and notes each batch that is taken.
type courier struct {
	turn *turn
	sink Sink
}

// send sends what of p the pass has not sent before. The boundary is small, and
// sent whole each time.
func (c *courier) send(p plan) error {
	sent := c.turn.job.Pass.Sent
	everything := func(yield func(sdk.Point) bool) {
		for _, part := range []iter.Seq[sdk.Point]{p.fine(), p.coarse()} {
			for point := range part {
				if !yield(point) {
					return
				}
			}
		}
	}
	holds := func(point sdk.Point) bool { return p.holds(point.Timestamp, c.turn.p.now().Unix()) }
	if err := c.batches(from(everything, sent), holds); err != nil || p.plain() {
		return err
	}
	return c.batches(p.boundary(c.turn.p.now().Unix()), func(sdk.Point) bool { return true })
}

// batches sends points in batches. Those that no longer hold are passed over.
func (c *courier) batches(points iter.Seq[sdk.Point], holds func(sdk.Point) bool) error {
	batch, passed := make(sdk.Batch, 0, batchSize), int64(0)
	flush := func() error {
		err := c.write(batch)
		if err == nil && passed > 0 {
			err = c.turn.change(func(s *saved) { s.Pass.Sent += passed })
		}
		batch, passed = batch[:0], 0
		return err
	}
	for p := range points {
		if !holds(p) {
			passed++
			continue
		}
		batch = append(batch, sdk.Datapoint{Metric: c.turn.job.Metric, Timestamp: p.Timestamp, Value: p.Value})
		if len(batch) == batchSize {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
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
		if err := c.turn.change(func(s *saved) {
			s.Pass.Sent += int64(n)
			s.Delivered += int64(n)
			s.Total = max(s.Total, s.Delivered+s.Refused)
		}); err != nil {
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
