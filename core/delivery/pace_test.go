package delivery

import (
	"context"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// Whatever rates are set while many datapoints wait for their turn, they get it.
func TestPaceMayChangeAtAnyTime(t *testing.T) {
	var p pace
	p.limiter.SetBurst(maxBatch)
	p.set(0) // before that it lets nobody go
	ctx, cancel := context.WithCancel(t.Context())
	var waits sync.WaitGroup
	waits.Go(func() {
		for ctx.Err() == nil {
			if err := p.wait(t.Context(), maxLoad); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 200 {
		p.set(1 << 40)
		time.Sleep(time.Microsecond) // the other goroutine's turn
		p.set(0)
		time.Sleep(time.Microsecond)
	}
	cancel()
	waits.Wait()
}

// A lane lives on when its turn does not come.
func TestLaneOutlivesItsPace(t *testing.T) {
	s := &shelf{}
	deliver(t, &book{}, func(t *testing.T, d *Delivery) {
		pace := &d.Live.lane("carbon").pace
		pace.limiter.SetBurst(0)
		pace.limiter.SetLimit(rate.Limit(maxBatch))
		delivered := keep(t, d.Live, batch("a", 10))
		time.Sleep(time.Minute) // of the test's own clock
		if got := len(s.held()); got != 0 {
			t.Errorf("%d datapoints are delivered at a pace that lets none go", got)
		}
		pace.limiter.SetBurst(maxBatch)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := delivered(ctx); err != nil || len(s.held()) != 10 {
			t.Errorf("%d datapoints are delivered, %v", len(s.held()), err)
		}
	}, Sink{s, "carbon", true, 0})
}
