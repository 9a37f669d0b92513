package load

import (
	"context"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A schedule says when requests are due. It is asked by many at once.
type schedule interface {
	// next waits until a request is due that nobody else sends, and returns since
	// when it is. It is false when there are no more.
	next() (due time.Time, ok bool)

	// run has it go on until nobody asks any more, which ended tells, or ctx ends. What
	// it has begun has ended when it returns.
	run(ctx context.Context, ended <-chan struct{})

	// left returns since when the requests are due that nobody has sent.
	left() []time.Time
}

func newSchedule(c Config, began time.Time) schedule {
	if c.Rate == 0 {
		s := &closedLoop{requests: c.Requests, stopped: make(chan struct{})}
		if c.Duration > 0 {
			s.end = began.Add(c.Duration)
		}
		return s
	}
	total := c.Requests
	if n := int(c.Duration.Seconds() * c.Rate); total == 0 || c.Duration > 0 && n < total {
		total = max(1, n)
	}
	s := &openLoop{began: began, rate: c.Rate, total: total, patience: c.Timeout}
	s.news.L = &s.mu
	return s
}

// A closedLoop has a request due whenever somebody asks.
type closedLoop struct {
	end      time.Time // zero: none
	requests int       // 0: any number
	stopped  chan struct{}

	mu    sync.Mutex
	taken int
}

func (s *closedLoop) next() (time.Time, bool) {
	select {
	case <-s.stopped:
		return time.Time{}, false
	default:
	}
	now := time.Now()
	if !s.end.IsZero() && now.After(s.end) {
		return now, false
	}
	if s.requests > 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.taken == s.requests {
			return now, false
		}
		s.taken++
	}
	return now, true
}

func (s *closedLoop) run(ctx context.Context, ended <-chan struct{}) {
	select {
	case <-ctx.Done():
		close(s.stopped)
	case <-ended:
	}
}

func (s *closedLoop) left() []time.Time { return nil }

// An openLoop has requests due at fixed times, whether those before them are
// answered or not.
type openLoop struct {
	began    time.Time
	rate     float64 // requests in a second
	total    int
	patience time.Duration // how long after the last one is due somebody may still take one

	mu         sync.Mutex
	news       sync.Cond
	due, taken int // of total
	ended      bool
}

func (s *openLoop) at(request int) time.Time {
	return s.began.Add(time.Duration(float64(request) / s.rate * float64(time.Second)))
}

func (s *openLoop) next() (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.taken == s.due && s.taken < s.total && !s.ended {
		s.news.Wait()
	}
	if s.ended || s.taken == s.total {
		return time.Time{}, false
	}
	s.taken++
	return s.at(s.taken - 1), true
}

// shortestSleep is how late a request may be noticed to be due.
const shortestSleep = 50 * time.Microsecond

// longestSleep is how late the end of a context may be noticed.
const longestSleep = 50 * time.Millisecond

// run has a thread of its own sleep: the timers of Go are a millisecond late.
func (s *openLoop) run(ctx context.Context, ended <-chan struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer s.stop()
	for due := 0; due < s.total; {
		if ctx.Err() != nil {
			return
		}
		now := time.Now()
		due = min(s.total, int(now.Sub(s.began).Seconds()*s.rate)+1)
		s.release(due)
		sleep(min(max(s.at(due).Sub(now), shortestSleep), longestSleep))
	}
	patience := time.NewTimer(s.patience)
	defer patience.Stop()
	select {
	case <-ctx.Done():
	case <-ended:
	case <-patience.C:
	}
}

// stop has nobody take what is due and not taken yet.
func (s *openLoop) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.news.Broadcast()
}

// release has the requests before due be due.
func (s *openLoop) release(due int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; s.due < due; s.due++ {
		s.news.Signal()
	}
	if s.due == s.total {
		s.news.Broadcast() // those that wait for more wait in vain
	}
}

func (s *openLoop) left() (since []time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := s.taken; i < s.total; i++ {
		since = append(since, s.at(i))
	}
	return since
}

func sleep(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil) // when it is interrupted, somebody just looks earlier
}
