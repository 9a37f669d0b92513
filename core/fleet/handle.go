package fleet

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"fluxgate/sdk"
)

// patience is how long a call waits for a plugin that is being started.
const patience = time.Second

// A handle is what callers hold of a plugin. It stays the same when the plugin's
// program or settings change.
type handle[T any] struct {
	kind, name string
	fleet      *Fleet
	start      func(context.Context, sdk.Spec) (*sdk.Process[T], error)
	atOnce     bool                    // started again without delay, unless it is failing
	line       atomic.Pointer[line[T]] // nil: not yet committed
	again      atomic.Int64            // starts after a death
	outdated   atomic.Bool             // it was said that its protocol is old
}

func newHandle[T any](f *Fleet, kind, name string, start func(context.Context, sdk.Spec) (*sdk.Process[T], error)) *handle[T] {
	return &handle[T]{kind: kind, name: name, fleet: f, start: start}
}

// add gives the handle its first line.
func (h *handle[T]) add(s Spec) {
	l := newLine(h, s)
	h.line.Store(l)
	h.fleet.spawn(l.keep)
}

func (h *handle[T]) title() (kind, name string)     { return h.kind, h.name }
func (h *handle[T]) required() bool                 { return !h.line.Load().spec.Optional }
func (h *handle[T]) isOpen() bool                   { return h.current() != nil }
func (h *handle[T]) isUp() bool                     { return h.isOpen() }
func (h *handle[T]) isFailing() bool                { return h.line.Load().isFailing() }
func (h *handle[T]) current() *seat[T]              { return h.line.Load().current() }
func (h *handle[T]) open(ctx context.Context) error { return h.line.Load().open(ctx) }
func (h *handle[T]) retire()                        { h.line.Load().retire() }
func (h *handle[T]) configured() Spec               { return h.line.Load().spec }
func (h *handle[T]) report() Status                 { return h.line.Load().status() }

func (h *handle[T]) try(ctx context.Context, connect bool) error {
	return h.line.Load().try(ctx, connect)
}

// enter returns the process to call, waiting up to patience for one that is
// being started. Its calls are to be told when the call is done.
func (h *handle[T]) enter(ctx context.Context, patience time.Duration) (*seat[T], error) {
	for {
		l := h.line.Load()
		if l == nil {
			return nil, sdk.Unavailablef("plugin %q is not running yet", h.name)
		}
		seat, err := l.enter(ctx, patience)
		if !errors.Is(err, errRetired) || h.line.Load() == l {
			return seat, err
		}
	}
}

// deathNotice is how much later than a failed call a death may be noticed.
const deathNotice = time.Second

// judge returns the error of a call, as a death if the process has died.
func (h *handle[T]) judge(s *seat[T], err error) error {
	switch {
	case err == nil, errors.Is(err, sdk.ErrInvalid), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return err
	case !s.died():
		return err
	}
	s.line.lose(s)
	return sdk.Unavailablef("%w", &death{h.name, err})
}

// A step is the part of a [Change] that one plugin is.
type step struct{ commit, abandon func() }

// replace starts a process with a new specification beside the one that runs,
// unless nothing has changed.
func (h *handle[T]) replace(ctx context.Context, s Spec) (step, error) {
	old := h.line.Load()
	if old != nil && old.isAs(s) {
		return step{}, nil
	}
	next := newLine(h, s)
	if err := next.open(ctx); err != nil && (!s.Optional || errors.Is(err, sdk.ErrInvalid)) {
		return step{}, err
	}
	commit := func() {
		h.line.Store(next)
		h.fleet.spawn(next.keep)
		if old != nil {
			old.retire()
		}
	}
	abandon := func() {
		next.retire()
		if seat := next.current(); seat != nil {
			next.stop(seat)
		}
	}
	return step{commit, abandon}, nil
}
