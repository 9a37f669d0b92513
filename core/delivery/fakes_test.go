package delivery

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"fluxgate/core/journal"
	"fluxgate/sdk"
)

const (
	budget   = 64 << 20
	fillRate = 10_000
)

// A shelf is a sink in memory.
type shelf struct {
	mu     sync.Mutex
	writes []sdk.Batch // that it took
	asked  []int       // datapoints of each call
	fault  func(sdk.Batch) error
	shut   chan struct{} // nil: open; else each write waits until it is closed
}

// copied shares nothing with b, of which a sink may not keep the metrics either.
func copied(b sdk.Batch) sdk.Batch {
	c := slices.Clone(b)
	for i := range c {
		c[i].Metric = strings.Clone(c[i].Metric)
	}
	return c
}

func (s *shelf) Write(ctx context.Context, b sdk.Batch) error {
	s.mu.Lock()
	s.asked = append(s.asked, len(b))
	fault, shut := s.fault, s.shut
	s.mu.Unlock()
	if shut != nil {
		select {
		case <-shut:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if fault != nil {
		if err := fault(b); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes = append(s.writes, copied(b))
	return nil
}

func (s *shelf) set(fault func(sdk.Batch) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

func (s *shelf) held() sdk.Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.writes...)
}

// has returns a fault for batches that hold a metric.
func has(metric string, err error) func(sdk.Batch) error {
	return func(b sdk.Batch) error {
		if slices.ContainsFunc(b, func(d sdk.Datapoint) bool { return d.Metric == metric }) {
			return err
		}
		return nil
	}
}

func always(err error) func(sdk.Batch) error { return func(sdk.Batch) error { return err } }

var errAway = sdk.Unavailablef("away")

// A book is a ledger in memory. It knows what is accepted from the journal: all that
// is there but the metrics that are judged and not settled.
type book struct {
	mu        sync.Mutex
	live      *Stream
	read      journal.Position // where the next Collect goes on
	unsettled map[string]bool  // metrics
	left      sdk.Batch        // that was read and was not settled
	restored  sdk.Batch
	recorded  sdk.Batch // each datapoint once
	fault     error
	check     func(sdk.Batch)
	asked     func() // called by Underway when it knows its answer
}

func (l *book) Restore(b sdk.Batch) { l.restored = append(l.restored, copied(b)...) }

// judge has a metric be judged and not settled, until settle.
func (l *book) judge(metric string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unsettled == nil {
		l.unsettled = make(map[string]bool)
	}
	l.unsettled[metric] = true
}

func (l *book) settle(metric string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.unsettled, metric)
}

func (l *book) Underway() (settled func() bool) {
	l.mu.Lock()
	before := slices.Collect(maps.Keys(l.unsettled))
	l.mu.Unlock()
	if l.asked != nil {
		l.asked()
	}
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return !slices.ContainsFunc(before, func(metric string) bool { return l.unsettled[metric] })
	}
}

// Collect takes everything in the journal that it has not taken and that is settled.
func (l *book) Collect() (record func(context.Context) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live == nil {
		return nil
	}
	from := l.read
	l.read = l.live.log.End()
	err := l.live.log.Replay(from, func([]byte) error { panic("summaries are of other tests") }, func(r journal.Record) error {
		if longer, err := readBatch(l.left, r.Data); err == nil {
			l.left = longer
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	var b, left sdk.Batch
	for _, d := range l.left {
		if l.unsettled[d.Metric] {
			left = append(left, d)
		} else {
			b = append(b, d)
		}
	}
	l.left = left
	if len(b) == 0 {
		return nil
	}
	return func(ctx context.Context) error { return l.Record(ctx, b) }
}

func (l *book) Record(_ context.Context, b sdk.Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		return l.fault
	}
	if l.check != nil {
		l.check(b)
	}
	known := make(map[sdk.Datapoint]bool)
	for _, d := range l.recorded {
		known[d] = true
	}
	for _, d := range copied(b) {
		if !known[d] {
			l.recorded, known[d] = append(l.recorded, d), true
		}
	}
	return nil
}

func (l *book) set(fault error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = fault
}

func (l *book) held() sdk.Batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.recorded)
}

func batch(metric string, n int) sdk.Batch {
	b := make(sdk.Batch, n)
	for i := range b {
		b[i] = sdk.Datapoint{Metric: metric, Timestamp: int64(i + 1), Value: float64(i)}
	}
	return b
}

func point(metric string) sdk.Batch { return sdk.Batch{{Metric: metric, Timestamp: 1, Value: 2}} }

// typed is the command of a setup.
func typed(words string) string { return "fluxgate " + words + " --config here" }

func open(t *testing.T, folder string, l Ledger, sinks ...Sink) *Delivery {
	t.Helper()
	d, err := Open(Setup{Folder: folder, Command: typed, Budget: budget, Sinks: sinks, FillRate: fillRate, Ledger: l}, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if b, ok := l.(*book); ok {
		b.live, b.read = d.Live, d.record.reader.Saved()
	}
	return d
}

// running runs d until the function that it returns is called, which closes d.
func running(t *testing.T, d *Delivery) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { d.Run(ctx) })
	return func() {
		cancel()
		run.Wait()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// keep appends b, which must succeed.
func keep(t *testing.T, s *Stream, b sdk.Batch) (delivered func(context.Context) error) {
	t.Helper()
	kept, delivered := s.Append(b)
	if err := kept(); err != nil {
		t.Fatal(err)
	}
	return delivered
}

// deliver runs test in a bubble with a clock of its own.
func deliver(t *testing.T, l *book, test func(*testing.T, *Delivery), sinks ...Sink) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, folder, l, sinks...)
		defer running(t, d)()
		test(t, d)
	})
}

func (d *Delivery) balance(t *testing.T) {
	t.Helper()
	for _, s := range []*Stream{d.Live, d.Fill} {
		for _, l := range s.lanes {
			if b := l.reader.Books(); b.Imbalance() != 0 {
				t.Errorf("the books of %s in %s do not add up: %+v", b.Reader, s.name, b)
			}
		}
	}
}
