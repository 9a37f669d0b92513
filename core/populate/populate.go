// Package populate fills a sink with history: durable jobs that fetch the points of
// a metric from a remote Graphite or Prometheus, resample them and deliver them.
//
// A job is on disk before it is acknowledged. What it has fetched and resampled is
// kept in files until it is delivered, so that a job that is killed at any point
// and goes on later delivers what it would have delivered undisturbed.
package populate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"fluxgate/core/populate/remote"
	"fluxgate/sdk"
	"fluxgate/sdk/schema"
)

// A Ledger remembers the newest timestamp of each metric.
type Ledger interface {
	// Last returns the newest timestamp of a metric, 0 for none.
	Last(ctx context.Context, metric string) (int64, error)
	// Record moves the entries of b's metrics forward, never back. A value that is
	// NaN stands for none.
	Record(ctx context.Context, b sdk.Batch) error
	// Note has Vista know that a metric is filled from what it calls target. A
	// resolution of 0 is unknown.
	Note(ctx context.Context, metric, target string, resolution time.Duration) error
	// Hold has no other instance work on a metric until release is called or held
	// ends. The error wraps [sdk.ErrUnavailable] while another does.
	Hold(ctx context.Context, metric string) (held context.Context, release func(), err error)
}

// A Sink takes history, behind live data. Of a batch that fails it tells how many
// datapoints it has taken.
type Sink interface {
	Write(ctx context.Context, b sdk.Batch) (taken int, err error)
}

// A Resampler is what a job resamples with.
type Resampler struct {
	sdk.Resampler
	Name     string
	OverTime string // the function of Prometheus that does the same to a range, such as avg_over_time; empty: none
}

// Terms are the settings of all jobs. They may change while jobs are at work.
type Terms struct {
	Step        int64 // seconds, of a request that names none
	Concurrency int   // jobs at work at a time
	Creates     int   // metrics that jobs may begin to fill in a minute, of those that nobody knows; 0: no limit
	Patience    time.Duration
	Windows     int // the most that a job may have

	Remote *remote.Client
	Own    *Own // nil: there is no own Graphite

	// Resampler returns the one called name, or without a name the one that is
	// configured for metric.
	Resampler func(name, metric string) (Resampler, error)
	// Sink returns the sink called name, or without a name the configured one, with
	// its name.
	Sink func(name string) (Sink, string, error)
	// Schema returns what is known of a metric's archives in a sink.
	Schema func(sink, metric string) (schema.Schema, bool)
}

// A Populate is the jobs of one instance.
type Populate struct {
	folder string
	ledger Ledger
	store  *store
	now    func() time.Time
	terms  atomic.Pointer[Terms]
	fresh  *rate.Limiter // metrics that nobody knows
	counts counts

	mu   sync.Mutex
	live map[string]*job // unfinished, by id
	past []past          // the others, the oldest first
	wake chan struct{}
}

// Open opens the jobs in folder, or makes it. Run must be called, and Close in the
// end.
func Open(folder string, l Ledger, t Terms, metrics prometheus.Registerer) (*Populate, error) {
	if err := os.MkdirAll(filepath.Join(folder, pointsFolder), 0o700); err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	s, err := openStore(filepath.Join(folder, "jobs.db"))
	if err != nil {
		return nil, err
	}
	p := &Populate{
		folder: folder, ledger: l, store: s, now: time.Now, fresh: rate.NewLimiter(rate.Inf, 1),
		live: make(map[string]*job), wake: make(chan struct{}, 1),
	}
	p.Change(t)
	if err := p.resume(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	p.counts = newCounts(p, metrics)
	return p, nil
}

// Change has everything that begins from now on follow other terms.
func (p *Populate) Change(t Terms) {
	p.terms.Store(&t)
	limit := rate.Inf
	if t.Creates > 0 {
		limit = rate.Limit(float64(t.Creates) / 60)
	}
	p.fresh.SetLimit(limit)
	p.fresh.SetBurst(max(1, t.Creates))
	p.rouse()
}

// Close ends the store. Run must have returned.
func (p *Populate) Close() error { return p.store.close() }

// resume finds the unfinished jobs, and removes files that belong to no job.
func (p *Populate) resume() error {
	known := make(map[string]bool)
	err := p.store.each(func(s saved) error {
		known[s.ID] = !s.State.ended() || s.State == Failed
		if !s.State.ended() {
			p.live[s.ID] = &job{saved: s}
			return nil
		}
		p.past = append(p.past, pastOf(s))
		return nil
	})
	if err != nil {
		return err
	}
	slices.Reverse(p.past)
	return sweepPoints(p.folder, known)
}

func (p *Populate) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}
