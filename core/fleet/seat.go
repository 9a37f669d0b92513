package fleet

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"fluxgate/sdk"
)

// A plugin is asked for a sign of life every healthInterval. One that has given
// none for healthTimeout is killed, so that six seconds after it has come to a
// stop the next is being started.
const (
	healthInterval = time.Second
	healthTimeout  = 5 * time.Second
)

// recovery is how long a failing plugin must live until it no longer counts as
// such.
const recovery = 5 * time.Second

// A seat is a process and the calls that it works on.
type seat[T any] struct {
	*sdk.Process[T]
	line     *line[T]
	calls    sync.WaitGroup // grows under the line's lock, while the seat is the line's
	stopping atomic.Bool    // by the fleet's will
	since    time.Time

	summing sync.Mutex
	sum     string // of the program, once it has been asked for
}

func (s *seat[T]) ended() bool {
	select {
	case <-s.Done():
		return true
	default:
		return false
	}
}

// died reports whether the process has ended by itself, as a failed call
// suggests. It waits until the process has ended or proved that it lives.
func (s *seat[T]) died() bool {
	ctx, cancel := context.WithTimeout(context.Background(), deathNotice)
	defer cancel()
	if !s.ended() && s.Ping(ctx) == nil {
		return false
	}
	select {
	case <-s.Done():
		return !s.stopping.Load()
	case <-ctx.Done():
		return false
	}
}

// finish waits for the calls under way, up to limit, as long as ctx lasts.
func (s *seat[T]) finish(ctx context.Context, limit time.Duration) {
	done := make(chan struct{})
	go func() {
		s.calls.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	case <-time.After(limit):
	}
}

// free gives back what the host holds of a dead process once the calls under way
// have noticed.
func (s *seat[T]) free() {
	s.calls.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	_ = s.Stop(ctx) // it fails, for there is nobody to drain
}

// watch returns when the process has ended or ctx has. It kills one that gives no
// sign of life, unless it is attached: a debugger may hold it.
func (l *line[T]) watch(ctx context.Context, s *seat[T]) {
	started, answered := time.Now(), time.Now()
	tick := time.NewTicker(healthInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.Done():
			return
		case <-tick.C:
		}
		if ping(ctx, s) == nil {
			answered = time.Now()
		} else if time.Since(answered) >= healthTimeout && ctx.Err() == nil && !s.ended() && !l.attached() {
			slog.Error("plugin gives no sign of life, it is killed", "plugin", l.name, "pid", s.Pid())
			s.Kill()
		}
		if time.Since(started) >= recovery && !s.ended() && l.setFailing(false) {
			slog.Info("plugin lives again", "plugin", l.name)
		}
	}
}

func ping[T any](ctx context.Context, s *seat[T]) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	return s.Ping(ctx)
}
