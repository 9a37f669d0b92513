package ledger

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fluxgate/sdk"
)

// A world is a ledger that remembers few metrics, and what must be true of it.
type world struct {
	l *Ledger
	m *memory

	accepted map[string]int64 // the newest of each metric that was ever accepted
	pending  map[string]int64 // the newest that is under way
	held     map[string]bool  // it was accepted and is not recorded
	claims   []pending
	lost     map[string]int64 // the newest that a job has recorded without being told
	record   func(context.Context) error
	taken    map[string]int64 // by record
}

type pending struct {
	fresh  sdk.Batch
	settle func(error) error
}

func (w *world) metric(t *rapid.T) string {
	return fmt.Sprint("m", rapid.IntRange(0, 14).Draw(t, "metric"))
}

func (w *world) look(t *rapid.T) {
	if len(w.claims) == 3 {
		return
	}
	var b sdk.Batch
	for range rapid.IntRange(1, 4).Draw(t, "datapoints") {
		b = append(b, sdk.Datapoint{Metric: w.metric(t), Timestamp: now + rapid.Int64Range(0, 40).Draw(t, "timestamp")})
	}
	w.l.lookups.retry = time.Time{}
	judge := w.l.Look(b)
	for range rapid.IntRange(0, 2).Draw(t, "meanwhile") {
		rapid.SampledFrom([]func(*rapid.T){w.flush, w.job}).Draw(t, "what")(t)
	}
	fresh, settle := judge()
	newest := map[string]int64{}
	j := 0
	for _, d := range b {
		sure := max(w.pending[d.Metric], newest[d.Metric])
		if !w.m.down || w.held[d.Metric] && w.accepted[d.Metric] > w.lost[d.Metric] {
			sure = max(sure, w.accepted[d.Metric])
		}
		is := j < len(fresh) && fresh[j] == d
		switch {
		case is && d.Timestamp <= sure:
			t.Fatalf("%v is fresh, and %d was accepted, %d is under way", d, w.accepted[d.Metric], w.pending[d.Metric])
		case !is && d.Timestamp > max(sure, w.accepted[d.Metric], w.lost[d.Metric]):
			t.Fatalf("%v is no duplicate of %d", d, sure)
		case is:
			j++
			newest[d.Metric] = d.Timestamp
		}
	}
	for metric, timestamp := range newest {
		w.pending[metric] = max(w.pending[metric], timestamp)
	}
	w.claims = append(w.claims, pending{fresh, settle})
}

// settle ends the oldest claim, on which those behind it may rely.
func (w *world) settle(t *rapid.T) {
	if len(w.claims) == 0 {
		return
	}
	var outcome error
	if rapid.IntRange(0, 3).Draw(t, "outcome") == 0 {
		outcome = errDown
	}
	c := w.claims[0]
	w.claims = w.claims[1:]
	err := c.settle(outcome)
	if outcome != nil && !errors.Is(err, outcome) {
		t.Fatalf("told %v, want %v", err, outcome)
	}
	for _, d := range c.fresh {
		if err == nil {
			w.held[d.Metric] = w.held[d.Metric] || d.Timestamp > w.accepted[d.Metric]
			w.accepted[d.Metric] = max(w.accepted[d.Metric], d.Timestamp)
		}
	}
	clear(w.pending)
	for _, c := range w.claims {
		for _, d := range c.fresh {
			w.pending[d.Metric] = max(w.pending[d.Metric], d.Timestamp)
		}
	}
}

// flush collects, or goes on with what was collected.
func (w *world) flush(t *rapid.T) {
	if w.record == nil {
		w.taken = map[string]int64{}
		for metric := range w.held {
			if w.held[metric] {
				w.taken[metric] = w.accepted[metric]
			}
		}
		w.record = w.l.Collect()
	}
	if w.record == nil || rapid.Bool().Draw(t, "later") {
		return
	}
	w.m.lose = rapid.IntRange(0, 3).Draw(t, "lose") == 0
	err := w.record(context.Background())
	fails := w.m.down || w.m.lose
	w.m.lose = false
	if (err != nil) != fails {
		t.Fatalf("told %v, and that it fails is %v", err, fails)
	} else if err != nil {
		return
	}
	w.record = nil
	for metric, timestamp := range w.taken {
		if w.m.entries[metric] < timestamp {
			t.Fatalf("%d is recorded of %s, want %d", w.m.entries[metric], metric, timestamp)
		}
		w.held[metric] = w.held[metric] && w.accepted[metric] > timestamp
	}
}

// job records what a job has brought, or records it without being told.
func (w *world) job(t *rapid.T) {
	w.m.lose = rapid.IntRange(0, 3).Draw(t, "lose") == 0
	defer func() { w.m.lose = false }()
	metric, timestamp := w.metric(t), now+rapid.Int64Range(0, 40).Draw(t, "timestamp")
	if err := w.l.Record(context.Background(), points(metric, timestamp)); err == nil {
		w.held[metric] = w.held[metric] && w.accepted[metric] > timestamp
		w.accepted[metric] = max(w.accepted[metric], timestamp)
	} else if w.m.lose && !w.m.down {
		w.lost[metric] = max(w.lost[metric], timestamp)
	}
}

func (w *world) check(t *rapid.T) {
	fixed := w.l.unrecorded()
	if most := max(w.l.options.Metrics, fixed); w.l.table.count > most {
		t.Fatalf("%d metrics are remembered, want at most %d", w.l.table.count, most)
	}
	for metric, timestamp := range w.m.entries {
		if timestamp > max(w.accepted[metric], w.lost[metric]) {
			t.Fatalf("%d is recorded of %s, and not accepted", timestamp, metric)
		}
	}
	if w.m.back > 0 || w.l.options.Shared && w.m.plain > 0 {
		t.Fatalf("%d entries were moved back, of %d that were to be the newest", w.m.back, w.m.plain)
	}
}

func (w *world) finish(t *rapid.T) {
	w.m.down = false
	for len(w.claims) > 0 {
		w.settle(t)
	}
	for range 2 {
		if w.record == nil {
			w.record = w.l.Collect()
		}
		if w.record != nil {
			if err := w.record(context.Background()); err != nil {
				t.Fatal(err)
			}
			w.record = nil
		}
	}
	for metric, timestamp := range w.accepted {
		if is := w.m.entries[metric]; is != timestamp && is != max(timestamp, w.lost[metric]) {
			t.Fatalf("in the end %d is recorded of %s, want %d", is, metric, timestamp)
		}
	}
}

func TestModel(t *testing.T) {
	modes(t, func(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
		rapid.Check(t, func(t *rapid.T) {
			w := &world{accepted: map[string]int64{}, pending: map[string]int64{}, held: map[string]bool{}, lost: map[string]int64{}}
			w.l, w.m = newTestLedger()
			w.l.options.Metrics = 5
			t.Repeat(map[string]func(*rapid.T){
				"": w.check, "look": w.look, "look2": w.look, "settle": w.settle, "settle2": w.settle,
				"flush": w.flush, "job": w.job, "down": func(*rapid.T) { w.m.down = !w.m.down },
			})
			w.finish(t)
		})
	})
}
