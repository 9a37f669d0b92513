package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"fluxgate/sdk"
)

// memory is a store that can be away, slow, or slow to record, and has slots if slots
// is not nil.
type memory struct {
	slots   map[string]uint32
	names   []string // of the slots
	mu      sync.Mutex
	entries map[string]int64
	beats   map[string]time.Time
	down    bool
	slow    time.Duration
	calls   int  // of Last
	asked   int  // metrics asked for by Last
	records int  // calls of Record
	refuse  int  // the call of Record that fails
	lose    bool // what Record enters, it tells nobody
	back    int  // entries that Record has moved back
	plain   int  // entries that it was told to be the newest
	values  map[string]float64
	owners  map[string]string
	renewed int           // calls of Renew
	lasts   time.Duration // of the last lease, or what is left of it
}

var errDown = errors.New("down")

func (m *memory) wait(ctx context.Context) error {
	m.mu.Lock()
	slow, down := m.slow, m.down
	m.mu.Unlock()
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if down {
		return errDown
	}
	return ctx.Err()
}

func (m *memory) Last(ctx context.Context, metrics []string) ([]Recorded, error) {
	m.mu.Lock()
	m.calls++
	m.asked += len(metrics)
	m.mu.Unlock()
	if err := m.wait(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	last := make([]Recorded, len(metrics))
	for i, metric := range metrics {
		last[i] = Recorded{m.entries[metric], m.slots[metric]}
	}
	return last, nil
}

func (m *memory) Record(ctx context.Context, dues []Due, ahead int64) error {
	if err := m.wait(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.records++; m.records == m.refuse {
		return errDown
	}
	for i, d := range dues {
		metric := m.find(&dues[i])
		last := m.entries[metric]
		if d.Newest {
			m.plain++
		}
		if d.Newest && last > d.Timestamp {
			m.back++
		}
		if d.Newest || d.Timestamp > last || last > ahead {
			m.entries[metric], m.values[metric] = d.Timestamp, d.Value
		}
	}
	if m.lose {
		return errDown
	}
	return nil
}

// find returns the name of a due, and notes its slot.
func (m *memory) find(d *Due) string {
	switch {
	case m.slots == nil:
		return d.Metric
	case d.Slot > 0:
		return m.names[d.Slot-1]
	case m.slots[d.Metric] == 0:
		m.names = append(m.names, d.Metric)
		m.slots[d.Metric] = uint32(len(m.names))
	}
	d.Slot = m.slots[d.Metric]
	return d.Metric
}

func (m *memory) Beat(ctx context.Context, name string, now time.Time) error {
	if err := m.wait(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.beats[name] = now
	return nil
}

func (m *memory) Note(ctx context.Context, _, _ string, _ time.Duration) error { return m.wait(ctx) }

func (m *memory) Lease(ctx context.Context, metric, owner string, d time.Duration) (bool, error) {
	if err := m.wait(ctx); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.owners[metric] != "" {
		return false, nil
	}
	m.owners[metric], m.lasts = owner, d
	return true, nil
}

func (m *memory) Renew(ctx context.Context, metric, owner string, d time.Duration) (bool, error) {
	if err := m.wait(ctx); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.renewed++
	if m.owners[metric] != owner {
		return false, nil
	}
	if m.lasts = d; d == 0 {
		delete(m.owners, metric)
	}
	return true, nil
}

func (m *memory) Close() error { return nil }

// age returns how long ago a sign of life was written.
func (m *memory) age(beat string) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Since(m.beats[beat])
}

func (m *memory) set(change func(*memory)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

// plenty is more metrics than a test has.
const plenty = 1 << 20

// modes runs a test with ledgers of each mode.
func modes(t *testing.T, test func(t *testing.T, newTestLedger func() (*Ledger, *memory))) {
	for name, shared := range map[string]bool{"local": false, "shared": true} {
		t.Run(name, func(t *testing.T) {
			test(t, func() (*Ledger, *memory) { return newLedger(Options{Shared: shared, Metrics: plenty}) })
		})
	}
}

// unrecorded returns how many entries hold what is not recorded, or under way.
func (l *Ledger) unrecorded() (n int) {
	for number := range l.table.made {
		if e := l.table.entry(number); e.state&(dirty|flushed) != 0 || e.by != 0 {
			n++
		}
	}
	return n
}

func newLedger(o Options) (*Ledger, *memory) {
	m := &memory{entries: make(map[string]int64), values: make(map[string]float64), beats: make(map[string]time.Time), owners: make(map[string]string)}
	if !o.Shared {
		m.slots = make(map[string]uint32)
	}
	o.MaxAhead = time.Minute
	l := New(m, o, prometheus.NewRegistry())
	l.now = func() time.Time { return time.Unix(now, 0) }
	return l, m
}

// running starts the ledger and returns what stops it.
func running(l *Ledger) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { l.Run(ctx) })
	return func() {
		cancel()
		run.Wait()
	}
}

func points(metric string, timestamps ...int64) (b sdk.Batch) {
	for _, timestamp := range timestamps {
		b = append(b, sdk.Datapoint{Metric: metric, Timestamp: timestamp})
	}
	return b
}

// accept judges b and keeps what is fresh; it returns the timestamps of that.
func accept(t *testing.T, l *Ledger, b sdk.Batch) (fresh []int64) {
	t.Helper()
	got, settle := l.Look(b)()
	if err := settle(nil); err != nil {
		t.Fatal(err)
	}
	for _, d := range got {
		fresh = append(fresh, d.Timestamp)
	}
	return fresh
}

func TestFreshIsNewerThanAllBefore(t *testing.T) {
	modes(t, func(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
		l, m := newTestLedger()
		m.entries["a"] = now - 60
		tests := []struct {
			name string
			in   []int64
			want int
		}{
			{"what is recorded is a duplicate", []int64{now - 120, now - 60}, 0},
			{"newer than recorded", []int64{now - 30}, 1},
			{"accepted and not recorded counts", []int64{now - 30, now - 40}, 0},
			{"rising in one request", []int64{now - 20, now - 10}, 2},
			{"falling in one request", []int64{now, now - 5}, 1},
			{"the same twice in one request", []int64{now + 1, now + 1}, 1},
		}
		for _, tt := range tests {
			if got := accept(t, l, points("a", tt.in...)); len(got) != tt.want {
				t.Errorf("%s: fresh are %v, want %d", tt.name, got, tt.want)
			}
		}
	})
}

func TestWhatIsReleasedIsFreshAgain(t *testing.T) {
	modes(t, func(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
		l, _ := newTestLedger()
		failed := errors.New("carbon is down")
		accept(t, l, points("a", now-60))
		_, settle := l.Look(points("a", now))()
		if err := settle(failed); err != failed {
			t.Errorf("settle returned %v, want the error it was given", err)
		}
		if got := accept(t, l, points("a", now-60, now)); len(got) != 1 || got[0] != now {
			t.Errorf("fresh are %v, want the released %d alone", got, now)
		}
	})
}

func TestJudgementSharesTheFateOfWhatItReliedOn(t *testing.T) {
	modes(t, func(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
		for _, tt := range []struct {
			name      string
			timestamp int64
			outcome   error
			want      error
		}{
			{"a duplicate of what is stored", now, nil, nil},
			{"a duplicate of what is not stored", now, errDown, sdk.ErrUnavailable},
			{"newer than what is not stored", now + 10, errDown, sdk.ErrUnavailable},
			{"newer than what is refused for ever", now + 10, sdk.ErrInvalid, sdk.ErrUnavailable},
			{"newer than what is stored", now + 10, nil, nil},
		} {
			synctest.Test(t, func(t *testing.T) {
				l, _ := newTestLedger()
				_, first := l.Look(points("a", now))()
				_, second := l.Look(points("a", tt.timestamp))()
				result := make(chan error, 1)
				go func() { result <- second(nil) }()
				synctest.Wait()
				select {
				case err := <-result:
					t.Errorf("%s: answered %v before the outcome was known", tt.name, err)
					return
				default:
				}
				if err := first(tt.outcome); !errors.Is(err, tt.outcome) {
					t.Errorf("%s: the first is told %v, want %v", tt.name, err, tt.outcome)
				}
				if err := <-result; !errors.Is(err, tt.want) || errors.Is(err, sdk.ErrInvalid) {
					t.Errorf("%s: told %v, want %v", tt.name, err, tt.want)
				}
				if fresh := accept(t, l, points("a", now)); (len(fresh) == 1) != (tt.want != nil) {
					t.Errorf("%s: afterwards %v are fresh", tt.name, fresh)
				}
			})
		}
	})
}

func TestStoreIsAskedOnceForConcurrentRequests(t *testing.T) {
	modes(t, func(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
		synctest.Test(t, func(t *testing.T) {
			l, m := newTestLedger()
			m.slow = 10 * time.Millisecond
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() { accept(t, l, points("a", now)) })
				synctest.Wait()
			}
			all.Wait()
			if want := 1 + l.lookups.most; m.asked != 100 || m.calls != want {
				t.Errorf("%d metrics were asked for in %d calls, want 100 in %d: the first alone, in each round trip that may be under way, the others together", m.asked, m.calls, want)
			}
		})
	})
}

func TestRequestsPassUncheckedWithoutTheStore(t *testing.T) {
	modes(t, func(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
		for name, change := range map[string]func(*memory){
			"down": func(m *memory) { m.down = true },
			"slow": func(m *memory) { m.slow = time.Hour },
		} {
			synctest.Test(t, func(t *testing.T) {
				l, m := newTestLedger()
				m.entries["a"] = now
				m.set(change)
				began := time.Now()
				if fresh := accept(t, l, points("a", now-60, now)); len(fresh) != 2 {
					t.Errorf("%s: fresh are %v, want both", name, fresh)
				}
				if took := time.Since(began); took > lookTimeout {
					t.Errorf("%s: judged after %v, want at most %v", name, took, lookTimeout)
				}
				if fresh := accept(t, l, points("a", now)); len(fresh) != 0 {
					t.Errorf("%s: what was just accepted is fresh again", name)
				}
				if took := time.Since(began); took > lookTimeout { // of both together
					t.Errorf("%s: the second request waited for a store that was known to be away", name)
				}
				want := 3.0
				if l.options.Shared {
					want = 2 // a duplicate of what it accepted itself is one, whatever others did
				}
				if got := testutil.ToFloat64(l.unchecked); got != want {
					t.Errorf("%s: counted %v unchecked, want %v", name, got, want)
				}
				synctest.Wait()
			})
		}
	})
}

func TestRecordIsTheNewestOfEachMetric(t *testing.T) {
	modes(t, func(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
		l, m := newTestLedger()
		m.down = true
		b := append(points("a", now-60, now, now-30), points("b", now)...)
		if err := l.Record(t.Context(), b); !errors.Is(err, errDown) || testutil.ToFloat64(l.failed) != 1 {
			t.Errorf("told %v, %v failures are counted", err, testutil.ToFloat64(l.failed))
		}
		m.down = false
		if err := l.Record(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if want := map[string]int64{"a": now, "b": now}; !maps.Equal(m.entries, want) || m.records != 1 {
			t.Errorf("recorded %v in %d calls, want %v in one", m.entries, m.records, want)
		}
	})
}

func TestWhatIsRestoredCountsAsAccepted(t *testing.T) {
	modes(t, func(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
		l, _ := newTestLedger()
		l.Restore(points("a", now, now-60))
		if fresh := accept(t, l, points("a", now-30, now, now+1)); len(fresh) != 1 || fresh[0] != now+1 {
			t.Errorf("fresh are %v, want what is newer than %d alone", fresh, now)
		}
	})
}

// recordAll records b, and must succeed.
func recordAll(t *testing.T, l *Ledger, b sdk.Batch) {
	t.Helper()
	if err := l.Record(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsKeptOnceTheStoreKnows(t *testing.T) {
	modes(t, func(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
		l, m := newTestLedger()
		accept(t, l, points("a", now-1, now))
		_, settle := l.Look(points("a", now+1))()
		if err := settle(errDown); err == nil {
			t.Error("a failure was not passed on")
		}
		_, settle = l.Look(points("b", now))()
		if err := settle(errDown); err == nil || l.unrecorded() != 1 {
			t.Errorf("%d entries are to be recorded after %v, want what was accepted of a", l.unrecorded(), err)
		}
		recordAll(t, l, points("a", now-1))
		if l.unrecorded() != 1 {
			t.Error("what is accepted and not recorded is forgotten")
		}
		recordAll(t, l, points("a", now))
		if l.unrecorded() != 0 || m.entries["a"] != now {
			t.Errorf("%d entries are to be recorded, and the store has %v", l.unrecorded(), m.entries)
		}
	})
}

// A lookup that was answered before a flush must not be judged after the flush
// has been forgotten: it would take a duplicate for fresh.
func TestJudgementAfterAFlushThatTheLookupMissed(t *testing.T) {
	modes(t, func(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
		l, _ := newTestLedger()
		judge := l.Look(points("a", now))
		accept(t, l, points("a", now))
		recordAll(t, l, points("a", now))
		fresh, settle := judge()
		if len(fresh) != 0 {
			t.Errorf("fresh are %v, want none", fresh)
		}
		if err := settle(nil); err != nil {
			t.Error(err)
		}
		if l.unrecorded() != 0 {
			t.Errorf("%d entries of what is recorded are to be recorded", l.unrecorded())
		}
	})
}

func TestAbsurdEntryCountsAsAbsent(t *testing.T) {
	modes(t, func(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
		l, m := newTestLedger()
		m.entries["a"] = 4102444800
		if fresh := accept(t, l, points("a", now)); len(fresh) != 1 {
			t.Error("an entry of the year 2100 made a datapoint a duplicate")
		}
		if got := testutil.ToFloat64(l.absurd); got != 1 {
			t.Errorf("%v absurd entries are counted, want 1", got)
		}
	})
}

func TestSignsOfLife(t *testing.T) {
	modes(t, func(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
		synctest.Test(t, func(t *testing.T) {
			l, m := newTestLedger()
			l.now = time.Now
			m.down = true
			stop := running(l)
			l.Beat("flux.listen")
			time.Sleep(10 * time.Minute) // of the test's own clock
			m.set(func(m *memory) { m.down = false })
			time.Sleep(3 * time.Second)
			for _, name := range []string{"flux.listen", BeatWorker} {
				if age := m.age(name); age > 3*time.Second {
					t.Errorf("the last %s is %v old, soon after the store is back", name, age)
				}
			}
			time.Sleep(10 * time.Minute)
			if age := m.age(BeatWorker); age > 61*time.Second {
				t.Errorf("the last sign of life is %v old: it expires after two minutes", age)
			}
			l.Beat("flux.listen")
			stop()
			if age := m.age("flux.listen"); age != 0 {
				t.Errorf("what was due at the end was written %v before", age)
			}
		})
	})
}

func TestLargeRequestsAreChecked(t *testing.T) {
	modes(t, func(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
		synctest.Test(t, func(t *testing.T) {
			l, m := newTestLedger()
			m.slow = 2 * time.Millisecond
			var b sdk.Batch
			for i := range 100_000 {
				metric := fmt.Sprint("m", i)
				m.entries[metric] = now
				b = append(b, sdk.Datapoint{Metric: metric, Timestamp: now})
			}
			var all sync.WaitGroup
			all.Go(func() {
				if fresh := accept(t, l, b); len(fresh) != 0 {
					t.Errorf("%d recorded datapoints of a large request are fresh", len(fresh))
				}
			})
			began := time.Now()
			for i := range 40 { // 450 each, at once: for 40 ms
				all.Go(func() {
					if fresh := accept(t, l, b[i*450:(i+1)*450]); len(fresh) != 0 {
						t.Errorf("%d recorded datapoints are fresh", len(fresh))
					}
				})
			}
			all.Wait()
			if got := testutil.ToFloat64(l.unchecked); got != 0 {
				t.Errorf("%v datapoints were judged without a store that is well, within %v", got, time.Since(began))
			}
		})
	})
}

func TestNobodyWaitsLongForASlowStore(t *testing.T) {
	modes(t, func(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
		synctest.Test(t, func(t *testing.T) {
			l, m := newTestLedger()
			m.slow = 40 * time.Millisecond
			var b sdk.Batch
			for i := range 20_000 {
				b = append(b, sdk.Datapoint{Metric: fmt.Sprint("m", i), Timestamp: now})
			}
			var all sync.WaitGroup
			began := time.Now()
			for i := range 40 {
				all.Go(func() {
					accept(t, l, b[i*450:(i+1)*450])
					if took := time.Since(began); took > lookTimeout {
						t.Errorf("a request of 450 metrics waited %v", took)
					}
				})
			}
			all.Go(func() {
				accept(t, l, b)
				if took := time.Since(began); took > 4*lookTimeout {
					t.Errorf("a request of 20,000 metrics waited %v", took)
				}
			})
			all.Wait()
			if got := testutil.ToFloat64(l.unchecked); got == 0 {
				t.Error("nobody was judged without the store")
			}
			time.Sleep(time.Minute) // of the test's own clock: the round trips end
		})
	})
}

// The clock may have been set back since.
func TestAbsurdTimestampOfItsOwnCountsAsAbsent(t *testing.T) {
	modes(t, func(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
		l, _ := newTestLedger()
		l.Restore(points("a", now+86400))
		if fresh := accept(t, l, points("a", now)); len(fresh) != 1 {
			t.Error("what was accepted a day ahead makes a datapoint of today a duplicate")
		}
		if fresh := accept(t, l, points("a", now)); len(fresh) != 0 {
			t.Error("and a duplicate fresh")
		}
	})
}

func TestEndDoesNotWaitForAStoreThatHangs(t *testing.T) {
	modes(t, func(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
		synctest.Test(t, func(t *testing.T) {
			l, m := newTestLedger()
			m.slow = time.Hour
			stop := running(l)
			l.Beat("flux.listen")
			time.Sleep(time.Minute) // of the test's own clock
			began := time.Now()
			stop()
			if took := time.Since(began); took > lastBeat {
				t.Errorf("ended after %v", took)
			}
		})
	})
}
