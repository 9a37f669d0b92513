package delivery

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"fluxgate/sdk"
)

// recordedUpTo returns where the cursor of the ledger is.
func (d *Delivery) recordedUpTo() uint64 { return d.record.reader.Saved().Number }

func (l *book) settle(open int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = open
}

// The cursor moves over what is delivered only when the ledger has recorded it.
func TestCursorOfTheLedgerMovesAfterRecord(t *testing.T) {
	l := &book{}
	var d *Delivery
	l.check = func(sdk.Batch) {
		if at := d.recordedUpTo(); at != 0 {
			t.Errorf("the cursor is at %d before anything is recorded", at)
		}
	}
	deliver(t, l, func(t *testing.T, opened *Delivery) {
		d = opened
		l.set(errors.New("redis is down"))
		if err := keep(t, d.Live, batch("a", 10))(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // of the test's own clock
		if at := d.recordedUpTo(); at != 0 {
			t.Errorf("the cursor is at %d, and nothing is recorded", at)
		}
		l.set(nil)
		time.Sleep(5 * time.Second)
		if b := d.record.reader.Books(); d.recordedUpTo() != 10 || b.Delivered != 10 || b.Imbalance() != 0 || len(l.held()) != 10 {
			t.Errorf("%d datapoints are recorded, and the books are %+v", len(l.held()), b)
		}
	}, Sink{&shelf{}, "carbon", true, 0})
}

// What is on disk and delivered, and of which the ledger does not know yet that it
// was accepted, lies behind the cursor.
func TestCursorOfTheLedgerWaitsForTheUnsettled(t *testing.T) {
	l := &book{}
	deliver(t, l, func(t *testing.T, d *Delivery) {
		l.settle(1)
		if err := keep(t, d.Live, batch("a", 10))(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // of the test's own clock
		if at := d.recordedUpTo(); at != 0 {
			t.Errorf("the cursor is at %d: nobody has told the ledger what is before it", at)
		}
		l.settle(0)
		time.Sleep(time.Second)
		if at := d.recordedUpTo(); at != 10 || len(l.held()) != 10 {
			t.Errorf("the cursor is at %d, and %d datapoints are recorded", at, len(l.held()))
		}
	}, Sink{&shelf{}, "carbon", true, 0})
}

// A busy ledger accepts while it collects.
type busy struct {
	*book
	stream func() *Stream
	t      *testing.T
}

// Collect has something accepted, and kept, at its beginning.
func (l busy) Collect() func(context.Context) error {
	if len(l.book.held()) == 0 && l.stream().log.End().Number < 20 {
		keep(l.t, l.stream(), batch("late", 10))
	}
	return l.book.Collect()
}

// What is accepted between the mark and the end of a collection is recorded when it
// is delivered too.
func TestNothingCollectedIsRecordedBeforeItsDelivery(t *testing.T) {
	s := &shelf{}
	l := &book{check: func(recorded sdk.Batch) {
		for _, d := range recorded {
			if !slices.Contains(s.held(), d) {
				t.Errorf("%v is recorded before the sink has it", d)
			}
		}
	}}
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var d *Delivery
		d = open(t, folder, busy{l, func() *Stream { return d.Live }, t}, Sink{s, "carbon", true, 0})
		l.live = d.Live
		defer running(t, d)()
		keep(t, d.Live, batch("a", 10))
		s.set(func(b sdk.Batch) error {
			time.Sleep(time.Second) // of the test's own clock
			return nil
		})
		time.Sleep(time.Minute)
		if got := len(l.held()); got != 20 || d.recordedUpTo() != 20 {
			t.Errorf("%d datapoints are recorded, want 20, and the cursor is at %d", got, d.recordedUpTo())
		}
	})
}

// A server finds in its journal what the one before has not recorded.
func TestStartRestoresWhatIsNotRecorded(t *testing.T) {
	for name, tt := range map[string]struct {
		fault error // of the ledger
		sink  func(sdk.Batch) error
		want  sdk.Batch // restored
	}{
		"recorded":      {},
		"not recorded":  {fault: errAway, want: batch("a", 10)},
		"not delivered": {sink: always(errAway), want: batch("a", 10)},
	} {
		folder := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			l := &book{fault: tt.fault}
			d := open(t, folder, l, Sink{&shelf{fault: tt.sink}, "carbon", true, 0})
			stop := running(t, d)
			keep(t, d.Live, batch("a", 10))
			time.Sleep(time.Minute) // of the test's own clock
			stop()
			l = &book{}
			d = open(t, folder, l, Sink{&shelf{}, "carbon", true, 0})
			if !slices.Equal(l.restored, tt.want) {
				t.Errorf("%s: the ledger is told of %v after the start, want %v", name, l.restored, tt.want)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// With a sink behind, what is delivered is recorded at the end all the same.
func TestEndRecordsWhatIsDeliveredOfMore(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, l := &shelf{}, &book{}
		d := open(t, folder, l, Sink{s, "carbon", true, 0})
		stop := running(t, d)
		if err := keep(t, d.Live, batch("a", 10))(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.set(func(b sdk.Batch) error {
			time.Sleep(time.Second) // of the test's own clock
			return has("b", errAway)(b)
		})
		keep(t, d.Live, batch("c", 3))
		synctest.Wait()
		keep(t, d.Live, batch("b", 3))
		time.Sleep(time.Minute)
		stop()
		if want := slices.Concat(batch("a", 10), batch("c", 3)); !slices.Equal(s.held(), want) || !slices.Equal(l.recorded, want) {
			t.Errorf("%v is recorded, want what the sink has: %v", l.recorded, s.held())
		}
	})
}

// What is accepted is recorded soon after its delivery.
func TestRecordedSoonAfterDelivery(t *testing.T) {
	l := &book{}
	deliver(t, l, func(t *testing.T, d *Delivery) {
		for i := range 30 {
			before := len(l.held())
			if err := keep(t, d.Live, batch("a", 10))(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond) // of the test's own clock
			if got := len(l.held()) - before; got != 10 {
				t.Fatalf("%d datapoints of batch %d are recorded 100 ms after their delivery, want 10", got, i)
			}
			time.Sleep(time.Duration(i) * time.Millisecond)
		}
	}, Sink{&shelf{}, "carbon", true, 0})
}
