package ledger

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fluxgate/sdk"
)

func hold(t *testing.T, l *Ledger) (held context.Context, release func()) {
	t.Helper()
	held, release, err := l.Hold(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	return held, release
}

// ends returns after how long held ends, and why.
func ends(held context.Context) (time.Duration, error) {
	began := time.Now()
	<-held.Done()
	return time.Since(began), context.Cause(held)
}

func TestLeaseIsHeldByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := newLedger(Options{Metrics: plenty})
		held, release := hold(t, l)
		_, _, err := l.Hold(t.Context(), "a")
		var other interface{ Held() bool }
		if !errors.Is(err, ErrHeld) || !errors.Is(err, sdk.ErrUnavailable) || !errors.As(err, &other) || !other.Held() || !strings.Contains(err.Error(), `"a"`) {
			t.Errorf("the second is told %v", err)
		}
		time.Sleep(time.Hour) // of the test's own clock
		if err := held.Err(); err != nil {
			t.Errorf("the lease ended with %v", context.Cause(held))
		}
		release()
		if held.Err() == nil {
			t.Error("released, and held")
		}
		_, again := hold(t, l)
		release()
		if _, _, err := l.Hold(t.Context(), "a"); !errors.Is(err, ErrHeld) {
			t.Errorf("the second release has ended another's lease: %v", err)
		}
		again()
	})
}

func TestLeaseThatCannotBeRenewedEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		breaks   func(*memory)
		from, to time.Duration
		says     string
	}{
		"down":  {func(m *memory) { m.down = true }, leaseTime - renewPause, leaseTime, "did not renew it in time"},
		"hangs": {func(m *memory) { m.slow = time.Hour }, leaseTime - renewPause, leaseTime, "did not renew it in time"},
		"taken": {func(m *memory) { m.owners["a"] = "another" }, 0, renewPause, "another may have it"},
		"gone":  {func(m *memory) { delete(m.owners, "a") }, 0, renewPause, "it is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, m := newLedger(Options{Metrics: plenty})
				held, release := hold(t, l)
				defer release()
				time.Sleep(time.Minute + time.Second) // of the test's own clock
				m.set(tt.breaks)
				after, cause := ends(held)
				if after < tt.from || after > tt.to {
					t.Errorf("ended after %v, want %v to %v", after, tt.from, tt.to)
				}
				if !errors.Is(cause, sdk.ErrUnavailable) || !strings.Contains(cause.Error(), tt.says) {
					t.Errorf("the cause is %v", cause)
				}
			})
		})
	}
}

func TestLeaseOutlastsAShortFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, m := newLedger(Options{Metrics: plenty})
		held, release := hold(t, l)
		defer release()
		for range 10 {
			m.set(func(m *memory) { m.down = true })
			time.Sleep(leaseTime - renewPause - 2*retryPause) // of the test's own clock
			m.set(func(m *memory) { m.down = false })
			time.Sleep(2 * retryPause)
		}
		if err := held.Err(); err != nil {
			t.Errorf("the lease ended with %v", context.Cause(held))
		}
	})
}

func TestEndOfTheCallerEndsTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, m := newLedger(Options{Metrics: plenty})
		ctx, cancel := context.WithCancel(t.Context())
		held, release, err := l.Hold(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		if !errors.Is(context.Cause(held), context.Canceled) {
			t.Errorf("the cause is %v", context.Cause(held))
		}
		release()
		if len(m.owners) > 0 {
			t.Error("the lease is not given back")
		}
	})
}

func TestHoldWithoutAStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, m := newLedger(Options{Metrics: plenty})
		m.down = true
		if _, _, err := l.Hold(t.Context(), "a"); !errors.Is(err, sdk.ErrUnavailable) || !errors.Is(err, errDown) || errors.Is(err, ErrHeld) {
			t.Errorf("told %v", err)
		}
		m.slow = time.Hour
		began := time.Now()
		if _, _, err := l.Hold(t.Context(), "a"); !errors.Is(err, sdk.ErrUnavailable) || time.Since(began) > 2*recordTimeout {
			t.Errorf("told %v after %v", err, time.Since(began))
		}
	})
}

// A mute store gives the lease, and its answer is lost.
type mute struct{ *memory }

func (s mute) Lease(ctx context.Context, metric, owner string, d time.Duration) (bool, error) {
	_, err := s.memory.Lease(ctx, metric, owner, d)
	return false, errors.Join(err, errDown)
}

func TestLeaseWithoutAnAnswerIsGivenBack(t *testing.T) {
	l, m := newLedger(Options{Metrics: plenty})
	l.store = mute{m}
	if _, _, err := l.Hold(t.Context(), "a"); !errors.Is(err, sdk.ErrUnavailable) || len(m.owners) > 0 {
		t.Errorf("told %v; leases %v", err, m.owners)
	}
}

// A stubborn store renews in its own time, also when nobody wants it any more.
type stubborn struct {
	*memory
	renew chan struct{}
}

func (s stubborn) Renew(ctx context.Context, metric, owner string, d time.Duration) (bool, error) {
	if d > 0 {
		<-s.renew
		ctx = context.WithoutCancel(ctx)
	}
	return s.memory.Renew(ctx, metric, owner, d)
}

// Nobody renews what is given back.
func TestReleaseWaitsForTheRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, m := newLedger(Options{Metrics: plenty})
		s := stubborn{m, make(chan struct{})}
		l.store = s
		_, release := hold(t, l)
		time.Sleep(renewPause + time.Second) // of the test's own clock
		released := make(chan struct{})
		go func() {
			release()
			close(released)
		}()
		synctest.Wait()
		select {
		case <-released:
			t.Error("released while the lease is being renewed")
		default:
		}
		close(s.renew)
		<-released
		renewed := m.renewed
		time.Sleep(time.Minute)
		if m.renewed != renewed || len(m.owners) > 0 {
			t.Errorf("renewed %d times after the end; leases %v", m.renewed-renewed, m.owners)
		}
	})
}

func TestLastIsTheNewestOfBoth(t *testing.T) {
	modes(t, func(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
		for name, tt := range map[string]struct{ recorded, kept, want int64 }{
			"nothing":            {0, 0, 0},
			"recorded":           {now, 0, now},
			"recorded is newer":  {now, now - 60, now},
			"kept is newer":      {now - 60, now, now},
			"recorded is absurd": {now + 61, now - 60, now - 60},
			"kept is absurd":     {now - 60, now + 61, now - 60},
			"just ahead":         {now + 60, 0, now + 60},
		} {
			l, m := newTestLedger()
			m.entries["a"], m.entries["b"] = tt.recorded, now+1
			if tt.kept > 0 {
				l.Restore(points("a", tt.kept))
			}
			if got, err := l.Last(t.Context(), "a"); got != tt.want || err != nil {
				t.Errorf("%s: newest is %d, %v, want %d", name, got, err, tt.want)
			}
		}
	})
}

func TestLastHasItsOwnDeadline(t *testing.T) {
	modes(t, func(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
		synctest.Test(t, func(t *testing.T) {
			l, m := newTestLedger()
			m.entries["a"], m.slow = now, time.Second
			accept(t, l, points("b", now)) // for which the store is too slow, and left alone
			if got, err := l.Last(t.Context(), "a"); got != now || err != nil {
				t.Errorf("newest is %d, %v, of a store that takes a second", got, err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
			defer cancel()
			if got, err := l.Last(ctx, "a"); got != 0 || !errors.Is(err, sdk.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("newest is %d, %v, after half a second", got, err)
			}
		})
	})
}

// A stale store reads, and then takes its time to answer.
type stale struct {
	*memory
	answer chan struct{}
}

func (s stale) Last(ctx context.Context, metrics []string) ([]Recorded, error) {
	last, err := s.memory.Last(ctx, metrics)
	<-s.answer
	return last, err
}

// What is recorded while the store is read is not forgotten before the answer is
// judged.
func TestLastMissesNothingThatIsRecordedMeanwhile(t *testing.T) {
	modes(t, func(t *testing.T, newTestLedger func() (*Ledger, *memory)) {
		synctest.Test(t, func(t *testing.T) {
			l, m := newTestLedger()
			accept(t, l, points("a", now))
			s := stale{m, make(chan struct{})}
			l.store = s
			newest := make(chan int64, 1)
			go func() {
				got, _ := l.Last(t.Context(), "a")
				newest <- got
			}()
			synctest.Wait()
			recordAll(t, l, points("a", now))
			close(s.answer)
			if got := <-newest; got != now {
				t.Errorf("newest is %d, want %d", got, now)
			}
			synctest.Wait()
			if l.unrecorded() > 0 {
				t.Errorf("%d entries of what is recorded are to be recorded", l.unrecorded())
			}
		})
	})
}
