package delivery

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fluxgate/sdk"
)

// A clock notes when each metric was delivered, and how long after that recorded.
type clock struct {
	mu        sync.Mutex
	delivered map[string]time.Time
	recorded  map[string]time.Duration
}

func newClock() *clock {
	return &clock{delivered: make(map[string]time.Time), recorded: make(map[string]time.Duration)}
}

func (c *clock) deliver(b sdk.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range copied(b) {
		c.delivered[d.Metric] = time.Now()
	}
}

// record returns how many datapoints are recorded and not delivered.
func (c *clock) record(b sdk.Batch) (early int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range copied(b) {
		at, ok := c.delivered[d.Metric]
		if !ok {
			early++
		}
		if _, again := c.recorded[d.Metric]; !again {
			c.recorded[d.Metric] = time.Since(at)
		}
	}
	return early
}

// slowly has a sink take a second over each write.
func slowly(sdk.Batch) error {
	time.Sleep(time.Second) // of the test's own clock
	return nil
}

// While a sink takes a backlog, what it has taken is recorded soon, and nothing else;
// the cursor follows, and the rest of the journal is not read once that is delivered.
func TestBacklogIsRecordedAsItIsDelivered(t *testing.T) {
	s, c := &shelf{}, newClock()
	l := &book{}
	var ahead []uint64 // datapoints between the cursor and what is delivered, at each write
	l.check = func(b sdk.Batch) {
		if early := c.record(b); early > 0 {
			t.Errorf("%d datapoints are recorded and not delivered", early)
		}
	}
	deliver(t, l, func(t *testing.T, d *Delivery) {
		s.set(always(errAway))
		var last func(context.Context) error
		for i := range 20 {
			last = keep(t, d.Live, batch(fmt.Sprint("m", i), maxBatch/2+1)) // one in a write
			synctest.Wait()
		}
		lane := d.Live.lane("carbon")
		s.set(func(b sdk.Batch) error {
			_ = slowly(b)
			ahead = append(ahead, lane.reader.Saved().Number-d.recordedUpTo())
			c.deliver(b)
			return nil
		})
		if err := last(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
		if got := len(l.held()); got != 20*(maxBatch/2+1) || d.recordedUpTo() != uint64(got) {
			t.Errorf("%d datapoints are recorded, and the cursor is at %d", got, d.recordedUpTo())
		}
		if len(c.recorded) != 20 {
			t.Errorf("%d of 20 metrics are recorded", len(c.recorded))
		}
		for metric, after := range c.recorded {
			if after > keepUp+recordPause {
				t.Errorf("%s is recorded %v after its delivery", metric, after)
			}
		}
		if most := slices.Max(ahead); most != 0 {
			t.Errorf("the cursor is %d datapoints behind what was delivered a second ago", most)
		}
		if b := d.record.reader.Books(); b.Imbalance() != 0 || b.Damaged != 0 || b.Delivered != d.recordedUpTo() {
			t.Errorf("the books are %+v", b)
		}
	}, Sink{s, "carbon", true, 0})
}

// counted is a ledger that counts the calls of Record by itself.
type counted struct {
	*book
	pieces int
	takes  time.Duration
}

func (l *counted) Record(ctx context.Context, b sdk.Batch) error {
	l.pieces++
	time.Sleep(l.takes) // of the test's own clock
	return l.book.Record(ctx, b)
}

// A sink that keeps up has nothing read from the journal for the ledger.
func TestJournalIsNotReadForTheLedgerWhereLanesKeepUp(t *testing.T) {
	s, l := &shelf{}, &counted{book: &book{}}
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, folder, l, Sink{s, "carbon", true, 0})
		l.live = d.Live
		stop := running(t, d)
		s.set(func(sdk.Batch) error {
			time.Sleep(keepUp / 3) // of the test's own clock
			return nil
		})
		for i := range 100 {
			keep(t, d.Live, batch(fmt.Sprint("m", i), 10))
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		if got := len(l.held()); got != 1000 || l.pieces != 0 || d.recordedUpTo() != 1000 {
			t.Errorf("%d datapoints are recorded, want 1000; the journal was read %d times, and the cursor is at %d", got, l.pieces, d.recordedUpTo())
		}
		stop()
	})
}

// Once a backlog is delivered, what was collected of it is recorded at once, and the
// rest of the journal is not read for that.
func TestRestOfADeliveredBacklogIsNotReadForTheLedger(t *testing.T) {
	s, l := &shelf{}, &counted{book: &book{}, takes: time.Minute}
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, folder, l, Sink{s, "carbon", true, 0})
		l.live = d.Live
		stop := running(t, d)
		s.set(always(errAway))
		var last func(context.Context) error
		for i := range 60 {
			last = keep(t, d.Live, batch(fmt.Sprint("m", i), maxBatch))
		}
		synctest.Wait()
		s.set(func(b sdk.Batch) error {
			if has("m59", errAway)(b) != nil {
				time.Sleep(90 * time.Second) // the second piece of the journal is recorded
			}
			return slowly(b)
		})
		if err := last(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if got := len(l.held()); got != 60*maxBatch || l.pieces > 4 || d.recordedUpTo() != 60*maxBatch {
			t.Errorf("%d datapoints are recorded; the journal was read %d times, and the cursor is at %d", got, l.pieces, d.recordedUpTo())
		}
		stop()
	})
}
