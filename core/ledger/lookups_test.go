package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
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

// A failing store answers when it is told to.
type failing struct {
	*memory
	err error
}

func (s *failing) Last(_ context.Context, metrics []string) ([]Recorded, error) {
	return make([]Recorded, len(metrics)), s.err
}

// That the store does not answer is logged once, with its words, and so is that it
// does again.
func TestFailedLookupsAreLogged(t *testing.T) {
	var log bytes.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	s := &failing{}
	l := &lookups{store: s, most: 1}
	for _, s.err = range []error{nil, errors.New("LOADING"), errors.New("LOADING"), nil, nil, errors.New("READONLY")} {
		l.retry = time.Time{}
		if _, err := l.last([]string{"a"}); err != s.err {
			t.Fatalf("%v, want %v", err, s.err)
		}
	}
	var said []string
	for line := range strings.Lines(log.String()) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), "level=")
		said = append(said, line)
	}
	want := []string{
		`WARN msg="the ledger's store does not answer in time; datapoints pass unchecked" err=LOADING`,
		`INFO msg="the ledger's store answers again"`,
		`WARN msg="the ledger's store does not answer in time; datapoints pass unchecked" err=READONLY`,
	}
	if !slices.Equal(said, want) {
		t.Errorf("the log says %q, want %q", said, want)
	}
}
