// Package ledger remembers the newest timestamp of each metric: in Redis, where
// the rest of Skyline reads it, or in a file of its own. What was accepted and
// is not recorded yet is kept in memory, so that it counts at once.
package ledger

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"fluxgate/sdk"
)

// A Store keeps the newest datapoint of each metric. Every call obeys its
// context's deadline.
type Store interface {
	// Last returns the newest timestamp of each metric, 0 where there is none. It
	// is asked for at most 1,000.
	Last(ctx context.Context, metrics []string) ([]int64, error)
	// Record enters the datapoints of b, which names each metric once. An entry
	// never moves back, except one newer than ahead, which is not believed.
	// After an error some may be entered; recording them again is right. A value
	// that is not finite stands for None: the metric has points, and no value.
	Record(ctx context.Context, b sdk.Batch, ahead int64) error
	// Beat sets the entry called name to now, for two minutes.
	Beat(ctx context.Context, name string, now time.Time) error
	// Note enters what Vista looks for: that remoteTarget is known, unless it is
	// empty, and the resolution of metric in whole seconds, for an hour, unless it
	// is 0.
	Note(ctx context.Context, metric, remoteTarget string, resolution time.Duration) error
	// Lease gives the lease of metric to owner for d, unless somebody has it.
	Lease(ctx context.Context, metric, owner string, d time.Duration) (given bool, err error)
	// Renew has the lease of metric last for d from now on, if owner has it; for 0
	// it ends.
	Renew(ctx context.Context, metric, owner string, d time.Duration) (ours bool, err error)
	Close() error
}

const (
	// lookTimeout is how long a round trip to the store may take. Without an
	// answer datapoints pass unchecked: a late duplicate is harmless.
	lookTimeout = 50 * time.Millisecond

	// pieceLimit is how many metrics are read, or recorded, in one round trip.
	pieceLimit = 1000

	// recordTimeout bounds one flush, which nobody waits for.
	recordTimeout = 2 * time.Second
)

// A Ledger judges which datapoints are fresh: newer than what was accepted of
// their metric before.
type Ledger struct {
	store    Store
	lookups  lookups
	maxAhead time.Duration
	now      func() time.Time

	mu      sync.Mutex
	table   map[string]*entry // what is accepted and, as far as is known, not recorded
	beats   map[string]bool   // signs of life to be written
	rounds  rounds
	leaving []departure   // to be forgotten, oldest first
	wake    chan struct{} // there are beats
	failing bool          // the last call of Record failed

	unchecked, failed, absurd prometheus.Counter
}

// An entry is what the ledger knows of a metric before the store does.
type entry struct {
	kept    int64  // the newest timestamp that was accepted; 0: none
	claimed int64  // the newest that is under way
	by      *claim // who brought that one; nil: nothing is under way
}

// New returns a ledger over store. An entry of the store that lies more than
// maxAhead in the future is not believed.
func New(store Store, maxAhead time.Duration, metrics prometheus.Registerer) *Ledger {
	counter := func(name, help string) prometheus.Counter {
		return promauto.With(metrics).NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return &Ledger{
		store:    store,
		lookups:  lookups{store: store},
		maxAhead: maxAhead,
		now:      time.Now,
		table:    make(map[string]*entry),
		beats:    make(map[string]bool),
		rounds:   rounds{underway: make(map[int]int)},
		wake:     make(chan struct{}, 1),
		unchecked: counter("fluxgate_datapoints_unchecked_total",
			"Datapoints judged without the ledger's store, which did not answer in time."),
		failed: counter("fluxgate_record_failed_total",
			"Attempts to record in the ledger's store that failed; they are repeated."),
		absurd: counter("fluxgate_ledger_absurd_total",
			"Entries found too far in the future to be believed."),
	}
}

// Look fetches what is recorded of b's metrics, together with other requests. A
// store that does not answer a round trip within 50 ms is left alone for a
// second, and b is judged without it. The function that it returns judges b, and must be called:
// it returns the datapoints that are fresh, in their order, and from then on
// they count as accepted. Its second result must be called once with what
// became of them: nil keeps them, until they are recorded; any error releases them, so that the same datapoints are fresh again. It returns that
// error, or the one of a request under way on which the judgement relied, for
// which it waits.
func (l *Ledger) Look(b sdk.Batch) func() (fresh sdk.Batch, settle func(error) error) {
	if len(b) == 0 {
		return func() (sdk.Batch, func(error) error) { return nil, func(err error) error { return err } }
	}
	l.mu.Lock()
	round := l.rounds.enter()
	l.mu.Unlock()
	metrics := make([]string, len(b))
	for i := range b {
		metrics[i] = b[i].Metric
	}
	last, err := l.lookups.last(metrics)
	if err != nil {
		l.unchecked.Add(float64(len(b)))
		last = make([]int64, len(b))
	}
	return func() (sdk.Batch, func(error) error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		defer l.forget()
		defer l.rounds.leave(round)
		return l.judge(b, last)
	}
}

// Last returns the newest timestamp that is recorded of metric, or accepted and
// not recorded yet; 0 if there is none that can be believed. Unlike Look it gives
// the store the time that ctx has, of which Redis uses two seconds at most, and
// fails when that does not answer, with an error that wraps [sdk.ErrUnavailable].
func (l *Ledger) Last(ctx context.Context, metric string) (int64, error) {
	l.mu.Lock()
	round := l.rounds.enter()
	l.mu.Unlock()
	last, err := l.store.Last(ctx, []string{metric})
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.forget()
	defer l.rounds.leave(round)
	if err != nil {
		return 0, sdk.Unavailablef("newest timestamp of %q: %w", metric, err)
	}
	return l.newest(l.table[metric], last[0], l.believed()), nil
}

// Note tells Vista, if there is a Redis, that remoteTarget is known, unless it is
// empty, and what the resolution of metric is, in whole seconds, at least one,
// unless it is 0. Its error wraps [sdk.ErrUnavailable].
func (l *Ledger) Note(ctx context.Context, metric, remoteTarget string, resolution time.Duration) error {
	if err := l.store.Note(ctx, metric, remoteTarget, resolution); err != nil {
		return sdk.Unavailablef("note %q for Vista: %w", remoteTarget, err)
	}
	return nil
}

// newest returns the newer of what is recorded of a metric and of what e, which
// may be nil, keeps of it. What is newer than believed counts as absent. It is
// called with the lock held.
func (l *Ledger) newest(e *entry, recorded, believed int64) int64 {
	if recorded > believed {
		l.absurd.Inc()
		recorded = 0
	}
	if e == nil {
		return recorded
	}
	if e.kept > believed {
		l.absurd.Inc()
		e.kept = 0
	}
	return max(recorded, e.kept)
}

// judge is called with the lock held.
func (l *Ledger) judge(b sdk.Batch, last []int64) (sdk.Batch, func(error) error) {
	c := &claim{done: make(chan struct{})}
	believed := l.believed()
	for i, d := range b {
		e := l.table[d.Metric]
		newest := l.newest(e, last[i], believed)
		if e != nil {
			newest = max(newest, e.claimed)
			c.rely(e.by)
		}
		if d.Timestamp <= newest {
			continue
		}
		if e == nil {
			e = l.enter(d.Metric)
		}
		e.claimed, e.by = d.Timestamp, c
		c.fresh = append(c.fresh, d)
	}
	return c.fresh, func(err error) error { return l.settle(c, err) }
}

// enter makes an entry, under a copy of the metric: that may be part of a whole
// request.
func (l *Ledger) enter(metric string) *entry {
	e := &entry{}
	l.table[strings.Clone(metric)] = e
	return e
}

// believed returns the newest timestamp that an entry may have.
func (l *Ledger) believed() int64 { return l.now().Add(l.maxAhead).Unix() }

// settle is the end of a claim, in one of two ways.
func (l *Ledger) settle(c *claim, err error) error {
	if relied := c.await(); err == nil {
		err = relied
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range c.fresh {
		e := l.table[d.Metric] // there while somebody's claim is on it
		if e.by == c {
			e.by, e.claimed = nil, 0
		}
		if err == nil {
			e.kept = max(e.kept, d.Timestamp)
		}
	}
	if err != nil {
		l.leave(c.fresh, false)
	}
	c.end(err)
	return err
}

// Restore notes, before anything is judged, that b was accepted earlier and is
// not recorded yet.
func (l *Ledger) Restore(b sdk.Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range b {
		e := l.table[d.Metric]
		if e == nil {
			e = l.enter(d.Metric)
		}
		e.kept = max(e.kept, d.Timestamp)
	}
}

// leave has the metrics of b forgotten once no lookup under way may have missed
// what is recorded of them by now: b, or nothing new.
func (l *Ledger) leave(b sdk.Batch, recorded bool) {
	l.leaving = append(l.leaving, departure{l.rounds.next(), b, recorded})
	l.forget()
}

// forget drops the entries of which the store knows all.
func (l *Ledger) forget() {
	oldest := l.rounds.oldest()
	for len(l.leaving) > 0 && l.leaving[0].round < oldest {
		gone := l.leaving[0]
		for _, d := range gone.batch {
			e := l.table[d.Metric]
			if e != nil && e.by == nil && (e.kept == 0 || gone.recorded && e.kept <= d.Timestamp) {
				delete(l.table, d.Metric)
			}
		}
		l.leaving = l.leaving[1:]
	}
}

// Beat has the sign of life called name written behind whatever is under way.
func (l *Ledger) Beat(name string) {
	l.mu.Lock()
	l.beats[name] = true
	l.mu.Unlock()
	l.rouse()
}

func (l *Ledger) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
