package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fluxgate/sdk"
)

// answering answers with what it is set to.
type answering struct {
	status atomic.Int32
	after  atomic.Value // of Retry-After
	asked  atomic.Int32
}

func (a *answering) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	a.asked.Add(1)
	if after, _ := a.after.Load().(string); after != "" {
		w.Header().Set("Retry-After", after)
	}
	w.WriteHeader(int(a.status.Load()))
	fmt.Fprint(w, onePoint)
}

// paused returns a client whose clock stands, and its server.
func paused(t *testing.T) (*Client, *answering, *clock, Query) {
	a, now := new(answering), &clock{now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	url := serve(t, a.ServeHTTP)
	c := toward(t, url)
	c.hosts.now = now.Now
	return c, a, now, render(url)
}

func TestFailuresPauseAHost(t *testing.T) {
	c, a, now, q := paused(t)
	a.status.Store(500)
	for n := range 12 {
		if _, _, err := fetch(t, c, q); !errors.Is(err, sdk.ErrUnavailable) {
			t.Fatal(err)
		}
		until := c.Pause(q.URL)
		want := min(time.Second<<n, maxPause)
		if got := until.Sub(now.Now()); got < want*8/10 || got > min(want*12/10, maxPause) {
			t.Errorf("after failure %d the pause is %v, want about %v", n+1, got, want)
		}
		for range 3 { // these do not count
			_, _, err := fetch(t, c, q)
			var left *Paused
			if !errors.As(err, &left) || !left.Until.Equal(until) || !errors.Is(err, sdk.ErrUnavailable) {
				t.Fatalf("during the pause: %v", err)
			}
		}
		if !c.Pause(q.URL).Equal(until) || a.asked.Load() != int32(n+1) {
			t.Errorf("asked %d times, the pause moved from %v to %v", a.asked.Load(), until, c.Pause(q.URL))
		}
		now.set(until)
	}

	a.status.Store(200)
	if _, _, err := fetch(t, c, q); err != nil || !c.Pause(q.URL).IsZero() {
		t.Fatalf("when it is well again: %v", err)
	}
	a.status.Store(500)
	_, _, _ = fetch(t, c, q)
	if got := c.Pause(q.URL).Sub(now.Now()); got > 1200*time.Millisecond {
		t.Errorf("the first failure after a success pauses for %v", got)
	}
	now.set(c.Pause(q.URL))
	a.status.Store(404)
	_, _, _ = fetch(t, c, q)
	if len(c.hosts.all) != 0 {
		t.Errorf("a refusal is no failure: %v", c.hosts.all)
	}
}

func TestRetryAfter(t *testing.T) {
	c, a, now, q := paused(t)
	start := now.Now()
	for _, test := range []struct {
		status   int
		after    string
		min, max time.Duration
	}{
		{503, "120", 2 * time.Minute, 2 * time.Minute},
		{429, start.Add(90 * time.Second).Format(http.TimeFormat), 90 * time.Second, 90 * time.Second},
		{408, "7200", time.Hour, time.Hour},
		{503, "99999999999999999999", 800 * time.Millisecond, 1200 * time.Millisecond},
		{503, "18446744074", time.Hour, time.Hour},
		{503, start.Add(24 * time.Hour).Format(http.TimeFormat), time.Hour, time.Hour},
		{503, start.Add(-time.Hour).Format(http.TimeFormat), 800 * time.Millisecond, 1200 * time.Millisecond},
		{503, "soon", 800 * time.Millisecond, 1200 * time.Millisecond},
		{503, "-5", 800 * time.Millisecond, 1200 * time.Millisecond},
		{404, "120", 0, 0},
	} {
		c.hosts.all = make(map[string]*host)
		a.status.Store(int32(test.status))
		a.after.Store(test.after)
		_, _, _ = fetch(t, c, q)
		got := time.Duration(0)
		if until := c.Pause(q.URL); !until.IsZero() {
			got = until.Sub(start)
		}
		if got < test.min || got > test.max {
			t.Errorf("%d with Retry-After %q pauses for %v, want %v to %v", test.status, test.after, got, test.min, test.max)
		}
	}
}

// Of fetches that fail together one counts, and a success from before does not
// lift the pause.
func TestFailuresOfTheSameMoment(t *testing.T) {
	hs := newHosts(3)
	now := &clock{now: time.Unix(1700000000, 0)}
	hs.now = now.Now
	var visits []*visit
	for range 3 {
		v, err := hs.enter(t.Context(), "g:80")
		if err != nil {
			t.Fatal(err)
		}
		visits = append(visits, v)
	}
	now.set(now.Now().Add(time.Second))
	down := &trouble{error: sdk.Unavailablef("down")}
	visits[0].leave(down)
	visits[1].leave(fmt.Errorf("wrapped: %w", down))
	visits[2].leave(nil)
	until := hs.pause("g:80")
	if got := until.Sub(now.Now()); got < 800*time.Millisecond || got > 1200*time.Millisecond {
		t.Errorf("the pause is %v", got)
	}
	now.set(until)
	v, err := hs.enter(t.Context(), "g:80")
	if err != nil {
		t.Fatal(err)
	}
	v.leave(down)
	if got := hs.pause("g:80").Sub(now.Now()); got < 1600*time.Millisecond || got > 2400*time.Millisecond {
		t.Errorf("the second pause is %v", got)
	}
}

// A success is one also while other fetches are under way.
func TestASuccessBesideOthers(t *testing.T) {
	hs := newHosts(2)
	now := &clock{now: time.Unix(1700000000, 0)}
	hs.now = now.Now
	down := &trouble{error: sdk.Unavailablef("down")}
	for range 5 {
		v, err := hs.enter(t.Context(), "g:80")
		if err != nil {
			t.Fatal(err)
		}
		v.leave(down)
		now.set(hs.pause("g:80"))
	}
	one, err := hs.enter(t.Context(), "g:80")
	other, err2 := hs.enter(t.Context(), "g:80")
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	one.leave(nil)
	other.leave(down)
	if got := hs.pause("g:80").Sub(now.Now()); got < 800*time.Millisecond || got > 1200*time.Millisecond {
		t.Errorf("the first failure after a success pauses for %v", got)
	}
}

// Who waits while the host fails does not ask it.
func TestWaitingForAHostThatFails(t *testing.T) {
	hs := newHosts(1)
	v, err := hs.enter(t.Context(), "g:80")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	for range 3 {
		go func() {
			_, err := hs.enter(t.Context(), "g:80")
			got <- err
		}()
	}
	for users := 0; users < 4; { // until all wait
		hs.mu.Lock()
		users = v.host.users
		hs.mu.Unlock()
		runtime.Gosched()
	}
	v.leave(&trouble{error: sdk.Unavailablef("down")})
	for range 3 {
		var left *Paused
		if err := <-got; !errors.As(err, &left) || left.Host != "g:80" {
			t.Errorf("after waiting: %v", err)
		}
	}
}

func TestHostsAreForgotten(t *testing.T) {
	hs := newHosts(1)
	now := &clock{now: time.Unix(1700000000, 0)}
	hs.now = now.Now
	for n := range 2 * manyHosts {
		v, err := hs.enter(t.Context(), fmt.Sprint("g", n))
		if err != nil {
			t.Fatal(err)
		}
		v.leave(&trouble{error: sdk.Unavailablef("down")})
		now.set(now.Now().Add(time.Second))
	}
	if n := len(hs.all); n > manyHosts {
		t.Errorf("%d hosts are kept", n)
	}
}

func TestPerHost(t *testing.T) {
	var here, most atomic.Int32
	arrived, free := make(chan struct{}, 10), make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		n := here.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		arrived <- struct{}{}
		<-free
		here.Add(-1)
		fmt.Fprint(w, onePoint)
	})
	other := serve(t, say(onePoint))
	c := toward(t, url, other)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if _, err := c.Fetch(t.Context(), render(url), func(Sample) error { return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	<-arrived
	<-arrived
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Fetch(ctx, render(url), func(Sample) error { return nil }); !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "other fetches") {
		t.Errorf("waiting in vain: %v", err)
	}
	if _, _, err := fetch(t, c, render(other)); err != nil {
		t.Errorf("another port of the host: %v", err)
	}
	close(free)
	wg.Wait()
	if most.Load() != 2 || len(c.hosts.all) != 0 {
		t.Errorf("%d at a time, want 2; %d hosts are kept", most.Load(), len(c.hosts.all))
	}
}
