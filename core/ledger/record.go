package ledger

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"fluxgate/sdk"
)

// BeatWorker is the sign of life that Run gives each minute, for which Skyline's
// thunder looks.
const BeatWorker = "flux.worker"

const (
	// recordLimit is how many metrics are recorded in one call of a store that does
	// not say otherwise.
	recordLimit = 10_000

	// lastBeat is how long the signs of life at the end may take.
	lastBeat = 200 * time.Millisecond
)

// A bulk store records many metrics in one call for little more than few.
type bulk interface{ atOnce() int }

// Record moves the store's entries forward to the newest datapoint of each metric of
// b. A value that is not finite, such as NaN, stands for None: the metric has points,
// and no value. After an error, which is counted, recording b again is right.
func (l *Ledger) Record(ctx context.Context, b sdk.Batch) error {
	for piece := range slices.Chunk(newest(b), l.most) {
		l.locate(piece)
		if err := l.move(ctx, piece); err != nil {
			return err
		}
	}
	return nil
}

// locate gives dues the slots that are known.
func (l *Ledger) locate(dues []Due) {
	for piece := range slices.Chunk(dues, collectLimit) {
		l.mu.Lock()
		for i := range piece {
			metric := piece[i].Metric
			if number := l.table.find(metric, l.table.hash(metric)); number != absent {
				piece[i].Slot = l.table.entry(number).slot
			}
		}
		l.mu.Unlock()
	}
}

// move records dues while no flush records.
func (l *Ledger) move(ctx context.Context, dues []Due) error {
	l.recording.RLock()
	defer l.recording.RUnlock()
	err := l.record(ctx, dues)
	l.note(err)
	if err != nil {
		l.doubt(dues)
	} else {
		l.recorded(dues)
	}
	return err
}

// recorded notes that the store has dues.
func (l *Ledger) recorded(dues []Due) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range dues {
		number := l.number(d.Metric)
		l.accept(number, d.Datapoint)
		e := l.table.entry(number)
		e.round = uint32(l.looks.current())
		l.overtake(e)
		if e.slot = d.Slot; e.newest <= d.Timestamp {
			e.state &^= dirty
		}
	}
	l.trim(len(dues))
}

// doubt notes that the store may have some of dues.
func (l *Ledger) doubt(dues []Due) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubts++
	for _, d := range dues {
		if number := l.table.find(d.Metric, l.table.hash(d.Metric)); number != absent {
			e := l.table.entry(number)
			e.state &^= known
			l.overtake(e)
		}
	}
}

func (l *Ledger) record(ctx context.Context, dues []Due) error {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	return l.store.Record(ctx, dues, l.believed())
}

// note counts failures, and logs when they begin and end.
func (l *Ledger) note(err error) {
	if err != nil {
		l.failed.Inc()
	}
	l.mu.Lock()
	before := l.failing
	l.failing = err != nil
	l.mu.Unlock()
	switch {
	case err == nil && before:
		slog.Info("the ledger records again")
	case err != nil && !before:
		slog.Warn("the ledger's store does not record; it is tried again", "err", err)
	}
}

// newest returns the newest datapoint of each metric of b.
func newest(b sdk.Batch) []Due {
	at := make(map[string]int, len(b))
	result := make([]Due, 0, len(b))
	for _, d := range b {
		i, seen := at[d.Metric]
		switch {
		case !seen:
			at[d.Metric] = len(result)
			result = append(result, Due{Datapoint: d})
		case d.Timestamp > result[i].Timestamp:
			result[i].Datapoint = d
		}
	}
	return result
}

// Run gives signs of life, its own each minute, until ctx ends. One that cannot
// be written is tried again, later each time.
func (l *Ledger) Run(ctx context.Context) {
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	wait := &backoff.ExponentialBackOff{
		InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.2, Multiplier: 2, MaxInterval: 2 * time.Second,
	}
	wait.Reset()
	l.Beat(BeatWorker)
	for ctx.Err() == nil {
		select {
		case <-l.wake:
			if l.beat(ctx, recordTimeout) == nil {
				wait.Reset()
				continue
			}
			pause(ctx, wait.NextBackOff())
		case <-minute.C:
			l.Beat(BeatWorker)
		case <-ctx.Done():
		}
	}
	_ = l.beat(context.WithoutCancel(ctx), lastBeat) // the next server gives its own
}

// beat writes the signs of life that are due, within timeout. Those that fail stay
// due.
func (l *Ledger) beat(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	l.mu.Lock()
	names := slices.Collect(maps.Keys(l.beats))
	clear(l.beats)
	l.mu.Unlock()
	var errs []error
	for _, name := range names {
		if err := l.store.Beat(ctx, name, l.now()); err != nil {
			errs = append(errs, err)
			l.Beat(name)
		}
	}
	return errors.Join(errs...)
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
