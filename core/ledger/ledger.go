// Package ledger remembers the newest timestamp of each metric: in Redis, where
// the rest of Skyline reads it, or in a file of its own. What was accepted and
// is not recorded yet is kept in memory, so that it counts at once.
package ledger

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"fluxgate/sdk"
)

// A Store keeps the newest datapoint of each metric. Every call obeys its
// context's deadline.
type Store interface {
	// Last returns what is recorded of each metric. It is asked for at most 1,000.
	Last(ctx context.Context, metrics []string) ([]Recorded, error)
	// Record enters what is due, each metric once. An entry never moves back,
	// except one newer than ahead, which is not believed; what is Newest may be
	// entered without a look at what is there. After an error some may be entered,
	// until the next call returns; recording them again is right. A value that is not
	// finite stands for None: the metric has points, and no value. A store with slots
	// notes those that it finds or gives, unless it fails.
	Record(ctx context.Context, dues []Due, ahead int64) error
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

// Recorded is what a store has of a metric.
type Recorded struct {
	Timestamp int64  // the newest; 0: none
	Slot      uint32 // where the store has it, for as long as it is open; 0: unknown
}

// A Due is what is to be recorded of a metric.
type Due struct {
	sdk.Datapoint        // without the name, once the slot is known
	Slot          uint32 // that the store told; 0: it is to look for the name
	Newest        bool   // the store has nothing newer, believed or not, and nobody else records
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

// Options say how a ledger works.
type Options struct {
	MaxAhead time.Duration // an entry of the store that lies further in the future is not believed
	Shared   bool          // others record in the store too: it is asked about every metric of each request
	Metrics  int           // how many are remembered between requests, about; those not seen for long are forgotten first
}

// A Ledger judges which datapoints are fresh: newer than what was accepted of
// their metric before. What it knows of a metric it keeps until there are too many,
// and unless others record too the store is asked about it no more.
type Ledger struct {
	store   Store
	options Options
	most    int // metrics are recorded in one call of the store
	lookups lookups
	now     func() time.Time
	spare   sync.Pool // of claims

	// recording is held by a flush over each call of the store, and shared by Record over
	// the call and what the table learns of it. It comes before mu.
	recording sync.RWMutex

	mu       sync.Mutex
	table    *table
	dirty    []uint32        // entries that may be to be recorded, each once
	snapshot snapshot        // of Collect and flush alone
	looks    rounds          // of lookups that are not judged
	claims   []*claim        // under way, by their number; the first has none
	numbers  []uint32        // of claims, free
	underway rounds          // of claims
	overtook int             // times that the store got or had something newer than what a flush may hold
	doubts   int             // calls of Record that failed
	beats    map[string]bool // signs of life to be written
	wake     chan struct{}   // there are beats
	failing  bool            // the last call of Record failed

	unchecked, failed, absurd prometheus.Counter
}

// New returns a ledger over store.
func New(store Store, o Options, metrics prometheus.Registerer) *Ledger {
	counter := func(name, help string) prometheus.Counter {
		return promauto.With(metrics).NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	l := &Ledger{
		store:    store,
		options:  o,
		most:     recordLimit,
		lookups:  lookups{store: store, most: 1},
		now:      time.Now,
		table:    newTable(),
		looks:    rounds{counts: make([]int, 1)},
		claims:   make([]*claim, 1),
		underway: rounds{counts: make([]int, 1)},
		beats:    make(map[string]bool),
		wake:     make(chan struct{}, 1),
		unchecked: counter("fluxgate_datapoints_unchecked_total",
			"Datapoints judged without the ledger's store, which did not answer in time."),
		failed: counter("fluxgate_record_failed_total",
			"Attempts to record in the ledger's store that failed; they are repeated."),
		absurd: counter("fluxgate_ledger_absurd_total",
			"Entries found too far in the future to be believed."),
	}
	if s, ok := store.(bulk); ok {
		l.most = s.atOnce()
	}
	if o.Shared {
		l.lookups.most = sharedTrips
	}
	l.spare.New = func() any { return newClaim(l) }
	return l
}

// Look asks the store, together with other requests, for what is recorded of those
// metrics of b of which the ledger does not know it. A store that does not answer a
// round trip within 50 ms is left alone for a second, and b is judged without it. The
// function that it returns judges b, and must be called: it returns the datapoints
// that are fresh, in their order, and from then on they count as accepted. Its second
// result must be called once with what became of them: nil keeps them, until they are
// recorded; any error releases them, so that the same datapoints are fresh again. It
// returns that error, or the one of a request under way on which the judgement relied,
// for which it waits. Until then b must stay as it is.
func (l *Ledger) Look(b sdk.Batch) func() (fresh sdk.Batch, settle func(error) error) {
	if len(b) == 0 {
		return func() (sdk.Batch, func(error) error) { return nil, func(err error) error { return err } }
	}
	c := l.spare.Get().(*claim)
	c.look(b)
	return c.judgement
}

// Last returns the newest timestamp that is recorded of metric, or accepted and
// not recorded yet; 0 if there is none that can be believed. Unlike Look it always asks the store, gives
// it the time that ctx has, of which Redis uses two seconds at most, and
// fails when that does not answer, with an error that wraps [sdk.ErrUnavailable].
func (l *Ledger) Last(ctx context.Context, metric string) (int64, error) {
	l.mu.Lock()
	round := l.looks.enter()
	l.mu.Unlock()
	last, err := l.store.Last(ctx, []string{metric})
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.looks.leave(round)
	if err != nil {
		return 0, sdk.Unavailablef("newest timestamp of %q: %w", metric, err)
	}
	believed := l.believed()
	newest := l.believe(last[0].Timestamp, believed)
	if number := l.table.find(metric, l.table.hash(metric)); number != absent {
		newest = max(newest, l.believe(l.table.entry(number).newest, believed))
	}
	return newest, nil
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
