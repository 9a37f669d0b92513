package load

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// A registry is a context that counts what is bound to its end.
type registry struct {
	context.Context
	bound atomic.Int64
}

// Value hides the context below, so that what is bound to this one asks AfterFunc.
func (*registry) Value(any) any { return nil }

func (r *registry) AfterFunc(do func()) (stop func() bool) {
	r.bound.Add(1)
	return func() bool {
		r.bound.Add(-1)
		return true
	}
}

func TestALoadLeavesNothingBoundToItsContext(t *testing.T) {
	c := usual(serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for _, rate := range []float64{0, 1000} {
		c.Rate = rate
		ctx := &registry{Context: t.Context()}
		if r, err := Run(ctx, c, func(Progress) {}); err != nil || r.Requests != 40 {
			t.Fatalf("%+v, %v", r, err)
		}
		if n := ctx.bound.Load(); n != 0 {
			t.Errorf("at rate %v: %d are still bound to the context", rate, n)
		}
	}
}

// over is a context that has ended, and has not told so yet.
type over struct{ context.Context }

func (over) Err() error { return context.Canceled }

func TestSendersLeaveWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		ctx  context.Context
		rate float64
	}{"closed": {ctx, 0}, "open": {ctx, 1}, "open, not told yet": {over{t.Context()}, 1}} {
		s := newSchedule(Config{Rate: tt.rate, Requests: 10, Timeout: time.Hour}, time.Now().Add(time.Hour))
		s.run(tt.ctx, nil)
		if _, more := s.next(); more {
			t.Errorf("%s: a request is due after the end", name)
		}
	}
}

// A load whose senders have ended waits no longer for those that nobody takes.
func TestTheOpenLoopEndsWithItsSenders(t *testing.T) {
	ended := make(chan struct{})
	close(ended)
	s := newSchedule(Config{Rate: 1e6, Requests: 10, Timeout: time.Hour}, time.Now().Add(-time.Hour))
	s.run(t.Context(), ended)
	if _, more := s.next(); more || len(s.left()) != 10 {
		t.Errorf("%d are left", len(s.left()))
	}
}
