package delivery

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"fluxgate/core/journal"
	"fluxgate/sdk"
)

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
