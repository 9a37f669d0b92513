package ledger

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"fluxgate/sdk"
)

// Requests, flushes and jobs come at once, and there are more metrics than are
// remembered. Then no datapoint is accepted twice, and the newest are recorded.
func TestManyAtOnce(t *testing.T) {
	modes(t, func(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
		synctest.Test(t, func(t *testing.T) { manyAtOnce(t, newTestLedger) })
	})
}

// manyAtOnce runs in a bubble, where no lookup takes too long.
func manyAtOnce(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
	l, m := newTestLedger()
	l.options.Metrics = 20
	var (
		all      sync.WaitGroup
		mu       sync.Mutex
		accepted = map[sdk.Datapoint]int{}
		newest   = map[string]int64{}
		door     sync.Mutex // as that of the road
	)
	note := func(b sdk.Batch) {
		mu.Lock()
		defer mu.Unlock()
		for _, d := range b {
			accepted[d]++
			newest[d.Metric] = max(newest[d.Metric], d.Timestamp)
		}
	}
	for worker := range uint64(8) {
		random := rand.New(rand.NewPCG(1, worker))
		all.Go(func() {
			for i := range int64(300) {
				b := make(sdk.Batch, 5)
				for j := range b {
					b[j] = sdk.Datapoint{Metric: fmt.Sprint("m", random.IntN(60)), Timestamp: now - 500 + i + random.Int64N(20)}
				}
				judge := l.Look(b)
				door.Lock()
				fresh, settle := judge()
				door.Unlock()
				var outcome error
				if random.IntN(10) == 0 {
					outcome = errDown
				}
				if settle(outcome) == nil {
					note(fresh)
				}
			}
		})
	}
	ended := make(chan struct{})
	var flushes sync.WaitGroup
	flushes.Go(func() {
		for {
			settled := l.Underway()
			if record := l.Collect(); record != nil {
				if err := record(context.Background()); err != nil {
					t.Error(err)
				}
			}
			settled()
			select {
			case <-ended:
				return
			default:
			}
		}
	})
	all.Wait()
	close(ended)
	flushes.Wait()
	collect(t, l)
	for d, times := range accepted {
		if times > 1 {
			t.Errorf("%v was accepted %d times", d, times)
		}
	}
	for metric, timestamp := range newest {
		if m.entries[metric] != timestamp {
			t.Errorf("%d is recorded of %s, want %d", m.entries[metric], metric, timestamp)
		}
	}
	if l.unrecorded() != 0 || l.table.count > 20+8*5 {
		t.Errorf("%d entries are not recorded, of %d", l.unrecorded(), l.table.count)
	}
}
