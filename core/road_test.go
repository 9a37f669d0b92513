package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fluxgate/core/delivery"
	"fluxgate/core/flow"
	"fluxgate/core/ledger"
	"fluxgate/sdk"
)

// A moody sink is unavailable now and then, after it has stored a part or all.
type moody struct {
	mu     sync.Mutex
	stored map[sdk.Datapoint]bool
	newest map[string]int64
}

func (m *moody) Write(_ context.Context, b sdk.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	mood := rand.IntN(6)
	if mood == 0 {
		b = b[:rand.IntN(len(b)+1)]
	}
	for _, d := range b {
		m.stored[d] = true
		m.newest[d.Metric] = max(m.newest[d.Metric], d.Timestamp)
	}
	if mood == 0 {
		return errors.New("not now")
	}
	return nil
}

func (m *moody) has(b sdk.Batch) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range b {
		if !m.stored[d] {
			return false
		}
	}
	return true
}

// ready is an input that has read a submission already.
type ready struct{ sdk.Submission }

func (r ready) Decode(context.Context, sdk.Request) (sdk.Submission, error) { return r.Submission, nil }

// Senders share metrics two by two, one sending again what the other has just
// sent, and each sends a request again until it is accepted, as it is told to.
// Then every datapoint of every accepted request must be in both sinks.
func TestNothingAcceptedIsMissing(t *testing.T) {
	const senders, requests = 16, 200
	store, err := ledger.OpenEmbedded(filepath.Join(t.TempDir(), "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	metrics := prometheus.NewRegistry()
	sinks := make([]*moody, 2)
	var lanes []delivery.Sink
	for i := range sinks {
		sinks[i] = &moody{stored: make(map[sdk.Datapoint]bool), newest: make(map[string]int64)}
		lanes = append(lanes, delivery.Sink{Sink: sinks[i], Name: fmt.Sprint(i), Required: true})
	}
	last, sent := ledger.New(store, time.Minute, metrics), delivery.New(lanes, metrics)
	stopLedger, stopLanes := background(last.Run), background(sent.Run)
	var keys flow.Keys
	if err := keys.Add("k", ""); err != nil {
		t.Fatal(err)
	}
	road := &flow.Flow{
		Keys: keys, Window: flow.Window{MaxAge: time.Hour, MaxAhead: time.Minute}, Ledger: last, Sinks: sent,
		Now: time.Now, Books: flow.NewBooks(metrics),
	}
	start := time.Now().Unix() - 3000
	var all sync.WaitGroup
	for sender := range senders {
		all.Go(func() {
			for i := range requests {
				b := make(sdk.Batch, 1+rand.IntN(3))
				for j := range b {
					b[j] = sdk.Datapoint{Metric: fmt.Sprintf("m.%d.%d", sender/2, j), Timestamp: start + int64(i), Value: float64(i)}
				}
				for {
					_, err := road.Accept(t.Context(), ready{sdk.Submission{Key: "k", Batch: append(sdk.Batch(nil), b...)}}, sdk.Request{})
					if err == nil {
						break
					}
					if !errors.Is(err, sdk.ErrUnavailable) {
						t.Errorf("told %v", err)
						return
					}
				}
				checkStored(t, sinks, b)
			}
		})
	}
	all.Wait()
	stopLanes()
	stopLedger()
	for sender := range senders / 2 {
		metric := fmt.Sprintf("m.%d.0", sender)
		got, err := store.Last(t.Context(), []string{metric})
		if err != nil || got[0] != start+requests-1 {
			t.Errorf("the ledger has %v, %v for %s, want %d", got, err, metric, start+requests-1)
		}
	}
}

// checkStored checks an accepted request. What the other sender of a metric was
// faster with may be newer; then what was accepted is a duplicate.
func checkStored(t *testing.T, sinks []*moody, b sdk.Batch) {
	t.Helper()
	for i, s := range sinks {
		for _, d := range b {
			s.mu.Lock()
			newest := s.newest[d.Metric]
			s.mu.Unlock()
			if !s.has(sdk.Batch{d}) && newest <= d.Timestamp {
				t.Errorf("sink %d lacks %v of an accepted request", i, d)
			}
		}
	}
}
