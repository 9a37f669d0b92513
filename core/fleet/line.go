package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fluxgate/sdk"
)

// The end of a process takes no longer than drainTimeout and the second in which
// [sdk.Process.Stop] has it leave.
const (
	// shiftTimeout is how long a process that was replaced may take over the
	// calls under way. It is more than any call's deadline.
	shiftTimeout = 15 * time.Second

	// drainTimeout is how long a plugin may take over the calls under way, and
	// over closing, before it is asked to leave.
	drainTimeout = 2 * time.Second

	// tryTimeout is how long a plugin may take to find out whether it would work.
	tryTimeout = 10 * time.Second
)

// A line is the processes of a plugin one after the other, all with the same
// settings: one that dies is followed by the next.
type line[T any] struct {
	*handle[T]
	spec     Spec
	restarts prometheus.Counter
	life     context.Context // ends when another line takes over
	endLife  context.CancelFunc

	mu      sync.Mutex
	file    file // the program, as it was at the last start
	says    sdk.Description
	seat    *seat[T]      // nil: not open
	opened  chan struct{} // closed when seat is set, or a person must mend something first
	trouble error         // why it is not open, if something is wrong
	started bool          // at least once
	failing bool
}

func newLine[T any](h *handle[T], s Spec) *line[T] {
	l := &line[T]{
		handle: h, spec: s, opened: make(chan struct{}),
		restarts: h.fleet.counters.restarts.WithLabelValues(s.Name),
	}
	l.life, l.endLife = context.WithCancel(context.Background())
	return l
}

// isAs reports whether a process started now with s would be the one that runs.
func (l *line[T]) isAs(s Spec) bool {
	_, file, _ := l.fleet.locate(l.kind, s) // what is missing now may have been so before
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file == file && reflect.DeepEqual(l.spec, s)
}

// open starts the process, or finds the one that is attached.
func (l *line[T]) open(ctx context.Context) error {
	spec, file, err := l.fleet.locate(l.kind, l.spec)
	l.mu.Lock()
	l.file = file
	l.mu.Unlock()
	if err != nil {
		return err
	}
	spec.Log = slog.With("plugin", l.name)
	process, err := l.start(ctx, spec)
	if err != nil {
		return err
	}
	l.announce(process, spec)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.started {
		l.restarts.Inc()
		l.again.Add(1)
	}
	l.seat, l.started, l.trouble = &seat[T]{Process: process, line: l, since: time.Now()}, true, nil
	l.says = process.Described()
	close(l.opened)
	return nil
}

// try opens the process, has it look whether it would work, and stops it.
func (l *line[T]) try(ctx context.Context, connect bool) error {
	if err := l.open(ctx); err != nil {
		return err
	}
	seat := l.current()
	defer l.stop(seat)
	if !connect {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	if err := seat.Check(ctx); err != nil {
		return fmt.Errorf("%s %q: %w", l.kind, l.name, err)
	}
	return nil
}

// keep starts the process, and again whenever it has died, until ctx or the
// line's life ends. Then it stops it.
func (l *line[T]) keep(ctx context.Context) {
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.life, cancel)()
	if l.life.Err() != nil { // AfterFunc takes its time
		cancel()
	}
	deaths := newDeaths(l.atOnce)
	for serving.Err() == nil {
		if err := l.live(serving); err != nil && serving.Err() == nil {
			deaths.add(time.Now())
			l.report(err, deaths)
			select {
			case <-serving.Done():
			case <-time.After(deaths.delay()):
			}
		}
	}
	seat := l.current()
	if seat == nil {
		return
	}
	if l.life.Err() != nil {
		seat.finish(ctx, shiftTimeout)
	}
	l.stop(seat)
}

// live is one life of the process: it returns why it did not start or ended,
// or nil when ctx has.
func (l *line[T]) live(ctx context.Context) error {
	if l.current() == nil {
		if err := l.open(ctx); err != nil {
			return err
		}
	}
	if seat := l.current(); seat != nil { // else a call has found it dead
		l.watch(ctx, seat)
		if ctx.Err() != nil {
			return nil
		}
		l.lose(seat)
	}
	if l.attached() {
		return errors.New("the attached process has ended: start it again with --attach, and Fluxgate with the line that it then prints")
	}
	return errors.New("the process has ended")
}

// stop has a process finish its calls and close, and ends it.
func (l *line[T]) stop(s *seat[T]) {
	s.stopping.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		slog.Warn("plugin did not close", "plugin", l.name, "err", err)
	}
	l.remove(s)
}

// lose notes that a process has died.
func (l *line[T]) lose(s *seat[T]) {
	if l.remove(s) {
		go s.free()
	}
}

// remove has no more calls go to s. It returns false if that was so already.
func (l *line[T]) remove(s *seat[T]) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seat != s {
		return false
	}
	l.seat, l.opened = nil, make(chan struct{})
	return true
}

func (l *line[T]) current() *seat[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seat
}
