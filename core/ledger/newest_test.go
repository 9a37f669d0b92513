package ledger

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fluxgate/sdk"
)

// A watched store tells of each call of Record, before it is made.
type watched struct {
	*memory
	told func(dues []Due)
}

func (w *watched) Record(ctx context.Context, dues []Due, ahead int64) error {
	w.told(dues)
	return w.memory.Record(ctx, dues, ahead)
}

// plainly has l record, and returns how many of that were said to be the newest.
func plainly(t *testing.T, l *Ledger, m *memory) int {
	t.Helper()
	before := m.plain
	collect(t, l)
	return m.plain - before
}

func TestWhatIsKnownIsTheNewest(t *testing.T) {
	failing := func(t *testing.T, l *Ledger, m *memory, b sdk.Batch) {
		m.lose = true
		if err := l.Record(t.Context(), b); err == nil {
			t.Error("a failure is not told")
		}
		m.lose = false
	}
	for name, tt := range map[string]struct {
		shared bool
		before func(*testing.T, *Ledger, *memory)
		newest bool
	}{
		"asked about": {false, func(t *testing.T, l *Ledger, m *memory) { accept(t, l, points("a", now)) }, true},
		"shared":      {true, func(t *testing.T, l *Ledger, m *memory) { accept(t, l, points("a", now)) }, false},
		"restored":    {false, func(t *testing.T, l *Ledger, m *memory) { l.Restore(points("a", now)) }, false},
		"restored and asked about": {false, func(t *testing.T, l *Ledger, m *memory) {
			l.Restore(points("a", now-1))
			accept(t, l, points("a", now))
		}, true},
		"judged without the store": {false, func(t *testing.T, l *Ledger, m *memory) {
			m.down = true
			accept(t, l, points("a", now))
			m.down = false
		}, false},
		"after an entry that is not believed": {false, func(t *testing.T, l *Ledger, m *memory) {
			m.entries["a"] = now + 90
			accept(t, l, points("a", now))
		}, false},
		"after the clock went back": {false, func(t *testing.T, l *Ledger, m *memory) {
			accept(t, l, points("a", now))
			collect(t, l)
			l.now = func() time.Time { return time.Unix(now-90, 0) }
			accept(t, l, points("a", now-60))
		}, false},
		"after a job": {false, func(t *testing.T, l *Ledger, m *memory) {
			accept(t, l, points("a", now-2))
			recordAll(t, l, points("a", now-1))
			accept(t, l, points("a", now))
		}, true},
		"after a job that failed": {false, func(t *testing.T, l *Ledger, m *memory) {
			accept(t, l, points("a", now-1))
			_, settle := l.Look(points("a", now))()
			failing(t, l, m, points("a", now-1))
			if err := settle(nil); err != nil {
				t.Error(err)
			}
		}, false},
		"while a job failed": {false, func(t *testing.T, l *Ledger, m *memory) {
			judge := l.Look(points("a", now))
			failing(t, l, m, points("a", now+1))
			_, settle := judge()
			if err := settle(nil); err != nil {
				t.Error(err)
			}
		}, false},
		"asked about after a job that failed": {false, func(t *testing.T, l *Ledger, m *memory) {
			failing(t, l, m, points("a", now-1))
			accept(t, l, points("a", now))
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			l, m := newLedger(Options{Shared: tt.shared, Metrics: plenty})
			tt.before(t, l, m)
			if plain := plainly(t, l, m); (plain == 1) != tt.newest || m.back > 0 {
				t.Errorf("%d are said to be the newest, want %v; %d are moved back", plain, tt.newest, m.back)
			}
		})
	}
}

// Between Collect and the function that it returns the store gets, or is found to have,
// something newer than what was collected.
func TestAFlushThatIsOvertakenMovesNothingBack(t *testing.T) {
	l, m := newLedger(Options{Metrics: plenty})
	for name, overtake := range map[string]func(collected func()){
		"by a job": func(collected func()) {
			accept(t, l, points("by a job", now))
			collected()
			recordAll(t, l, points("by a job", now+10))
		},
		"by a job that failed": func(collected func()) {
			accept(t, l, points("by a job that failed", now))
			collected()
			m.lose = true
			if err := l.Record(t.Context(), points("by a job that failed", now+10)); err == nil {
				t.Error("a failure is not told")
			}
			m.lose = false
		},
		"in a lookup": func(collected func()) {
			first := l.Look(points("in a lookup", now))
			m.entries["in a lookup"] = now + 10 // by somebody else
			second := l.Look(points("in a lookup", now+5))
			if _, settle := first(); settle(nil) != nil {
				t.Error("the first is not accepted")
			}
			collected()
			if fresh, settle := second(); len(fresh) > 0 || settle(nil) != nil {
				t.Errorf("%v are fresh", fresh)
			}
		},
	} {
		var record func(context.Context) error
		overtake(func() { record = l.Collect() })
		if err := record(t.Context()); err != nil {
			t.Error(err)
		}
		if got := m.entries[name]; got != now+10 || m.back > 0 {
			t.Errorf("overtaken %s: %d is recorded, want %d", name, got, now+10)
		}
	}
	m.plain = 0
	accept(t, l, points("b", now))
	record := l.Collect()
	recordAll(t, l, points("c", now))
	if err := record(t.Context()); err != nil || m.plain != 1 {
		t.Errorf("%v, and a job of another metric leaves %d to be the newest, want 1", err, m.plain)
	}
}

func TestWhatIsRecordedAgainIsCompared(t *testing.T) {
	l, m := newLedger(Options{Metrics: plenty})
	for _, metric := range []string{"a", "b"} {
		accept(t, l, points(metric, now))
	}
	l.most = 1
	record := l.Collect()
	m.lose = true
	if err := record(t.Context()); err == nil || m.plain != 1 {
		t.Errorf("%v, and %d are the newest", err, m.plain)
	}
	m.lose = false
	if err := record(t.Context()); err != nil || m.plain != 1 || len(m.entries) != 2 {
		t.Errorf("%v, and %d are the newest, want the one that failed before; recorded are %v", err, m.plain, m.entries)
	}
	accept(t, l, points("a", now+1))
	if got := plainly(t, l, m); got != 1 {
		t.Errorf("of the next flush %d are the newest, want 1", got)
	}
}

// What a job is about to record the table does not know yet, so that no flush may
// write meanwhile; nor may a job begin while a flush writes. Jobs do not wait for jobs.
func TestAFlushAndAJobDoNotRecordAtOnce(t *testing.T) {
	_, m := newLedger(Options{Metrics: plenty})
	var (
		l            *Ledger
		flush, other bool
	)
	l = New(&watched{m, func([]Due) {
		if flush = l.recording.TryLock(); flush {
			l.recording.Unlock()
		}
		if other = l.recording.TryRLock(); other {
			l.recording.RUnlock()
		}
	}}, Options{MaxAhead: 1 << 40, Metrics: plenty}, prometheus.NewRegistry())
	recordAll(t, l, points("a", now))
	if got, want := []bool{flush, other}, []bool{false, true}; !slices.Equal(got, want) {
		t.Errorf("while a job records, a flush and another job may: %v, want %v", got, want)
	}
	accept(t, l, points("a", now+1))
	collect(t, l)
	if flush || other {
		t.Errorf("while a flush records, another and a job may: %v, %v", flush, other)
	}
}

// A lookup that was answered before a job recorded must not be judged after what the job
// brought has been forgotten.
func TestWhatAJobRecordedIsKeptForALookupBeforeIt(t *testing.T) {
	l, m := newLedger(Options{Metrics: 10})
	fill(t, l, 20) // the first round is over
	judge := l.Look(points("a", now))
	m.entries["a"] = now + 10 // the job's, which is not told yet
	if fresh := accept(t, l, points("a", now)); len(fresh) > 0 {
		t.Errorf("fresh are %v, want what is newer than the job's", fresh)
	}
	recordAll(t, l, points("a", now+10))
	fill(t, l, 100)
	fresh, settle := judge()
	if err := settle(nil); err != nil {
		t.Error(err)
	}
	if collect(t, l); len(fresh) > 0 || m.entries["a"] != now+10 || m.back > 0 {
		t.Errorf("fresh are %v, and %d is recorded, want %d", fresh, m.entries["a"], now+10)
	}
}

// While a collection waits for a sink, what others record of a metric, or a job, makes
// its entry be listed no more often than once.
func TestAnEntryIsListedOnce(t *testing.T) {
	modes(t, func(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
		l, m := newTestLedger()
		l.options.Metrics = 1
		accept(t, l, points("a", now-1000))
		waiting := l.Collect()
		for i := range int64(100) {
			at := now - 900 + 3*i
			m.set(func(m *memory) { m.entries["a"] = at })
			accept(t, l, points("a", at+1))
			recordAll(t, l, points("a", at+1))
			gone := fmt.Sprint("gone", i)
			accept(t, l, points(gone, at))
			recordAll(t, l, points(gone, at))
			accept(t, l, points("a", at+2))
		}
		if got := len(l.dirty); got > int(l.table.made) {
			t.Errorf("%d entries are listed, and there are %d", got, l.table.made)
		}
		if err := waiting(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := l.Collect()(t.Context()); err != nil || m.entries["a"] != now-601 {
			t.Errorf("told %v, %d is recorded, want %d", err, m.entries["a"], now-601)
		}
		accept(t, l, points("a", now))
		if record := l.Collect(); record == nil || record(t.Context()) != nil || m.entries["a"] != now || len(l.dirty) > 0 {
			t.Errorf("%d is recorded, %d entries are listed", m.entries["a"], len(l.dirty))
		}
	})
}
