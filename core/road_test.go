package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
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
		d.Metric = strings.Clone(d.Metric) // which a sink may not keep
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
// Then every datapoint of every accepted request must reach both sinks, in order,
// over a restart in the middle.
func TestNothingAcceptedIsMissing(t *testing.T) {
	const senders, requests = 16, 200
	folder := t.TempDir()
	store, err := ledger.OpenEmbedded(filepath.Join(folder, "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	sinks := make([]*moody, 2)
	for i := range sinks {
		sinks[i] = &moody{stored: make(map[sdk.Datapoint]bool), newest: make(map[string]int64)}
	}
	start, sent := time.Now().Unix()-3000, &sentLog{newest: make(map[string]int64), overtaken: make(map[sdk.Datapoint]bool)}
	for half := range 2 {
		road, stop := startRoad(t, folder, store, sinks)
		var all sync.WaitGroup
		for sender := range senders {
			all.Go(func() {
				for i := half * requests / 2; i < (half+1)*requests/2; i++ {
					b := make(sdk.Batch, 1+rand.IntN(3))
					for j := range b {
						b[j] = sdk.Datapoint{Metric: fmt.Sprintf("m.%d.%d", sender/2, j), Timestamp: start + int64(i), Value: float64(i)}
					}
					sent.until(t, road, b)
				}
			})
		}
		all.Wait()
		if half == 1 {
			last := sdk.Batch{{Metric: "last", Timestamp: start, Value: 1}}
			sent.until(t, road, last)
			await(t, "both sinks have the last datapoint", func() bool {
				return sinks[0].has(last) && sinks[1].has(last)
			})
		}
		stop()
	}
	for sender := range senders / 2 {
		for i := range requests {
			d := sdk.Datapoint{Metric: fmt.Sprintf("m.%d.0", sender), Timestamp: start + int64(i), Value: float64(i)}
			for j, s := range sinks {
				if !s.has(sdk.Batch{d}) && !sent.overtaken[d] {
					t.Errorf("sink %d lacks %v of an accepted request", j, d)
				}
			}
		}
		metric := fmt.Sprintf("m.%d.0", sender)
		got, err := store.Last(t.Context(), []string{metric})
		if err != nil || got[0].Timestamp != start+requests-1 {
			t.Errorf("the ledger has %v, %v for %s, want %d", got, err, metric, start+requests-1)
		}
	}
}

// startRoad makes the road to sinks, and returns it with what stops it.
func startRoad(t *testing.T, folder string, store ledger.Store, sinks []*moody) (road *flow.Flow, stop func()) {
	t.Helper()
	var lanes []delivery.Sink
	for i, s := range sinks {
		lanes = append(lanes, delivery.Sink{Sink: s, Name: fmt.Sprint(i), Required: true})
	}
	metrics := prometheus.NewRegistry()
	last := ledger.New(store, ledger.Options{MaxAhead: time.Minute, Metrics: 1000}, metrics)
	kept, err := delivery.Open(delivery.Setup{Folder: folder, Budget: 64 << 20, Sinks: lanes, Ledger: last}, metrics)
	if err != nil {
		t.Fatal(err)
	}
	stopLanes := background(kept.Run)
	var keys flow.Keys
	if err := keys.Add("k", flow.Grant{}); err != nil {
		t.Fatal(err)
	}
	road = &flow.Flow{Ledger: last, Journal: kept.Live, Fill: kept.Fill, Now: time.Now, Books: flow.NewBooks(metrics)}
	road.Admit(flow.Terms{Keys: keys, Window: flow.Window{MaxAge: time.Hour, MaxAhead: time.Minute}})
	return road, func() {
		stopLanes()
		if err := kept.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A sentLog knows which datapoints may be missing: those that were accepted when a
// newer one of their metric had been sent already, and may have been duplicates.
type sentLog struct {
	mu        sync.Mutex
	newest    map[string]int64
	overtaken map[sdk.Datapoint]bool
}

// until sends b until it is accepted.
func (l *sentLog) until(t *testing.T, road *flow.Flow, b sdk.Batch) {
	l.note(b)
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
	l.note(b)
}

func (l *sentLog) note(b sdk.Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range b {
		l.newest[d.Metric] = max(l.newest[d.Metric], d.Timestamp)
		l.overtaken[d] = l.newest[d.Metric] > d.Timestamp
	}
}
