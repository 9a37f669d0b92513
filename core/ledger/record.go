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
	// flushPause is the shortest time between two flushes. What is kept
	// meanwhile is recorded together.
	flushPause = 50 * time.Millisecond

	// flushLimit is how many metrics are recorded in one call of the store.
	flushLimit = 10_000

	// lastFlush is how long the flush at the end may take, repetitions included.
	lastFlush = 5 * time.Second
)

// Run records what is delivered, until ctx ends and all of it is recorded. A
// flush that fails is counted and repeated, later each time.
func (l *Ledger) Run(ctx context.Context) {
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	l.Beat(BeatWorker)
	wait := &backoff.ExponentialBackOff{
		InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.2, Multiplier: 2, MaxInterval: 2 * time.Second,
	}
	for {
		select {
		case <-l.wake:
			pause(ctx, l.attempt(ctx, wait))
		case <-minute.C:
			l.Beat(BeatWorker)
		case <-ctx.Done():
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
			defer cancel()
			for l.unrecorded() && ending.Err() == nil {
				if next := l.attempt(ending, wait); l.failing {
					pause(ending, next)
				}
			}
			return
		}
	}
}

// attempt flushes once, and returns how long to wait before the next flush. What
// is left has Run woken again.
func (l *Ledger) attempt(ctx context.Context, wait *backoff.ExponentialBackOff) time.Duration {
	err := l.flush(context.WithoutCancel(ctx))
	if l.unrecorded() {
		l.rouse()
	}
	switch {
	case err == nil && l.failing:
		slog.Info("the ledger records again")
	case err != nil && !l.failing:
		slog.Warn("the ledger's store does not record; it is tried again", "err", err)
		wait.Reset()
	}
	if l.failing = err != nil; l.failing {
		l.failed.Inc()
		return wait.NextBackOff()
	}
	return flushPause
}

func (l *Ledger) unrecorded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.dirty) > 0 || len(l.beats) > 0
}

// flush records the oldest part of what is kept, in one call of the store.
func (l *Ledger) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	b, beats := l.takeDirty()
	var errs []error
	for _, name := range beats {
		if err := l.store.Beat(ctx, name, l.now()); err != nil {
			errs = append(errs, err)
			l.Beat(name)
		}
	}
	if len(b) > 0 {
		err := l.store.Record(ctx, b, l.believed())
		errs = append(errs, err)
		l.flushed(b, err == nil)
	}
	return errors.Join(errs...)
}

// takeDirty returns what the next flush writes. The entries stay dirty until
// the store has them.
func (l *Ledger) takeDirty() (b sdk.Batch, beats []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.dirty), flushLimit)
	for _, metric := range l.dirty[:n] {
		b = append(b, l.table[metric].kept)
	}
	l.dirty = slices.Delete(l.dirty, 0, n)
	beats = slices.Collect(maps.Keys(l.beats))
	clear(l.beats)
	return b, beats
}

// flushed notes what became of a flush of b. What was not recorded, and what
// got a newer datapoint meanwhile, is to be recorded still.
func (l *Ledger) flushed(b sdk.Batch, recorded bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range b {
		e := l.table[d.Metric]
		if e.dirty = !recorded || e.kept.Timestamp > d.Timestamp; e.dirty {
			l.dirty = append(l.dirty, d.Metric)
		}
	}
	if recorded {
		l.leave(b)
	}
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
