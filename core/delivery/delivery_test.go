package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fluxgate/sdk"
)

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
	_, err := Open(Setup{Folder: folder, Command: typed, Budget: budget, Sinks: []Sink{{&shelf{}, "new", true, 0}}, Ledger: &book{}}, prometheus.NewRegistry())
	want := `3 datapoints wait in the journal live for the sink "old", which is not configured: ` +
		`configure it again until it has them, or give them up with: fluxgate journal drop old --config here`
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
