package delivery

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"

	"fluxgate/sdk"
)

const (
	// WriteTimeout is how long a sink may take over one batch.
	WriteTimeout = 10 * time.Second

	// lateAfter is the part of WriteTimeout after which a failure counts as for
	// lack of time: a sink gives up a little before its deadline.
	lateAfter = WriteTimeout * 9 / 10

	// minBatch is the number of datapoints below which a batch is not halved for
	// lack of time: Carbon takes as many in one frame.
	minBatch = 500

	// moreAfter is by how many datapoints batches grow again after each that was taken
	// and not quick, slowly: one too large costs a whole WriteTimeout.
	moreAfter = 100

	// maxLoad is the most datapoints of one write to a sink that takes several
	// batches at once, and quick how long a write may take after which the next may be
	// twice as large, so that one under way at the end is taken within lastWrites.
	maxLoad = 1 << 16
	quick   = WriteTimeout / 20

	// deathLimit is how often a sink may die of the same batch.
	deathLimit = 3
)

// An outcome is what became of a batch.
type outcome int

const (
	taken   outcome = iota // the sink has it
	refused                // the sink never takes it
	large                  // it is more than the sink is given at once by now
	late                   // it is too much for the time that a write has
	deadly                 // the sink dies of it
	ended                  // the lane must end
)

// attempt writes b until it is known what becomes of it. While the sink is
// unavailable it tries again, later each time.
func (l *lane) attempt(c *consignment, b sdk.Batch, suspect bool) (outcome, error) {
	wait, deaths := newBackoff(), 0
	for ; c.ctx.Err() == nil; sleep(c.ctx, wait.NextBackOff()) {
		if len(b) > l.load().Count {
			return large, nil
		}
		if l.pace.wait(c.ctx, len(b)) != nil {
			continue
		}
		began := time.Now()
		err := l.target.write(c.writing, b)
		switch {
		case err == nil:
			return taken, nil
		case errors.Is(err, sdk.ErrInvalid):
			return refused, err
		case c.writing.Err() != nil:
			return ended, err
		case died(err):
			if deaths++; deaths == deathLimit || suspect && len(b) > 1 {
				return deadly, err
			}
		case len(b) > minBatch && time.Since(began) >= lateAfter:
			return late, err
		}
	}
	return ended, c.ctx.Err()
}

// died reports whether the sink's process ended under the call that returned
// err.
func died(err error) bool {
	var death interface{ Died() bool }
	return errors.As(err, &death) && death.Died()
}

// newBackoff returns how long to wait between attempts: from a tenth of a second
// to five seconds, with jitter.
func newBackoff() *backoff.ExponentialBackOff {
	wait := &backoff.ExponentialBackOff{
		InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.3, Multiplier: 2, MaxInterval: 4 * time.Second,
	}
	wait.Reset()
	return wait
}

// write is one call of the sink. It counts what is taken, and logs when the sink
// begins to fail and when it is well again.
func (t *target) write(ctx context.Context, b sdk.Batch) error {
	limited, cancel := context.WithTimeout(ctx, WriteTimeout)
	defer cancel()
	err := t.give(limited, b)
	if ctx.Err() == nil {
		t.note(err, len(b))
	}
	return err
}

// give has the sink write b, which is more than one batch only for a sink that had
// the capacity when b was bounded.
func (t *target) give(ctx context.Context, b sdk.Batch) error {
	bulk, ok := t.sink.Sink.(Bulk)
	if batches := cut(b); ok && len(batches) > 1 {
		return bulk.WriteAll(ctx, batches)
	}
	return t.sink.Write(ctx, b)
}

// capacity returns how many bytes of batches the sink takes at once just now; 0: one
// batch at a time.
func (t *target) capacity() int {
	if bulk, ok := t.sink.Sink.(Bulk); ok {
		return bulk.Capacity()
	}
	return 0
}

func (t *target) note(err error, datapoints int) {
	refusal := errors.Is(err, sdk.ErrInvalid)
	failing := err != nil && !refusal
	before := t.failing.Swap(failing)
	switch {
	case err == nil:
		t.taken.Add(uint64(datapoints))
		if before {
			slog.Info("the sink takes datapoints again", "sink", t.sink.Name)
		}
	case refusal:
		slog.Warn("the sink refuses datapoints", "sink", t.sink.Name, "datapoints", datapoints, "err", err)
	case failing && !before:
		slog.Warn("the sink does not take datapoints, they wait in the journal", "sink", t.sink.Name, "err", err)
	}
}
