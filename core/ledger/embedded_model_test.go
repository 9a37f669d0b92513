package ledger

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"fluxgate/sdk"
)

// A shelf is a file, what must be in it, and the slots that somebody remembers.
type shelf struct {
	t     *testing.T
	e     *Embedded
	want  map[string]int64
	slots map[string]uint32
}

func (s *shelf) metric(t *rapid.T) string {
	return fmt.Sprint("m", rapid.IntRange(0, 4*blockSlots).Draw(t, "metric"))
}

// dues draws what is to be recorded, each metric once, and how it is called.
func (s *shelf) dues(t *rapid.T) (dues []Due, metrics []string) {
	drawn := map[string]bool{}
	for range rapid.IntRange(1, 40).Draw(t, "dues") {
		metric := s.metric(t)
		if drawn[metric] {
			continue
		}
		drawn[metric] = true
		d := due(metric, now+rapid.Int64Range(-100, 100).Draw(t, "timestamp"), s.slots[metric])
		if d.Slot != 0 {
			d.Metric = ""
		}
		dues, metrics = append(dues, d), append(metrics, metric)
	}
	return dues, metrics
}

func (s *shelf) record(t *rapid.T) {
	dues, metrics := s.dues(t)
	ahead := now + rapid.SampledFrom([]int64{60, 1000}).Draw(t, "ahead")
	if err := s.e.Record(context.Background(), dues, ahead); err != nil {
		t.Fatal(err)
	}
	for i, metric := range metrics {
		if last := s.want[metric]; dues[i].Timestamp > last || last > ahead {
			s.want[metric] = dues[i].Timestamp
		}
		if before := s.slots[metric]; dues[i].Slot == 0 || before != 0 && dues[i].Slot != before {
			t.Fatalf("%s has the slot %d, and had %d", metric, dues[i].Slot, before)
		}
		s.slots[metric] = dues[i].Slot
	}
}

func (s *shelf) fail(t *rapid.T) {
	dues, metrics := s.dues(t)
	if s.e.Record(context.Background(), append(dues, due("", now, 0)), now) == nil {
		t.Fatal("recorded a metric without a name")
	}
	for i, d := range dues {
		if d.Slot != s.slots[metrics[i]] {
			t.Fatalf("%s was told the slot %d by what failed", metrics[i], d.Slot)
		}
	}
}

func (s *shelf) forget(t *rapid.T) { delete(s.slots, s.metric(t)) }

func (s *shelf) reopen(*rapid.T) { s.e = reopened(s.t, s.e) }

func (s *shelf) check(t *rapid.T) {
	for metric, slot := range has(s.t, s.e, s.want) {
		if want, ok := s.slots[metric]; ok && slot != want {
			t.Fatalf("%s has the slot %d, want %d", metric, slot, want)
		}
	}
}

func TestFileIsAMap(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := &shelf{t, openTestEmbedded(t, tempFile(t, r)), map[string]int64{}, map[string]uint32{}}
		r.Repeat(map[string]func(*rapid.T){
			"": s.check, "record": s.record, "record2": s.record, "fail": s.fail, "forget": s.forget, "forget2": s.forget, "reopen": s.reopen,
		})
	})
}

// tempFile returns a file for one run of many.
func tempFile(t *testing.T, r *rapid.T) string {
	folder, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		r.Fatal(err)
	}
	return filepath.Join(folder, "ledger.db")
}

// A life is a ledger over a file, which starts again and again.
type life struct {
	*shelf
	l        *Ledger
	accepted map[string]int64
	pending  map[string]int64 // accepted and not recorded
}

func (l *life) start() {
	l.l = New(l.e, Options{MaxAhead: time.Hour, Metrics: 10}, prometheus.NewRegistry())
	l.l.now = func() time.Time { return time.Unix(now, 0) }
}

func (l *life) batch(t *rapid.T) (b sdk.Batch) {
	for range rapid.IntRange(1, 10).Draw(t, "datapoints") {
		b = append(b, due(l.metric(t), now+rapid.Int64Range(0, 100).Draw(t, "timestamp"), 0).Datapoint)
	}
	return b
}

func (l *life) accept(t *rapid.T) {
	fresh, settle := l.l.Look(l.batch(t))()
	for _, d := range fresh {
		switch {
		case d.Timestamp > l.accepted[d.Metric]:
			l.accepted[d.Metric], l.pending[d.Metric] = d.Timestamp, d.Timestamp
		case testutil.ToFloat64(l.l.unchecked) == 0: // the file was read in time
			t.Fatalf("%v is fresh, and %d was accepted", d, l.accepted[d.Metric])
		}
	}
	if err := settle(nil); err != nil {
		t.Fatal(err)
	}
}

func (l *life) flush(t *rapid.T) {
	if record := l.l.Collect(); record != nil {
		if err := record(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	clear(l.pending)
	has(l.t, l.e, l.accepted)
}

// job records what a job has brought.
func (l *life) job(t *rapid.T) {
	b := l.batch(t)
	if err := l.l.Record(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	for _, d := range b {
		if d.Timestamp >= l.accepted[d.Metric] {
			l.accepted[d.Metric] = d.Timestamp
			delete(l.pending, d.Metric)
		}
	}
}

// restart has the ledger begin again with the file, and with what only the journal has.
func (l *life) restart(t *rapid.T) {
	l.reopen(t)
	l.start()
	for metric, timestamp := range l.pending {
		l.l.Restore(sdk.Batch{due(metric, timestamp, 0).Datapoint})
	}
}

func TestLedgerOverAFile(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		l := &life{&shelf{t: t, e: openTestEmbedded(t, tempFile(t, r))}, nil, map[string]int64{}, map[string]int64{}}
		l.start()
		r.Repeat(map[string]func(*rapid.T){
			"accept": l.accept, "accept2": l.accept, "accept3": l.accept, "flush": l.flush, "flush2": l.flush, "job": l.job, "restart": l.restart,
		})
		l.flush(r)
	})
}

func TestSlotsOfManyAreLearned(t *testing.T) {
	l, m := newLedger(Options{Metrics: plenty})
	b := make(sdk.Batch, recordLimit+2*collectLimit+1)
	for timestamp := range int64(3) {
		for i := range b {
			b[i] = sdk.Datapoint{Metric: fmt.Sprint("m", i), Timestamp: now + timestamp}
		}
		accept(t, l, b)
		collect(t, l)
		for _, d := range b {
			if m.entries[d.Metric] != d.Timestamp {
				t.Fatalf("newest of %s is %d, want %d", d.Metric, m.entries[d.Metric], d.Timestamp)
			}
		}
	}
}

// Only of a metric whose slot is not known the name is copied.
func TestFlushNamesWhatHasNoSlot(t *testing.T) { synctest.Test(t, flushNames) }

func flushNames(t *testing.T) {
	e := newTestEmbedded(t)
	start := func() *Ledger {
		l := New(e, Options{MaxAhead: time.Minute, Metrics: plenty}, prometheus.NewRegistry())
		l.now = func() time.Time { return time.Unix(now, 0) }
		return l
	}
	flush := func(l *Ledger, names ...string) {
		t.Helper()
		record := l.Collect()
		for i, d := range l.snapshot.dues {
			if d.Metric != names[i] || (d.Slot == 0) != (d.Metric != "") {
				t.Errorf("item %d is %q in slot %d, want %q", i, d.Metric, d.Slot, names[i])
			}
		}
		if err := record(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	l := start()
	for i := range int64(2) {
		accept(t, l, points("a", now-10+i))
		accept(t, l, points("b", now-10+i))
		flush(l, [][]string{{"a", "b"}, {"", ""}}[i]...)
	}
	l = start()
	accept(t, l, append(points("c", now), points("a", now)...))
	flush(l, "c", "")
	l.Restore(points("b", now))
	accept(t, l, points("a", now+1))
	flush(l, "b", "")
	if got := last(t, e, "a", "b", "c"); got[0] != now+1 || got[1] != now || got[2] != now {
		t.Errorf("newest are %v", got)
	}
}
