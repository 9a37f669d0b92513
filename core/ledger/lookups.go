package ledger

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// breakTime is for how long the store is left alone after it did not answer.
	breakTime = time.Second

	// moreTime is what a request has beyond lookTimeout for each pieceLimit of its
	// metrics: a store that is well answers in less.
	moreTime = 5 * time.Millisecond
)

var errBroken = errors.New("the ledger's store did not answer lately")

// lookups asks the store for many requests at once: those that arrive while a
// round trip is under way travel together on the next.
type lookups struct {
	store Store
	most  int // round trips at a time

	mu      sync.Mutex
	running int
	waiting []*lookup
	failing bool      // the last round trip failed
	retry   time.Time // not before this, after a failure
}

// sharedTrips is how many round trips are under way at a time where every request
// needs one.
const sharedTrips = 2

// A lookup is what one request asks for.
type lookup struct {
	metrics []string
	done    chan struct{} // closed at the end
	last    []Recorded
	err     error
}

// last returns what is recorded of each metric, or an error after
// lookTimeout, a little more for a large request. When the store does not answer a
// round trip within lookTimeout, it fails for all who wait, and at once for those
// who ask soon after.
func (l *lookups) last(metrics []string) ([]Recorded, error) {
	if len(metrics) > pieceLimit {
		return l.long(metrics)
	}
	own := &lookup{metrics: metrics, done: make(chan struct{})}
	l.mu.Lock()
	if l.broken() {
		l.mu.Unlock()
		return nil, errBroken
	}
	l.waiting = append(l.waiting, own)
	if l.running < l.most {
		l.running++
		go l.run()
	}
	l.mu.Unlock()
	timer := time.NewTimer(lookTimeout)
	defer timer.Stop()
	select {
	case <-own.done:
		return own.last, own.err
	case <-timer.C:
		l.giveUp(own)
		return nil, context.DeadlineExceeded // too many wait for their turn
	}
}

// giveUp takes a lookup out of those that wait, together with those before it, which
// have waited for longer.
func (l *lookups) giveUp(own *lookup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiting, own)
	clear(l.waiting[:i+1])
	l.waiting = l.waiting[i+1:]
}

// long asks for more metrics than fit into one round trip, without holding up
// the others.
func (l *lookups) long(metrics []string) (last []Recorded, err error) {
	deadline := time.Now().Add(lookTimeout + time.Duration(len(metrics)/pieceLimit)*moreTime)
	for len(metrics) > 0 {
		if time.Now().After(deadline) {
			return nil, context.DeadlineExceeded
		}
		l.mu.Lock()
		broken := l.broken()
		l.mu.Unlock()
		if broken {
			return nil, errBroken
		}
		n := min(len(metrics), pieceLimit)
		piece, err := l.trip(metrics[:n])
		if err != nil {
			return nil, err
		}
		last, metrics = append(last, piece...), metrics[n:]
	}
	return last, nil
}

// broken is called with the lock held.
func (l *lookups) broken() bool { return time.Now().Before(l.retry) }

// run makes round trips until nobody waits.
func (l *lookups) run() {
	for {
		together := l.next()
		if len(together) == 0 {
			return
		}
		var metrics []string
		for _, own := range together {
			metrics = append(metrics, own.metrics...)
		}
		last, err := l.trip(metrics)
		if err != nil {
			together = append(together, l.rest()...)
		}
		for _, own := range together {
			if own.err = err; err == nil {
				n := len(own.metrics)
				own.last, last = last[:n:n], last[n:]
			}
			close(own.done)
		}
	}
}

// next takes those who travel on the next round trip, the last to come first: where
// too many wait, they are in time for the answer. It ends the run when there is nobody.
func (l *lookups) next() (together []*lookup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, metrics := len(l.waiting), 0
	for n > 0 {
		if metrics += len(l.waiting[n-1].metrics); metrics > pieceLimit {
			break
		}
		n--
	}
	together = slices.Clone(l.waiting[n:])
	clear(l.waiting[n:])
	l.waiting = l.waiting[:n]
	if len(together) == 0 {
		l.running--
	}
	return together
}

// rest returns everybody who waits, after a failure.
func (l *lookups) rest() []*lookup {
	l.mu.Lock()
	defer l.mu.Unlock()
	rest := l.waiting
	l.waiting = nil
	return rest
}

// trip is one round trip. It lasts for lookTimeout at most, also when the store
// does not obey its deadline.
func (l *lookups) trip(metrics []string) ([]Recorded, error) {
	type answer struct {
		last []Recorded
		err  error
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	answers := make(chan answer, 1)
	go func() {
		defer cancel()
		last, err := l.store.Last(ctx, metrics)
		answers <- answer{last, err}
	}()
	timer := time.NewTimer(lookTimeout)
	defer timer.Stop()
	var a answer
	select {
	case a = <-answers:
	case <-timer.C:
		a.err = context.DeadlineExceeded
	}
	l.note(a.err)
	return a.last, a.err
}

// note has the store left alone after a failure, and logs when failures begin and end.
func (l *lookups) note(err error) {
	l.mu.Lock()
	before := l.failing
	l.failing = err != nil
	if l.failing {
		l.retry = time.Now().Add(breakTime)
	}
	l.mu.Unlock()
	switch {
	case err == nil && before:
		slog.Info("the ledger's store answers again")
	case err != nil && !before:
		slog.Warn("the ledger's store does not answer in time; datapoints pass unchecked", "err", err)
	}
}
