package ledger

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// A slow store takes its time for each round trip.
type slow struct {
	*memory
	trip time.Duration
}

func (s slow) Last(ctx context.Context, metrics []string) ([]Recorded, error) {
	time.Sleep(s.trip)
	return make([]Recorded, len(metrics)), ctx.Err()
}

// Of lookups that come faster than the store answers, those that have given up are
// asked for no more, so that only as many wait as come within lookTimeout, and the
// store answers those that still do.
func TestNobodyWaitsWhoHasGivenUp(t *testing.T) {
	const (
		trip     = 5 * time.Millisecond // for two requests
		requests = 1000
	)
	synctest.Test(t, func(t *testing.T) {
		l := &lookups{store: slow{trip: trip}, most: 1}
		metrics := make([]string, pieceLimit/2)
		for i := range metrics {
			metrics[i] = fmt.Sprint(i)
		}
		answered := make(chan bool, requests)
		for range requests {
			go func() {
				_, err := l.last(metrics)
				answered <- err == nil
			}()
			time.Sleep(trip / 5)
			l.mu.Lock()
			waiting := len(l.waiting)
			l.mu.Unlock()
			if most := int(lookTimeout/(trip/5)) + 1; waiting > most {
				t.Fatalf("%d lookups wait, want at most %d", waiting, most)
			}
		}
		good := 0
		for range requests {
			if <-answered {
				good++
			}
		}
		time.Sleep(lookTimeout)                  // until the store is at rest
		if least := requests / 3; good < least { // the store has answers for two in five
			t.Errorf("%d of %d lookups are answered, want at least %d", good, requests, least)
		}
	})
}
