package delivery

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"fluxgate/sdk"
)

// liveFirst is for how long live data may wait for a sink before history stands
// back.
const liveFirst = time.Second

// A Direct brings history to one sink without a journal, for whoever keeps it
// until the sink has it. No books tell of it but the number of datapoints taken.
type Direct struct {
	target     *target
	live, fill *lane // of the same sink

	most atomic.Int64 // datapoints of the next piece; fewer after one that took too long
}

// Direct returns the way past the journals to the sink called name.
func (d *Delivery) Direct(name string) (*Direct, error) {
	for _, t := range d.targets {
		if t.sink.Name == name {
			w := &Direct{target: t, live: d.Live.lane(name), fill: d.Fill.lane(name)}
			w.most.Store(maxBatch)
			return w, nil
		}
	}
	return nil, sdk.Invalidf("there is no sink %q", name)
}

// Write brings b to the sink, in its order, in pieces of at most 5,000 datapoints
// and 512 KiB, and returns how many of its first datapoints the sink has. It shares
// the rate of backfill, and waits while live data has waited for the sink for
// longer than a second. At the first error it ends, and tries nothing again: one
// that wraps [sdk.ErrInvalid] is the sink's, about a datapoint of the next piece;
// after any other the rest may be written later. A piece that took the whole ten
// seconds that it has makes later ones smaller. Write may be called concurrently,
// until the delivery is closed.
func (w *Direct) Write(ctx context.Context, b sdk.Batch) (delivered int, err error) {
	for delivered < len(b) {
		rest := b[delivered:]
		part := rest[:min(piece(rest), int(w.most.Load()))]
		if err := w.turn(ctx, len(part)); err != nil {
			return delivered, sdk.Unavailablef("history for sink %q waits: %w", w.target.sink.Name, err)
		}
		if err := w.write(ctx, part); err != nil {
			return delivered, err
		}
		delivered += len(part)
	}
	return delivered, nil
}

// turn waits until n datapoints of history may go.
func (w *Direct) turn(ctx context.Context, n int) error {
	if err := w.fill.pace.wait(ctx, n); err != nil {
		return err
	}
	for {
		moved := w.live.stream.next()
		if age(w.live.reader.Books()) <= liveFirst.Seconds() {
			return ctx.Err()
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// write is one call of the sink, from which the size of the next piece follows.
func (w *Direct) write(ctx context.Context, part sdk.Batch) error {
	began := time.Now()
	err := w.target.write(ctx, part)
	most := w.most.Load()
	switch {
	case err == nil:
		w.most.CompareAndSwap(most, min(most+moreAfter, maxBatch))
	case !errors.Is(err, sdk.ErrInvalid) && time.Since(began) >= lateAfter:
		w.most.CompareAndSwap(most, max(int64(len(part)/2), minBatch))
	}
	return err
}
