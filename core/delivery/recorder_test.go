package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fluxgate/sdk"
)

// recordedUpTo returns where the cursor of the ledger is.
func (d *Delivery) recordedUpTo() uint64 { return d.record.reader.Saved().Number }

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
		l.judge("a")
		if err := keep(t, d.Live, batch("a", 10))(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // of the test's own clock
		if at := d.recordedUpTo(); at != 0 {
			t.Errorf("the cursor is at %d: nobody has told the ledger what is before it", at)
		}
		l.settle("a")
		time.Sleep(time.Second)
		if at := d.recordedUpTo(); at != 10 || len(l.held()) != 10 {
			t.Errorf("the cursor is at %d, and %d datapoints are recorded", at, len(l.held()))
		}
	}, Sink{&shelf{}, "carbon", true, 0})
}

// Who is judged after the mark was taken is not asked for, so what he brings lies
// behind the mark.
func TestMarkIsTakenBeforeItIsAskedWhoIsJudged(t *testing.T) {
	l := &book{}
	deliver(t, l, func(t *testing.T, d *Delivery) {
		var once sync.Once
		l.asked = func() {
			once.Do(func() {
				l.judge("late")
				keep(t, d.Live, batch("late", 10))
			})
		}
		keep(t, d.Live, batch("a", 10))
		time.Sleep(time.Minute) // of the test's own clock
		if at := d.recordedUpTo(); at != 10 || !slices.Equal(l.held(), batch("a", 10)) {
			t.Errorf("the cursor is at %d, and %d datapoints are recorded: nobody has told the ledger what is behind 10", at, len(l.held()))
		}
		l.settle("late")
		time.Sleep(time.Second)
		if at := d.recordedUpTo(); at != 20 || len(l.held()) != 20 {
			t.Errorf("the cursor is at %d, and %d datapoints are recorded, want 20", at, len(l.held()))
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

// What is accepted is recorded soon after its delivery.
func TestRecordedSoonAfterDelivery(t *testing.T) {
	l := &book{}
	deliver(t, l, func(t *testing.T, d *Delivery) {
		for i := range 30 {
			before := len(l.held())
			if err := keep(t, d.Live, batch(fmt.Sprint("m", i), 10))(t.Context()); err != nil {
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
