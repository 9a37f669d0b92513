package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fluxgate/core/journal"
	"fluxgate/sdk"
)

const (
	budget   = 64 << 20
	fillRate = 10_000
)

// A shelf is a sink in memory.
type shelf struct {
	mu     sync.Mutex
	writes []sdk.Batch // that it took
	asked  []int       // datapoints of each call
	fault  func(sdk.Batch) error
	shut   chan struct{} // nil: open; else each write waits until it is closed
}

// copied shares nothing with b, of which a sink may not keep the metrics either.
func copied(b sdk.Batch) sdk.Batch {
	c := slices.Clone(b)
	for i := range c {
		c[i].Metric = strings.Clone(c[i].Metric)
	}
	return c
}

func (s *shelf) Write(ctx context.Context, b sdk.Batch) error {
	s.mu.Lock()
	s.asked = append(s.asked, len(b))
	fault, shut := s.fault, s.shut
	s.mu.Unlock()
	if shut != nil {
		select {
		case <-shut:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if fault != nil {
		if err := fault(b); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes = append(s.writes, copied(b))
	return nil
}

func (s *shelf) set(fault func(sdk.Batch) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

func (s *shelf) held() sdk.Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.writes...)
}

// has returns a fault for batches that hold a metric.
func has(metric string, err error) func(sdk.Batch) error {
	return func(b sdk.Batch) error {
		if slices.ContainsFunc(b, func(d sdk.Datapoint) bool { return d.Metric == metric }) {
			return err
		}
		return nil
	}
}

func always(err error) func(sdk.Batch) error { return func(sdk.Batch) error { return err } }

var errAway = sdk.Unavailablef("away")

// A book is a ledger in memory. It knows what is accepted from the journal.
type book struct {
	mu        sync.Mutex
	live      *Stream
	collected journal.Position
	open      int // claims that are not settled
	restored  sdk.Batch
	recorded  sdk.Batch
	fault     error
	check     func(sdk.Batch)
}

func (l *book) Restore(b sdk.Batch) { l.restored = append(l.restored, b...) }

func (l *book) Underway() (settled func() bool) {
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.open == 0
	}
}

// Collect takes everything in the journal that it has not taken, unless a claim is
// not settled.
func (l *book) Collect() (record func(context.Context) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live == nil || l.open > 0 {
		return nil
	}
	var b sdk.Batch
	from := l.collected
	l.collected = l.live.log.End()
	err := l.live.log.Replay(from, func([]byte) error { panic("summaries are of other tests") }, func(r journal.Record) error {
		if longer, err := readBatch(b, r.Data); err == nil {
			b = longer
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	if len(b) == 0 {
		return nil
	}
	return func(ctx context.Context) error { return l.Record(ctx, b) }
}

func (l *book) Record(_ context.Context, b sdk.Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		return l.fault
	}
	if l.check != nil {
		l.check(b)
	}
	l.recorded = append(l.recorded, b...)
	return nil
}

func (l *book) set(fault error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = fault
}

func (l *book) held() sdk.Batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.recorded)
}

func batch(metric string, n int) sdk.Batch {
	b := make(sdk.Batch, n)
	for i := range b {
		b[i] = sdk.Datapoint{Metric: metric, Timestamp: int64(i + 1), Value: float64(i)}
	}
	return b
}

func point(metric string) sdk.Batch { return sdk.Batch{{Metric: metric, Timestamp: 1, Value: 2}} }

func open(t *testing.T, folder string, l Ledger, sinks ...Sink) *Delivery {
	t.Helper()
	d, err := Open(Setup{Folder: folder, Budget: budget, Sinks: sinks, FillRate: fillRate, Ledger: l}, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if b, ok := l.(*book); ok {
		b.live, b.collected = d.Live, d.record.reader.Saved()
	}
	return d
}

// running runs d until the function that it returns is called, which closes d.
func running(t *testing.T, d *Delivery) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { d.Run(ctx) })
	return func() {
		cancel()
		run.Wait()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// keep appends b, which must succeed.
func keep(t *testing.T, s *Stream, b sdk.Batch) (delivered func(context.Context) error) {
	t.Helper()
	kept, delivered := s.Append(b)
	if err := kept(); err != nil {
		t.Fatal(err)
	}
	return delivered
}

// deliver runs test in a bubble with a clock of its own.
func deliver(t *testing.T, l *book, test func(*testing.T, *Delivery), sinks ...Sink) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, folder, l, sinks...)
		defer running(t, d)()
		test(t, d)
	})
}

func (d *Delivery) balance(t *testing.T) {
	t.Helper()
	for _, s := range []*Stream{d.Live, d.Fill} {
		for _, l := range s.lanes {
			if b := l.reader.Books(); b.Imbalance() != 0 {
				t.Errorf("the books of %s in %s do not add up: %+v", b.Reader, s.name, b)
			}
		}
	}
}

func TestEverySinkGetsEverythingInOrder(t *testing.T) {
	fast, slow, optional := &shelf{}, &shelf{}, &shelf{}
	var calls int
	slow.fault = func(sdk.Batch) error {
		if calls++; calls%3 != 0 {
			return errors.New("not now")
		}
		return nil
	}
	var want sdk.Batch
	deliver(t, &book{}, func(t *testing.T, d *Delivery) {
		var last func(context.Context) error
		for i := range 50 {
			b := batch(fmt.Sprint("m", i), 1+i%7)
			want = append(want, b...)
			last = keep(t, d.Live, b)
		}
		if err := last(t.Context()); err != nil {
			t.Error(err)
		}
		for i, s := range []*shelf{fast, slow} {
			if !slices.Equal(s.held(), want) {
				t.Errorf("sink %d has %d datapoints, or in another order, of %d", i, len(s.held()), len(want))
			}
		}
		d.balance(t)
	}, Sink{fast, "fast", true, 0}, Sink{slow, "slow", true, 0}, Sink{optional, "optional", false, 0})
	if !slices.Equal(optional.held(), want) {
		t.Error("the optional sink has not got everything")
	}
}

func TestOnlyRequiredSinksAreAwaited(t *testing.T) {
	good, bad, optional := &shelf{}, &shelf{fault: always(errAway)}, &shelf{fault: always(errAway)}
	deliver(t, &book{}, func(t *testing.T, d *Delivery) {
		delivered := keep(t, d.Live, batch("a", 3))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := delivered(ctx); err == nil || err.Error() != `sink "bad" has not taken it` {
			t.Errorf("told %v", err)
		}
		kept, duplicates := d.Live.Append(nil)
		if err := kept(); err != nil {
			t.Fatal(err)
		}
		if err := duplicates(ctx); err == nil {
			t.Error("duplicates of what is not delivered count as delivered")
		}
		bad.set(nil)
		if err := errors.Join(delivered(t.Context()), duplicates(t.Context())); err != nil {
			t.Errorf("told %v when all that is required is well", err)
		}
	}, Sink{good, "good", true, 0}, Sink{bad, "bad", true, 0}, Sink{optional, "optional", false, 0})
}

func TestRefusedDatapointStandsAlone(t *testing.T) {
	s := &shelf{fault: has("bad", sdk.Invalidf("metric bad"))}
	folder := t.TempDir()
	d := open(t, folder, &book{}, Sink{s, "carbon", true, 0})
	stop := running(t, d)
	b := slices.Concat(batch("a", 100), point("bad"), batch("b", 200), point("bad"))
	if err := keep(t, d.Live, b)(t.Context()); err != nil {
		t.Error(err)
	}
	if want := slices.Concat(batch("a", 100), batch("b", 200)); !slices.Equal(s.held(), want) {
		t.Errorf("the sink has %d datapoints, or in another order, want the good %d", len(s.held()), len(want))
	}
	books := d.Live.lane("carbon").reader.Books()
	if books.Delivered != 300 || books.Dead != 2 || books.Imbalance() != 0 {
		t.Errorf("the books are %+v", books)
	}
	stop()
	letters, err := DeadLetters(folder)
	if err != nil || len(letters["carbon"]) != 2 {
		t.Fatalf("dead letters are %v, %v", letters, err)
	}
	l := letters["carbon"][0]
	if l.Metric != "bad" || l.Timestamp != 1 || l.Value != 2 || l.Number != 100 || l.Journal != "live" || l.Reason != "invalid: metric bad" {
		t.Errorf("the dead letter is %+v", l)
	}
}

// dead is the error of a call whose process ended.
type dead struct{}

func (dead) Error() string { return "the process has ended" }
func (dead) Died() bool    { return true }

func TestDatapointOfWhichASinkDiesStandsAlone(t *testing.T) {
	s := &shelf{fault: has("poison", sdk.Unavailablef("%w", dead{}))}
	deliver(t, &book{}, func(t *testing.T, d *Delivery) {
		b := slices.Concat(batch("a", 300), point("poison"), batch("b", 20))
		if err := keep(t, d.Live, b)(t.Context()); err != nil {
			t.Error(err)
		}
		if want := slices.Concat(batch("a", 300), batch("b", 20)); !slices.Equal(s.held(), want) {
			t.Errorf("the sink has %d datapoints, or in another order, want the good %d", len(s.held()), len(want))
		}
		if books := d.Live.lane("carbon").reader.Books(); books.Dead != 1 || books.Imbalance() != 0 {
			t.Errorf("the books are %+v", books)
		}
		times := make(map[int]int) // calls by their number of datapoints
		for _, n := range s.asked {
			times[n]++
		}
		if times[len(b)] != deathLimit || times[1] < deathLimit {
			t.Errorf("calls had %v datapoints: a batch is given up after %d deaths, and so is a datapoint", s.asked, deathLimit)
		}
	}, Sink{s, "carbon", true, 0})
}

func TestDeathOfASinkAloneHurtsNoDatapoint(t *testing.T) {
	var calls int
	s := &shelf{fault: func(sdk.Batch) error {
		if calls++; calls < deathLimit {
			return dead{}
		}
		return nil
	}}
	deliver(t, &book{}, func(t *testing.T, d *Delivery) {
		if err := keep(t, d.Live, batch("a", 300))(t.Context()); err != nil || len(s.held()) != 300 {
			t.Errorf("the sink has %d datapoints, %v", len(s.held()), err)
		}
	}, Sink{s, "carbon", true, 0})
}

// A link that takes too few datapoints for a whole batch in the time of a write
// gets smaller ones, and what waits behind is delivered all the same.
func TestSlowLinkGetsSmallerBatches(t *testing.T) {
	const most = 700
	s := &shelf{fault: func(b sdk.Batch) error {
		if len(b) > most {
			time.Sleep(WriteTimeout - 200*time.Millisecond) // of the test's own clock
			return sdk.Unavailablef("no acknowledgement: i/o timeout")
		}
		return nil
	}}
	deliver(t, &book{}, func(t *testing.T, d *Delivery) {
		var last func(context.Context) error
		for i := range 4 {
			last = keep(t, d.Live, batch(fmt.Sprint("m", i), maxBatch))
		}
		began := time.Now()
		if err := last(t.Context()); err != nil || len(s.held()) != 4*maxBatch {
			t.Fatalf("the sink has %d datapoints, %v", len(s.held()), err)
		}
		if took := time.Since(began); took > 5*time.Minute {
			t.Errorf("delivered after %v", took)
		}
		if smallest := slices.Min(s.asked); smallest < minBatch/2 {
			t.Errorf("a batch had %d datapoints: no link needs that", smallest)
		}
	}, Sink{s, "carbon", true, 0})
}

func TestWhatWaitsSurvivesARestart(t *testing.T) {
	folder := t.TempDir()
	away := &shelf{fault: always(errAway)}
	d := open(t, folder, &book{}, Sink{away, "carbon", true, 0})
	stop := running(t, d)
	keep(t, d.Live, batch("a", 10))
	keep(t, d.Fill, batch("old", 5))
	stop()

	s, l := &shelf{}, &book{}
	d = open(t, folder, l, Sink{s, "carbon", true, 0})
	if !slices.Equal(l.restored, batch("a", 10)) {
		t.Errorf("the ledger is told of %v, want what was accepted", l.restored)
	}
	stop = running(t, d)
	keep(t, d.Live, batch("b", 1))
	if err := errors.Join(keep(t, d.Live, batch("c", 1))(t.Context()), d.Fill.await(t.Context(), d.Fill.log.End())); err != nil {
		t.Error(err)
	}
	stop()
	var live sdk.Batch
	for _, p := range s.held() {
		if p.Metric != "old" {
			live = append(live, p)
		}
	}
	if want := slices.Concat(batch("a", 10), batch("b", 1), batch("c", 1)); !slices.Equal(live, want) || len(s.held()) != 17 {
		t.Errorf("the sink has %v", s.held())
	}

	l = &book{}
	d = open(t, folder, l, Sink{s, "carbon", true, 0})
	if len(l.restored) != 0 {
		t.Errorf("the ledger is told of %v, which it has recorded", l.restored)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestNothingIsRecordedBeforeEveryRequiredSinkHasIt(t *testing.T) {
	a, b, optional := &shelf{}, &shelf{}, &shelf{fault: always(errAway)}
	l := &book{}
	l.check = func(recorded sdk.Batch) {
		for _, d := range recorded {
			if !slices.Contains(a.held(), d) || !slices.Contains(b.held(), d) {
				t.Errorf("%v is recorded before every required sink has it", d)
			}
		}
	}
	deliver(t, l, func(t *testing.T, d *Delivery) {
		b.shut = make(chan struct{})
		delivered := keep(t, d.Live, batch("a", 10))
		synctest.Wait()
		if got := l.held(); len(got) > 0 {
			t.Errorf("recorded %v", got)
		}
		l.set(errors.New("redis is down"))
		close(b.shut)
		if err := delivered(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute) // of the test's own clock
		l.set(nil)
		time.Sleep(5 * time.Second)
		if got := l.held(); !slices.Equal(got, batch("a", 10)) {
			t.Errorf("recorded %v after the ledger is back", got)
		}
	}, Sink{a, "a", true, 0}, Sink{b, "b", true, 0}, Sink{optional, "optional", false, 0})
}

func TestEndRecordsWhatIsDelivered(t *testing.T) {
	l := &book{}
	d := open(t, t.TempDir(), l, Sink{&shelf{}, "carbon", true, 0})
	stop := running(t, d)
	for i := range 20 {
		if err := keep(t, d.Live, point(fmt.Sprint("m", i)))(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if len(l.recorded) != 20 {
		t.Errorf("%d of 20 datapoints are recorded", len(l.recorded))
	}
}

func TestBackfillIsNotRecorded(t *testing.T) {
	l := &book{}
	s := &shelf{}
	deliver(t, l, func(t *testing.T, d *Delivery) {
		began := time.Now()
		if err := keep(t, d.Fill, batch("old", 4*fillRate))(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < 2*time.Second || took > 5*time.Second {
			t.Errorf("%d datapoints of backfill were delivered in %v, want %d in a second", 4*fillRate, took, fillRate)
		}
		if got := l.held(); len(got) > 0 {
			t.Errorf("backfill is recorded: %v", got[0])
		}
	}, Sink{s, "carbon", true, 0})
}

func TestWriteUnderWayMayEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		takes time.Duration
		want  int
	}{"in time": {time.Second, 3}, "too late": {lastWrites + time.Second, 0}} {
		folder := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			s := &shelf{shut: make(chan struct{})}
			d := open(t, folder, &book{}, Sink{s, "carbon", true, 0})
			stop := running(t, d)
			keep(t, d.Live, batch("a", 3))
			synctest.Wait()
			time.AfterFunc(tt.takes, func() { close(s.shut) })
			stop()
			if got := len(s.held()); got != tt.want {
				t.Errorf("%s: the sink has %d datapoints, want %d", name, got, tt.want)
			}
			time.Sleep(time.Minute)
		})
	}
}

func TestForsakenSink(t *testing.T) {
	folder := t.TempDir()
	idle := &shelf{}
	d := open(t, folder, &book{}, Sink{&shelf{fault: always(errAway)}, "old", true, 0}, Sink{idle, "idle", true, 0})
	stop := running(t, d)
	keep(t, d.Live, batch("a", 3))
	for moved := d.Live.next(); len(idle.held()) == 0; moved = d.Live.next() {
		<-moved
	}
	stop()
	_, err := Open(Setup{Folder: folder, Budget: budget, Sinks: []Sink{{&shelf{}, "new", true, 0}}, Ledger: &book{}}, prometheus.NewRegistry())
	want := `3 datapoints wait in the journal live for the sink "old", which is not configured: ` +
		`configure it again until it has them, or give them up with: fluxgate journal drop old`
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "idle") {
		t.Errorf("told %v", err)
	}
}

func TestNewSinkBeginsAtTheEnd(t *testing.T) {
	folder := t.TempDir()
	away := &shelf{fault: always(errAway)}
	d := open(t, folder, &book{}, Sink{away, "old", true, 0})
	stop := running(t, d)
	keep(t, d.Live, batch("a", 3))
	stop()
	s := &shelf{}
	d = open(t, folder, &book{}, Sink{s, "new", true, 0}, Sink{&shelf{}, "old", true, 0})
	stop = running(t, d)
	if err := keep(t, d.Live, batch("b", 2))(t.Context()); err != nil {
		t.Error(err)
	}
	stop()
	if !slices.Equal(s.held(), batch("b", 2)) {
		t.Errorf("the new sink has %v", s.held())
	}
}

func TestWeightsMayChange(t *testing.T) {
	away := &shelf{fault: always(errAway)}
	deliver(t, &book{}, func(t *testing.T, d *Delivery) {
		delivered := keep(t, d.Live, batch("a", 3))
		done := make(chan error, 1)
		go func() { done <- delivered(t.Context()) }()
		synctest.Wait()
		d.Change([]Sink{{away, "carbon", false, 0}}, fillRate)
		if err := <-done; err != nil {
			t.Errorf("told %v when the sink is not required any more", err)
		}
	}, Sink{away, "carbon", true, 0})
}

// Duplicates of what is not on disk yet are delivered when that is.
func TestDuplicatesAreAwaitedAsOfTheirEnd(t *testing.T) {
	s := &shelf{fault: always(errAway)}
	deliver(t, &book{}, func(t *testing.T, d *Delivery) {
		kept, duplicates := d.Live.Append(nil)
		if err := kept(); err != nil {
			t.Fatal(err)
		}
		keep(t, d.Live, batch("a", 3)) // on whose fate the judgement relied
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := duplicates(ctx); err == nil {
			t.Error("delivered before the sink has it")
		}
	}, Sink{s, "carbon", true, 0})
}

func TestRecordWithoutRequiredSinks(t *testing.T) {
	l := &book{}
	deliver(t, l, func(t *testing.T, d *Delivery) {
		synctest.Wait()
		keep(t, d.Live, batch("a", 3))
		time.Sleep(time.Second) // of the test's own clock
		if got := l.held(); len(got) != 3 {
			t.Errorf("%d datapoints are recorded while no sink is required, want 3", len(got))
		}
	}, Sink{&shelf{fault: always(errAway)}, "optional", false, 0})
}

func TestAnotherRateHoldsAtOnce(t *testing.T) {
	s := &shelf{}
	deliver(t, &book{}, func(t *testing.T, d *Delivery) {
		delivered := keep(t, d.Live, batch("a", 5000))
		time.Sleep(10 * time.Second) // of the test's own clock
		if got := len(s.held()); got > 100 {
			t.Errorf("%d datapoints are delivered in ten seconds at a rate of 10", got)
		}
		d.Change([]Sink{{s, "carbon", true, 0}}, fillRate)
		began := time.Now()
		if err := delivered(t.Context()); err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("delivered %v after the rate was lifted, %v", time.Since(began), err)
		}
	}, Sink{s, "carbon", true, 10})
}

// withLetters opens a small delivery to two sinks, the second of which has more
// dead letters than the budget has room.
func withLetters(t *testing.T, required bool) *Delivery {
	folder := t.TempDir()
	letters, err := openDead(folder, "second")
	if err != nil {
		t.Fatal(err)
	}
	for n := range 17 << 10 {
		if err := letters.add(Letter{Journal: "live", Number: uint64(n), Reason: strings.Repeat("never ", 160)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := letters.close(); err != nil {
		t.Fatal(err)
	}
	d, err := Open(Setup{Folder: folder, Budget: 16 << 20, Ledger: &book{}, Sinks: []Sink{
		{&shelf{}, "first", true, 0}, {&shelf{}, "second", required, 0},
	}}, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(running(t, d))
	return d
}

func TestLettersOfAnOptionalSinkHoldNothingBack(t *testing.T) {
	d := withLetters(t, false)
	for range 40 {
		if err := keep(t, d.Live, batch("a", maxBatch))(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFullOfLettersNamesTheRemedy(t *testing.T) {
	d := withLetters(t, true)
	for {
		kept, delivered := d.Live.Append(batch("a", maxBatch))
		if err := kept(); err != nil {
			if !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "fluxgate dead retry") {
				t.Errorf("told %v", err)
			}
			return
		}
		if err := delivered(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// A ledger that is back within the last moments is told.
func TestEndTriesTheLedgerAtOnce(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := &book{fault: errors.New("redis is down")}
		d := open(t, folder, l, Sink{&shelf{}, "carbon", true, 0})
		stop := running(t, d)
		if err := keep(t, d.Live, batch("a", 3))(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // of the test's own clock: the next attempt is seconds away
		l.set(nil)
		stop()
		if got := len(l.held()); got != 3 {
			t.Errorf("%d of 3 datapoints are recorded in the end", got)
		}
	})
}

// A record that no Fluxgate of this version has written costs itself alone.
func TestRecordThatIsNoBatch(t *testing.T) {
	s := &shelf{}
	deliver(t, &book{}, func(t *testing.T, d *Delivery) {
		good := new(room).hold(batch("a", 3))
		wait := d.Live.log.Append(append(append(good, journal.Record{Data: []byte("?"), Count: 2}), good...))
		end, err := wait()
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Live.await(t.Context(), end); err != nil {
			t.Error(err)
		}
		if b := d.Live.lane("carbon").reader.Books(); len(s.held()) != 6 || b.Delivered != 6 || b.Damaged != 2 || b.Imbalance() != 0 {
			t.Errorf("the sink has %d datapoints, and the books are %+v", len(s.held()), b)
		}
	}, Sink{s, "carbon", true, 0})
}
