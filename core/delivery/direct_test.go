package delivery

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fluxgate/core/journal"
	"fluxgate/sdk"
)

func direct(t *testing.T, d *Delivery, name string) *Direct {
	t.Helper()
	w, err := d.Direct(name)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// write brings b to the sink of w, which must have it all.
func write(t *testing.T, w *Direct, b sdk.Batch) {
	t.Helper()
	if n, err := w.Write(t.Context(), b); n != len(b) || err != nil {
		t.Errorf("%d of %d datapoints are written, %v", n, len(b), err)
	}
}

func TestHistoryLetsLiveDataGoFirst(t *testing.T) {
	for _, required := range []bool{true, false} {
		s := &shelf{fault: has("live", errAway)}
		deliver(t, &book{}, func(t *testing.T, d *Delivery) {
			w := direct(t, d, "carbon")
			keep(t, d.Live, point("live"))
			time.Sleep(liveFirst / 2) // of the test's own clock
			write(t, w, point("while live data has just come"))
			time.Sleep(liveFirst)
			var history sync.WaitGroup
			history.Go(func() { write(t, w, batch("old", 10)) })
			time.Sleep(time.Hour)
			if got := s.held(); len(got) != 1 {
				t.Errorf("the sink has %d datapoints of history while live data waits", len(got)-1)
			}
			began := time.Now()
			s.set(nil)
			history.Wait()
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("history went %v after live data could", took)
			}
			if want := slices.Concat(point("live"), batch("old", 10)); !slices.Equal(s.held()[1:], want) {
				t.Errorf("the sink has %v", s.held())
			}
		}, Sink{s, "carbon", required, 0}, Sink{&shelf{fault: always(errAway)}, "another", true, 0})
	}
}

// Live data that goes too slowly keeps history back until it has caught up.
func TestHistoryWaitsForTheWholeBacklog(t *testing.T) {
	s := &shelf{}
	deliver(t, &book{}, func(t *testing.T, d *Delivery) {
		for range 5 {
			keep(t, d.Live, batch("live", maxBatch))
		}
		time.Sleep(liveFirst + time.Millisecond) // of the test's own clock
		write(t, direct(t, d, "carbon"), point("old"))
		if at := slices.IndexFunc(s.held(), func(p sdk.Datapoint) bool { return p.Metric == "old" }); at < 4*maxBatch {
			t.Errorf("history went after %d of %d live datapoints", at, 5*maxBatch)
		}
	}, Sink{s, "carbon", true, 2500})
}

func TestHistoryThatWaitsObeysItsContext(t *testing.T) {
	for name, s := range map[string]*shelf{"live data": {fault: has("live", errAway)}, "the rate": {}} {
		deliver(t, &book{}, func(t *testing.T, d *Delivery) {
			keep(t, d.Live, point("live"))
			d.Change([]Sink{{s, "carbon", true, 0}}, 1)
			time.Sleep(2 * liveFirst) // of the test's own clock
			ctx, cancel := context.WithCancel(t.Context())
			var history sync.WaitGroup
			history.Go(func() {
				n, err := direct(t, d, "carbon").Write(ctx, batch("old", 2*maxBatch))
				if !errors.Is(err, context.Canceled) || !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), `"carbon"`) || n > maxBatch || n%maxBatch > 0 {
					t.Errorf("%s: %d are written, %v", name, n, err)
				}
			})
			time.Sleep(time.Minute)
			began := time.Now()
			cancel()
			history.Wait()
			if took := time.Since(began); took > 0 {
				t.Errorf("%s: ended after %v", name, took)
			}
		}, Sink{s, "carbon", true, 0})
	}
}

func TestBackfillAndHistoryShareARate(t *testing.T) {
	carbon, other := &shelf{}, &shelf{}
	deliver(t, &book{}, func(t *testing.T, d *Delivery) {
		began := time.Now()
		filled := keep(t, d.Fill, batch("fill", 3*fillRate))
		var history sync.WaitGroup
		w := direct(t, d, "carbon")
		for i := range 2 {
			history.Go(func() { write(t, w, batch(fmt.Sprint("old", i), 2*fillRate)) })
		}
		if err := filled(t.Context()); err != nil {
			t.Error(err)
		}
		history.Wait()
		const seconds = 7 * time.Second
		if took := time.Since(began); took < seconds-maxBatch*time.Second/fillRate || took > seconds+time.Second {
			t.Errorf("%d datapoints of history were written in %v, want %d in a second", len(carbon.held()), took, fillRate)
		}
		began = time.Now()
		if write(t, direct(t, d, "other"), batch("old", maxBatch)); time.Since(began) > time.Second {
			t.Errorf("another sink waited for %v", time.Since(began))
		}
		d.Change([]Sink{{carbon, "carbon", true, 0}, {other, "other", true, 0}}, 0)
		began = time.Now()
		if write(t, w, batch("old", 20*fillRate)); time.Since(began) > time.Second {
			t.Errorf("without a rate history took %v", time.Since(began))
		}
	}, Sink{carbon, "carbon", true, 0}, Sink{other, "other", true, 0})
}

func TestHistoryKeepsTheBoundsOfASink(t *testing.T) {
	s := &shelf{}
	deliver(t, &book{}, func(t *testing.T, d *Delivery) {
		b := slices.Concat(batch("a", 2*maxBatch+1), batch(strings.Repeat("long", 250), 2000), batch("b", 5))
		write(t, direct(t, d, "carbon"), b)
		if !slices.Equal(s.held(), b) {
			t.Error("the sink has not the same, or not in its order")
		}
		for _, b := range s.writes {
			bytes := 0
			for _, p := range b {
				bytes += datapointSize(p)
			}
			if len(b) > maxBatch || bytes > maxBytes {
				t.Errorf("a batch has %d datapoints and %d bytes", len(b), bytes)
			}
		}
		if len(s.writes) > 8 {
			t.Errorf("%d batches, want full ones", len(s.writes))
		}
	}, Sink{s, "carbon", true, 0})
}

func TestHistoryThatFailsTellsWhatIsDelivered(t *testing.T) {
	refusal := sdk.Invalidf("metric bad")
	for name, fault := range map[string]error{"refused": refusal, "away": errAway, "another error": errors.New("what?"), "dead": dead{}} {
		s := &shelf{fault: has("bad", fault)}
		deliver(t, &book{}, func(t *testing.T, d *Delivery) {
			b := slices.Concat(batch("a", maxBatch+7), point("bad"), batch("b", 2*maxBatch))
			n, err := direct(t, d, "carbon").Write(t.Context(), b)
			if n != maxBatch || err != fault {
				t.Errorf("%s: %d are delivered, want %d; told %v", name, n, maxBatch, err)
			}
			if len(s.asked) != 2 || !slices.Equal(s.held(), b[:n]) {
				t.Errorf("%s: calls had %v datapoints, and the sink has %d", name, s.asked, len(s.held()))
			}
			write(t, direct(t, d, "carbon"), nil)
		}, Sink{s, "carbon", true, 0})
	}
}

// The caller tries again, and gets through where whole batches take too long.
func TestHistoryOnASlowLinkGetsSmaller(t *testing.T) {
	s := &shelf{fault: func(b sdk.Batch) error {
		if len(b) > 700 {
			time.Sleep(2 * WriteTimeout) // of the test's own clock; the host gives up before
			return sdk.Unavailablef("no acknowledgement: i/o timeout")
		}
		return nil
	}}
	deliver(t, &book{}, func(t *testing.T, d *Delivery) {
		w, b, tries := direct(t, d, "carbon"), batch("old", maxBatch), 0
		for done := 0; done < len(b) && tries < 20; tries++ {
			n, err := w.Write(t.Context(), b[done:])
			if err != nil && !errors.Is(err, sdk.ErrUnavailable) {
				t.Fatal(err)
			}
			done += n
		}
		if tries == 20 || !slices.Equal(s.held(), b) {
			t.Errorf("after %d tries the sink has %d datapoints", tries, len(s.held()))
		}
		s.set(nil)
		if s.asked = nil; true {
			write(t, w, batch("old", 100*maxBatch))
		}
		if slices.Max(s.asked) != maxBatch {
			t.Errorf("batches grew to %d datapoints, want %d", slices.Max(s.asked), maxBatch)
		}
	}, Sink{s, "carbon", true, 0})
}

func TestHistoryHasADeadline(t *testing.T) {
	s := &shelf{}
	deliver(t, &book{}, func(t *testing.T, d *Delivery) {
		s.shut = make(chan struct{})
		began := time.Now()
		n, err := direct(t, d, "carbon").Write(t.Context(), point("old"))
		if n != 0 || !errors.Is(err, context.DeadlineExceeded) || time.Since(began).Round(time.Second) != WriteTimeout {
			t.Errorf("%d are written, %v, after %v", n, err, time.Since(began))
		}
	}, Sink{s, "carbon", true, 0})
}

func TestHistoryIsInNoBooks(t *testing.T) {
	s, l := &shelf{}, &book{}
	deliver(t, l, func(t *testing.T, d *Delivery) {
		if err := errors.Join(keep(t, d.Live, batch("live", 3))(t.Context()), keep(t, d.Fill, batch("fill", 2))(t.Context())); err != nil {
			t.Fatal(err)
		}
		books := func() (all []journal.Books) {
			for _, s := range []*Stream{d.Live, d.Fill} {
				all = append(all, s.lane("carbon").reader.Books())
			}
			return all
		}
		before := books()
		w := direct(t, d, "carbon")
		write(t, w, batch("old", 100))
		s.set(always(sdk.Invalidf("no")))
		if _, err := w.Write(t.Context(), batch("old", 7)); err == nil {
			t.Error("told nothing")
		}
		time.Sleep(time.Minute) // of the test's own clock
		if after := books(); !reflect.DeepEqual(before, after) {
			t.Errorf("the books were %+v and are %+v", before, after)
		}
		d.balance(t)
		if got := d.targets[0].taken.Load(); got != 105 {
			t.Errorf("%d datapoints count as taken, want 105", got)
		}
		if letters := d.targets[0].dead.count(t, LiveLog) + d.targets[0].dead.count(t, FillLog); letters != 0 || len(l.held()) != 3 {
			t.Errorf("%d dead letters, %d recorded", letters, len(l.held()))
		}
	}, Sink{s, "carbon", true, 0})
}

func TestHistoryForNoSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, t.TempDir(), &book{}, Sink{&shelf{}, "carbon", true, 0})
		defer d.Close()
		if _, err := d.Direct("carbn"); !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), `"carbn"`) {
			t.Errorf("told %v", err)
		}
	})
}
