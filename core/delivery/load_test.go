package delivery

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fluxgate/sdk"
)

// A rack is a sink that takes several batches at once, as long as it has a capacity.
type rack struct {
	*shelf
	capacity atomic.Int64
	longest  atomic.Int64 // bytes of one call, as they travel
}

func newRack(capacity int64) *rack {
	r := &rack{shelf: &shelf{}}
	r.capacity.Store(capacity)
	return r
}

func (r *rack) Capacity() int { return int(r.capacity.Load()) }

func (r *rack) WriteAll(ctx context.Context, batches []sdk.Batch) error {
	size := 0
	for _, b := range batches {
		size += len(sdk.AppendBatch(nil, b))
	}
	r.longest.Store(max(r.longest.Load(), int64(size)))
	return r.Write(ctx, slices.Concat(batches...))
}

// most returns the most datapoints that were written at once.
func (r *rack) most() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Max(r.asked)
}

// backlog keeps so many full batches while s is away, and delivers them, with what
// else is to be while they wait.
func backlog(t *testing.T, d *Delivery, s *rack, batches int, waiting func()) {
	t.Helper()
	s.set(always(errAway))
	var delivered func(context.Context) error
	for range batches {
		delivered = keep(t, d.Live, batch("a.metric", maxBatch))
	}
	synctest.Wait()
	waiting()
	s.set(nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := delivered(ctx); err != nil {
		t.Fatal(err)
	}
}

// What a sink is given at once grows while it is quick, up to its capacity in bytes.
func TestLoadsGrowUpToTheCapacity(t *testing.T) {
	for name, tt := range map[string]struct{ capacity, least, most int }{
		"several batches":   {64 << 20, 8 * maxBatch, maxLoad},
		"some":              {1 << 20, 2 * maxBatch, 1 << 20 / 28},
		"less than a batch": {maxBytes - 1, maxBatch, maxBatch},
		"one":               {0, maxBatch, maxBatch},
	} {
		s := newRack(int64(tt.capacity))
		deliver(t, &book{}, func(t *testing.T, d *Delivery) {
			backlog(t, d, s, 60, func() {})
			if got := s.most(); got < tt.least || got > tt.most {
				t.Errorf("%s: %d datapoints were written at once, want %d to %d", name, got, tt.least, tt.most)
			}
			if got := int(s.longest.Load()); got > tt.capacity {
				t.Errorf("%s: a call brought %d bytes, of %d", name, got, tt.capacity)
			}
		}, Sink{s, "carbon", true, 0})
	}
}

// A load that was read for a process that took several batches goes to the next,
// which does not, one batch at a time.
func TestLoadIsCutForASinkThatTakesLess(t *testing.T) {
	s := newRack(64 << 20)
	deliver(t, &book{}, func(t *testing.T, d *Delivery) {
		backlog(t, d, s, 60, func() {}) // after which the next load is large
		backlog(t, d, s, 60, func() {
			if s.most() <= maxBatch {
				t.Error("no load was larger than a batch")
			}
			s.capacity.Store(0)
			time.Sleep(10 * time.Second) // of the test's own clock: until the next attempt
			s.mu.Lock()
			s.asked = nil
			s.mu.Unlock()
		})
		if got := s.most(); got > maxBatch {
			t.Errorf("%d datapoints were written at once to a sink that takes one batch", got)
		}
		d.balance(t)
	}, Sink{s, "carbon", true, 0})
}

// Writes of single datapoints tell nothing about large ones.
func TestLittleTrafficDoesNotGrowLoads(t *testing.T) {
	s := newRack(64 << 20)
	deliver(t, &book{}, func(t *testing.T, d *Delivery) {
		for range 1000 {
			if err := keep(t, d.Live, point("a"))(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var delivered func(context.Context) error
		s.set(always(errAway))
		for range 20 {
			delivered = keep(t, d.Live, batch("a", maxBatch))
			synctest.Wait() // so that the lane has the first, and nothing else
		}
		s.set(always(nil))
		s.mu.Lock()
		s.asked = nil
		s.mu.Unlock()
		if err := delivered(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.asked[:2]; !slices.Equal(got, []int{maxBatch, 2 * maxBatch}) {
			t.Errorf("the first writes after little traffic have %d datapoints, want one batch and then two", got)
		}
	}, Sink{s, "carbon", true, 0})
}

// Loads of more than a batch grow only while the sink is quick.
func TestLoadsGrowBeyondABatchOnlyWhileQuick(t *testing.T) {
	l := &lane{most: minBatch}
	for range 1000 {
		l.grow(l.most, quick)
	}
	if l.most != maxBatch {
		t.Errorf("after many writes that were not quick the next may have %d datapoints, want %d", l.most, maxBatch)
	}
	l.grow(maxBatch/2, quick-1) // of which not even a batch is known to be quick
	if l.most != maxBatch {
		t.Errorf("after a quick one of half a batch it may have %d, want %d", l.most, maxBatch)
	}
	l.grow(l.most, quick-1)
	if l.most != 2*maxBatch {
		t.Errorf("after one that was it may have %d, want %d", l.most, 2*maxBatch)
	}
}
