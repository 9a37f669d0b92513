package ledger

import (
	"context"
	"errors"
	"sync"
	"time"
)

// breakTime is for how long the store is left alone after it did not answer.
const breakTime = time.Second

var errBroken = errors.New("the ledger's store did not answer lately")

// lookups asks the store for many requests at once: those that arrive while a
// round trip is under way travel together on the next.
type lookups struct {
	store Store

	mu      sync.Mutex
	running bool
	waiting *lookup
	retry   time.Time // not before this, after a failure
}

// A lookup is one round trip.
type lookup struct {
	metrics []string
	done    chan struct{} // closed at the end
	last    []int64
	err     error
}

// last returns the newest recorded timestamp of each metric, or an error after
// lookTimeout at the latest.
func (l *lookups) last(ctx context.Context, metrics []string) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	l.mu.Lock()
	if time.Now().Before(l.retry) {
		l.mu.Unlock()
		return nil, errBroken
	}
	if l.waiting == nil {
		l.waiting = &lookup{done: make(chan struct{})}
	}
	own := l.waiting
	start := len(own.metrics)
	own.metrics = append(own.metrics, metrics...)
	if !l.running {
		l.running = true
		go l.run()
	}
	l.mu.Unlock()
	select {
	case <-own.done:
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			l.rest()
		}
		return nil, ctx.Err()
	}
	if own.err != nil {
		return nil, own.err
	}
	return own.last[start : start+len(metrics)], nil
}

// run makes round trips until nobody waits.
func (l *lookups) run() {
	for {
		l.mu.Lock()
		own := l.waiting
		if l.waiting = nil; own == nil {
			l.running = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
		own.last, own.err = l.store.Last(ctx, own.metrics)
		cancel()
		if own.err != nil {
			l.rest()
		}
		close(own.done)
	}
}

// rest leaves the store alone for a while.
func (l *lookups) rest() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retry = time.Now().Add(breakTime)
}
