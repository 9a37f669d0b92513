package ledger

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"fluxgate/sdk"
)

// asked returns how many metrics the store is asked for by f.
func (m *memory) askedBy(f func()) int {
	m.mu.Lock()
	before := m.asked
	m.mu.Unlock()
	f()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked - before
}

func TestLocalAsksAboutAMetricOnce(t *testing.T) {
	l, m := newLedger(Options{Metrics: plenty})
	m.entries["a"] = now
	for i, tt := range []struct {
		in   sdk.Batch
		want int
	}{
		{slices.Concat(points("a", now), points("b", now)), 2},
		{slices.Concat(points("a", now+1), points("b", now+1)), 0},
		{slices.Concat(points("a", now+2), points("c", now), points("b", now+2)), 1},
	} {
		if got := m.askedBy(func() { accept(t, l, tt.in) }); got != tt.want {
			t.Errorf("request %d: asked about %d metrics, want %d", i, got, tt.want)
		}
	}
	if fresh := accept(t, l, points("b", now+2)); len(fresh) > 0 {
		t.Error("what was accepted is fresh again")
	}
}

func TestSharedAsksEachTime(t *testing.T) {
	l, m := newLedger(Options{Shared: true, Metrics: plenty})
	for i := range int64(3) {
		if got := m.askedBy(func() { accept(t, l, slices.Concat(points("a", now+10*i), points("b", now+10*i))) }); got != 2 {
			t.Errorf("asked about %d metrics of a request, want both", got)
		}
	}
	if got := m.askedBy(func() { accept(t, l, points("a", now, now+20)) }); got != 0 {
		t.Errorf("asked about %d datapoints that are no newer than what was accepted here", got)
	}
	m.entries["a"] = now + 40 // by another instance
	if fresh := accept(t, l, points("a", now+30, now+50)); !slices.Equal(fresh, []int64{now + 50}) {
		t.Errorf("fresh are %v, want what no instance has", fresh)
	}
}

// What was judged without the store, and what was accepted before the start, may be
// older than what the store has.
func TestWhatTheStoreWasNotAskedForIsAskedForAgain(t *testing.T) {
	l, m := newLedger(Options{Metrics: plenty})
	m.entries["a"], m.entries["b"] = now+10, now+10
	l.Restore(points("b", now))
	m.down = true
	if fresh := accept(t, l, points("a", now)); len(fresh) != 1 {
		t.Errorf("fresh are %v without the store", fresh)
	}
	m.down = false
	l.lookups.retry = time.Time{}
	if err := l.Collect()(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, metric := range []string{"a", "b"} {
		if fresh := accept(t, l, points(metric, now+5, now+11)); !slices.Equal(fresh, []int64{now + 11}) {
			t.Errorf("fresh of %s are %v, want what is newer than in the store", metric, fresh)
		}
		if got := m.askedBy(func() { accept(t, l, points(metric, now+12)) }); got != 0 {
			t.Errorf("asked about %s again after an answer", metric)
		}
	}
}

// What turns out to be older than the store has, or not to be believed, is not
// recorded.
func TestWhatIsOutdatedIsNotRecorded(t *testing.T) {
	l, m := newLedger(Options{Metrics: plenty})
	m.entries["a"] = now + 10
	l.Restore(points("a", now))
	l.Restore(points("b", now+86400))
	if fresh := accept(t, l, points("a", now+5)); len(fresh) > 0 {
		t.Errorf("fresh are %v", fresh)
	}
	_, settle := l.Look(points("b", now))()
	if err := settle(errDown); err != errDown {
		t.Error(err)
	}
	if record := l.Collect(); record != nil {
		t.Errorf("something is recorded: %v", record(t.Context()))
	}
}

func TestLocalKnowsWhatJobsRecord(t *testing.T) {
	l, m := newLedger(Options{Metrics: plenty})
	accept(t, l, points("a", now))
	recordAll(t, l, slices.Concat(points("a", now+10), points("b", now+10)))
	for _, metric := range []string{"a", "b"} {
		if fresh := accept(t, l, points(metric, now+5, now+11)); !slices.Equal(fresh, []int64{now + 11}) {
			t.Errorf("fresh of %s are %v, want what is newer than a job has recorded", metric, fresh)
		}
	}
	m.down = true
	if err := l.Record(t.Context(), points("a", now+20)); err == nil {
		t.Fatal("recorded in a store that is down")
	}
	m.down = false
	m.entries["a"] = now + 20 // it was, all the same
	if fresh := accept(t, l, points("a", now+15)); len(fresh) > 0 {
		t.Errorf("fresh are %v: whoever may have recorded something must ask", fresh)
	}
}

// fill has l accept a datapoint of each of n other metrics, and record them.
func fill(t *testing.T, l *Ledger, n int) {
	t.Helper()
	for i := range n {
		accept(t, l, points(fmt.Sprint("other", i), now))
		collect(t, l)
	}
}

// collect records what is to be recorded.
func collect(t *testing.T, l *Ledger) {
	t.Helper()
	if record := l.Collect(); record != nil {
		if err := record(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTooManyMetricsAreForgotten(t *testing.T) {
	l, m := newLedger(Options{Metrics: 10})
	accept(t, l, points("a", now))
	if fill(t, l, 100); l.table.count != 10 {
		t.Errorf("%d metrics are remembered, want 10", l.table.count)
	}
	var fresh []int64
	if got := m.askedBy(func() { fresh = accept(t, l, points("a", now, now+1)) }); got != 2 || !slices.Equal(fresh, []int64{now + 1}) {
		t.Errorf("fresh are %v, and %d were asked for: what is forgotten is asked for again", fresh, got)
	}
}

func TestWhatIsNotRecordedIsNotForgotten(t *testing.T) {
	l, m := newLedger(Options{Metrics: 10})
	m.down = true
	for i := range 50 {
		accept(t, l, points(fmt.Sprint("m", i), now))
	}
	record := l.Collect()
	if err := record(t.Context()); err == nil {
		t.Fatal("recorded in a store that is down")
	}
	accept(t, l, points("last", now))
	for i := range 50 {
		if fresh := accept(t, l, points(fmt.Sprint("m", i), now)); len(fresh) > 0 {
			t.Fatalf("m%d is forgotten, and not recorded", i)
		}
	}
	m.down = false
	l.lookups.retry = time.Time{}
	if err := record(t.Context()); err != nil {
		t.Fatal(err)
	}
	collect(t, l)
	fill(t, l, 1)
	if len(m.entries) != 52 || l.table.count != 10 {
		t.Errorf("%d metrics are recorded, want 52, and %d remembered, want 10", len(m.entries), l.table.count)
	}
}

func TestWhatIsUnderWayIsNotForgotten(t *testing.T) {
	l, m := newLedger(Options{Metrics: 2})
	m.entries["duplicate"] = now
	fresh, settle := l.Look(slices.Concat(points("a", now), points("duplicate", now)))()
	if fill(t, l, 20); len(fresh) != 1 {
		t.Errorf("fresh are %v", fresh)
	}
	if err := settle(nil); err != nil {
		t.Fatal(err)
	}
	if fresh := accept(t, l, points("a", now)); len(fresh) > 0 {
		t.Error("what was under way is forgotten")
	}
	collect(t, l)
	if m.entries["a"] != now {
		t.Errorf("recorded is %d, want %d", m.entries["a"], now)
	}
}

// A request that found a metric, or asked for it, is judged by what came meanwhile,
// however many others did.
func TestNothingIsForgottenBetweenLookAndJudgement(t *testing.T) {
	for name, known := range map[string]bool{"known": true, "asked for": false} {
		l, m := newLedger(Options{Metrics: 2})
		if fill(t, l, 5); known {
			accept(t, l, points("a", now-60))
			collect(t, l)
		}
		judge := l.Look(points("a", now))
		if got := m.askedBy(func() { accept(t, l, points("a", now)) }); known && got > 0 {
			t.Errorf("%s: asked for", name)
		}
		collect(t, l)
		fill(t, l, 20)
		fresh, settle := judge()
		if err := settle(nil); err != nil || len(fresh) > 0 {
			t.Errorf("%s: fresh are %v, %v, of what was accepted meanwhile", name, fresh, err)
		}
	}
}

func TestCollectTakesTheNewestOnce(t *testing.T) {
	l, m := newLedger(Options{Metrics: plenty})
	if l.Collect() != nil {
		t.Error("something is collected of nothing")
	}
	accept(t, l, sdk.Batch{{Metric: "a", Timestamp: now, Value: 1}, {Metric: "a", Timestamp: now + 1, Value: 2}, {Metric: "b", Timestamp: now, Value: 3}})
	_, settle := l.Look(sdk.Batch{{Metric: "b", Timestamp: now + 1, Value: 4}})()
	record := l.Collect()
	accept(t, l, sdk.Batch{{Metric: "a", Timestamp: now + 2, Value: 5}})
	if err := record(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := m.values; got["a"] != 2 || got["b"] != 3 || m.entries["a"] != now+1 {
		t.Errorf("recorded %v at %v, want what was accepted when it was collected", got, m.entries)
	}
	if err := settle(nil); err != nil {
		t.Fatal(err)
	}
	collect(t, l)
	if got := m.values; got["a"] != 5 || got["b"] != 4 || m.records != 2 {
		t.Errorf("recorded %v in %d calls, want the newest in two", got, m.records)
	}
	if l.Collect() != nil {
		t.Error("something is collected twice")
	}
}

// A flush that fails goes on where it failed.
func TestFlushIsRepeatedInItsFailedPart(t *testing.T) {
	l, m := newLedger(Options{Metrics: plenty})
	var b sdk.Batch
	for i := range 2*recordLimit + 1 {
		b = append(b, sdk.Datapoint{Metric: fmt.Sprint("m", i), Timestamp: now})
	}
	accept(t, l, b)
	m.refuse = 2
	record := l.Collect()
	if err := record(t.Context()); !errors.Is(err, errDown) || testutil.ToFloat64(l.failed) != 1 || len(m.entries) != recordLimit {
		t.Errorf("told %v, %d metrics are recorded", err, len(m.entries))
	}
	if err := record(t.Context()); err != nil || m.records != 4 || len(m.entries) != len(b) || l.unrecorded() != 0 {
		t.Errorf("told %v, after %d calls %d metrics are recorded", err, m.records, len(m.entries))
	}
}

func TestUnderwayAwaitsThoseOfBefore(t *testing.T) {
	l, _ := newLedger(Options{Metrics: plenty})
	look := func(metric string, timestamp int64) func(error) error {
		_, settle := l.Look(points(metric, timestamp))()
		return settle
	}
	first, second := look("a", now), look("b", now)
	settled := l.Underway()
	later := look("c", now)
	l.Underway()
	for _, settle := range []func(error) error{second, first} {
		if settled() {
			t.Error("settled before all of them were")
		}
		_ = settle(errDown)
	}
	if !settled() {
		t.Error("not settled when all of them were")
	}
	if err := later(nil); err != nil {
		t.Error(err)
	}
	if !l.Underway()() {
		t.Error("nobody is under way")
	}
	if _, settle := l.Look(points("c", now))(); !l.Underway()() {
		t.Error("a request with nothing fresh is awaited")
	} else if err := settle(nil); err != nil {
		t.Error(err)
	}
}
