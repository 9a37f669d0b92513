package delivery

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"fluxgate/sdk"
)

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

// What nobody has told the ledger of is recorded at the end from the journal.
func TestEndRecordsWhatIsNotSettled(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := &book{}
		d := open(t, folder, l, Sink{&shelf{}, "carbon", true, 0})
		stop := running(t, d)
		l.judge("a")
		if err := keep(t, d.Live, batch("a", 3))(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // of the test's own clock
		if got := len(l.held()); got != 0 {
			t.Errorf("%d datapoints are recorded before they are settled", got)
		}
		stop()
		if got := len(l.held()); got != 3 {
			t.Errorf("%d of 3 datapoints are recorded in the end", got)
		}
	})
}
