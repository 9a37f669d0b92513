package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"fluxgate/sdk"
)

// A shelf is a sink in memory. It refuses a batch with a metric called "bad",
// and holds every write while it is shut.
type shelf struct {
	mu     sync.Mutex
	writes []sdk.Batch
	asked  int
	fault  error
	shut   chan struct{} // nil: open
}

func (s *shelf) Write(ctx context.Context, b sdk.Batch) error {
	s.mu.Lock()
	s.asked++
	shut := s.shut
	s.mu.Unlock()
	if shut != nil {
		select {
		case <-shut:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(b, func(d sdk.Datapoint) bool { return d.Metric == "bad" }) {
		return sdk.Invalidf("metric bad")
	}
	if s.fault != nil {
		return s.fault
	}
	s.writes = append(s.writes, slices.Clone(b))
	return nil
}

// sizes returns how many datapoints each write had.
func (s *shelf) sizes() (sizes []int) {
	for _, b := range s.writes {
		sizes = append(sizes, len(b))
	}
	return sizes
}

func batch(metric string, n int) sdk.Batch {
	b := make(sdk.Batch, n)
	for i := range b {
		b[i] = sdk.Datapoint{Metric: metric, Timestamp: int64(i)}
	}
	return b
}

// deliver runs test, in a bubble, with running lanes to sinks.
func deliver(t *testing.T, test func(*testing.T, *Delivery), sinks ...Sink) {
	synctest.Test(t, func(t *testing.T) {
		d := New(sinks, prometheus.NewRegistry())
		ctx, cancel := context.WithCancel(context.Background())
		var run sync.WaitGroup
		run.Go(func() { d.Run(ctx) })
		test(t, d)
		cancel()
		run.Wait()
	})
}

func TestEveryRequiredSinkMustTake(t *testing.T) {
	good, bad, optional := &shelf{}, &shelf{fault: errors.New("disk on fire")}, &shelf{fault: errors.New("away")}
	deliver(t, func(t *testing.T, d *Delivery) {
		err := d.Send(batch("a", 3))()
		if !errors.Is(err, sdk.ErrUnavailable) || err.Error() != `unavailable: sink "bad" has not taken the datapoints, send them again` {
			t.Errorf("told %v", err)
		}
		bad.fault = nil
		if err := d.Send(batch("a", 3))(); err != nil {
			t.Errorf("told %v when all that is required is well", err)
		}
		synctest.Wait()
		for i, want := range []float64{6, 3, 0} {
			if got := testutil.ToFloat64(d.lanes[i].taken); got != want {
				t.Errorf("sink %s: %v datapoints are counted as taken, want %v", d.lanes[i].sink.Name, got, want)
			}
		}
		if got := testutil.ToFloat64(d.lanes[2].expired); got != 6 {
			t.Errorf("%v datapoints are counted as missed by the optional sink, want 6", got)
		}
	}, Sink{good, "good", true}, Sink{bad, "bad", true}, Sink{optional, "optional", false})
}

func TestWhatArrivesMeanwhileIsTheNextBatch(t *testing.T) {
	s := &shelf{}
	deliver(t, func(t *testing.T, d *Delivery) {
		s.shut = make(chan struct{})
		var waits []func() error
		for i := range 20 {
			waits = append(waits, d.Send(batch(fmt.Sprint("m", i), 1)))
			synctest.Wait()
		}
		close(s.shut)
		for _, wait := range waits {
			if err := wait(); err != nil {
				t.Error(err)
			}
		}
		if got := s.sizes(); !slices.Equal(got, []int{1, 19}) {
			t.Errorf("batches of %v, want 1 and 19", got)
		}
		for i, d := range s.writes[1] {
			if want := fmt.Sprint("m", i+1); d.Metric != want {
				t.Errorf("datapoint %d is of %s, want %s: order is lost", i, d.Metric, want)
			}
		}
	}, Sink{s, "s", true})
}

func TestBatchesAreBounded(t *testing.T) {
	s := &shelf{}
	deliver(t, func(t *testing.T, d *Delivery) {
		s.shut = make(chan struct{})
		first := d.Send(batch("a", 1))
		synctest.Wait()
		waits := []func() error{first, d.Send(batch("a", 3000)), d.Send(batch("b", 3000)), d.Send(batch("c", 12000))}
		long := batch("d", 400)
		for i := range long {
			long[i].Metric = fmt.Sprintf("%04000d", i)
		}
		waits = append(waits, d.Send(long))
		close(s.shut)
		for _, wait := range waits {
			if err := wait(); err != nil {
				t.Error(err)
			}
		}
		if got := s.sizes(); !slices.Equal(got, []int{1, 3000, 3000, 5000, 5000, 2000, 130, 130, 130, 10}) {
			t.Errorf("batches of %v", got)
		}
	}, Sink{s, "s", true})
}

func TestRefusedBatchIsToldToItsSenderAlone(t *testing.T) {
	s := &shelf{}
	deliver(t, func(t *testing.T, d *Delivery) {
		s.shut = make(chan struct{})
		first := d.Send(batch("a", 1))
		synctest.Wait()
		before, bad, after := d.Send(batch("b", 2)), d.Send(append(batch("c", 1), batch("bad", 1)...)), d.Send(batch("d", 2))
		close(s.shut)
		for _, wait := range []func() error{first, before, after} {
			if err := wait(); err != nil {
				t.Errorf("a neighbour of a refused request is told %v", err)
			}
		}
		if err := bad(); !errors.Is(err, sdk.ErrInvalid) || err.Error() != `sink "s" refuses the datapoints: invalid: metric bad` {
			t.Errorf("told %v", err)
		}
	}, Sink{s, "s", true})
}

func TestTheRestIsNotTriedOnASinkThatWentAway(t *testing.T) {
	s := &shelf{}
	deliver(t, func(t *testing.T, d *Delivery) {
		s.shut = make(chan struct{})
		first := d.Send(batch("a", 1))
		synctest.Wait()
		waits := []func() error{first, d.Send(batch("bad", 1))}
		for range 5 {
			waits = append(waits, d.Send(batch("b", 1)))
		}
		s.fault = errors.New("gone")
		close(s.shut)
		for i, wait := range waits {
			if err := wait(); err == nil {
				t.Errorf("request %d is taken by a sink that is gone", i)
			}
		}
		if s.asked != 1 {
			t.Errorf("the sink was asked %d times, want once: what waited for it is answered with the first", s.asked)
		}
	}, Sink{s, "s", true})
}

func TestSinkThatHangsIsUnavailable(t *testing.T) {
	s := &shelf{}
	deliver(t, func(t *testing.T, d *Delivery) {
		s.shut = make(chan struct{})
		began := time.Now()
		waits := []func() error{d.Send(batch("a", 1)), d.Send(batch("b", 1))}
		for _, wait := range waits {
			if err := wait(); !errors.Is(err, sdk.ErrUnavailable) {
				t.Errorf("told %v", err)
			}
		}
		if took := time.Since(began); took > 2*WriteTimeout {
			t.Errorf("told after %v, want at most %v", took, 2*WriteTimeout)
		}
	}, Sink{s, "s", true})
}

func TestOptionalSinkMayNotFillTheMemory(t *testing.T) {
	required, optional := &shelf{}, &shelf{}
	deliver(t, func(t *testing.T, d *Delivery) {
		optional.shut = make(chan struct{})
		for range 30 {
			if err := d.Send(batch("a", 10_000))(); err != nil {
				t.Fatal(err)
			}
		}
		if waiting := d.lanes[1].waiting; waiting > backlog {
			t.Errorf("%d datapoints wait for the optional sink, at most %d may", waiting, backlog)
		}
		if got := testutil.ToFloat64(d.lanes[1].expired); got < 150_000 {
			t.Errorf("%v datapoints are counted as missed", got)
		}
	}, Sink{required, "required", true}, Sink{optional, "optional", false})
}

func TestStoppedLaneAnswers(t *testing.T) {
	s := &shelf{}
	d := New([]Sink{{s, "s", true}}, prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	waiting := d.Send(batch("a", 1))
	d.Run(ctx)
	if err := waiting(); err != nil && !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("what waited at the end is told %v", err)
	}
	if err := d.Send(batch("b", 1))(); !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("what came after the end is told %v", err)
	}
}
