package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"fluxgate/sdk"
)

const (
	// idleTime is how long a resampler's process is kept after its last call.
	idleTime = time.Minute

	// startPatience is how long a call of a resampler waits for its process.
	startPatience = 10 * time.Second

	// answerTimeout is how long a resampler may take over a call.
	answerTimeout = 10 * time.Second
)

// A Resampler is a resampler plugin of a fleet. Its process is started by the
// first call, and stopped when there has been none for a minute. Meanwhile it is
// watched, and started again when it dies, like any other.
type Resampler struct {
	*handle[sdk.Resampler]
	idle, limit time.Duration // idleTime and answerTimeout

	mu     sync.Mutex
	calls  int         // under way
	asleep bool        // the line is not kept, and the next call begins another like it
	rest   *time.Timer // puts it to sleep, if there is no call then
}

func (f *Fleet) newResampler(name string) *Resampler {
	r := &Resampler{handle: newHandle(f, "resampler", name, sdk.StartResampler), idle: idleTime, limit: answerTimeout}
	r.rest = time.AfterFunc(r.idle, r.sleep)
	r.rest.Stop()
	return r
}

// add gives the handle its first line, asleep.
func (r *Resampler) add(s Spec) {
	s.Optional = true
	l := newLine(r.handle, s)
	_, l.file, l.trouble = r.fleet.locate(r.kind, s)
	r.line.Store(l)
	r.asleep = true
}

// forewarn warns when the program cannot be started, long before it is needed.
func (r *Resampler) forewarn() {
	if err := r.trouble(); err != nil {
		slog.Warn("plugin cannot be started when it is needed", "plugin", r.name, "err", err)
	}
}

// Resample implements [sdk.Resampler]. It may take ten seconds for the process to
// start and ten for its answer, and no longer than ctx. Calls may come at the
// same time.
//
// The step is a number of whole seconds. A series of up to 50,000 points always
// fits into a message. What is returned keeps the contract: it is of the same
// metric, its values are finite, and its timestamps ascend and are starts of
// intervals that have points in s.
//
// The error wraps [sdk.ErrInvalid] when this series will never be resampled: the
// plugin refuses it or breaks the contract, or s or step are not fit. Any other
// wraps [sdk.ErrUnavailable], whatever else it is. When the process died under
// the call it also wraps an error whose method Died() returns true.
func (r *Resampler) Resample(ctx context.Context, s sdk.Series, step time.Duration) (sdk.Series, error) {
	if err := r.fits(s, step); err != nil {
		return sdk.Series{}, err
	}
	r.wake()
	defer r.relax()
	seat, err := r.enter(ctx)
	if err != nil {
		return sdk.Series{}, err
	}
	defer seat.calls.Done()
	ctx, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	out, err := seat.Plugin.Resample(ctx, s, step)
	if err = r.judge(seat, err); err == nil {
		err = checked(s, step, out)
	}
	if err != nil {
		return sdk.Series{}, r.named(err)
	}
	return out, nil
}

// named returns the error of a call as one of the two kinds, with the plugin's
// name.
func (r *Resampler) named(err error) error {
	switch {
	case died(err): // it has the name
		return err
	case errors.Is(err, sdk.ErrInvalid), errors.Is(err, sdk.ErrUnavailable):
		return fmt.Errorf("plugin %q: %w", r.name, err)
	default:
		return sdk.Unavailablef("plugin %q: %w", r.name, err)
	}
}

// fits reports why a call cannot be sent.
func (r *Resampler) fits(s sdk.Series, step time.Duration) error {
	if step < time.Second || step%time.Second != 0 {
		return sdk.Invalidf("a step of %v: must be a number of whole seconds", step)
	}
	if !slices.IsSortedFunc(s.Points, func(a, b sdk.Point) int { return cmp.Compare(a.Timestamp, b.Timestamp) }) {
		return sdk.Invalidf("series of %q: its timestamps must ascend", s.Metric)
	}
	const point, frame = 18, 1 << 10 // bytes on the wire, at most
	limit := r.fleet.setup.MessageLimit
	if most := (limit - frame - len(s.Metric)) / point; limit > 0 && len(s.Points) > most {
		return sdk.Invalidf("series of %d points: a plugin's message holds %d: cut it into pieces", len(s.Points), most)
	}
	return nil
}

// enter is [handle.enter] that also tells why there is no process. It does not
// wait for what only a person can mend.
func (r *Resampler) enter(ctx context.Context) (*seat[sdk.Resampler], error) {
	patience := startPatience
	if errors.Is(r.trouble(), sdk.ErrInvalid) {
		patience = 0
	}
	seat, err := r.handle.enter(ctx, patience)
	if trouble := r.trouble(); err != nil && trouble != nil {
		return nil, sdk.Unavailablef("plugin %q is not running: %v", r.name, trouble) // it is not the call that is invalid
	}
	return seat, err
}

// trouble returns why the process is not open, if something is wrong.
func (r *Resampler) trouble() error {
	l := r.line.Load()
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trouble
}

// isUp reports whether nothing is wrong: a process that nobody needs is not
// missed.
func (r *Resampler) isUp() bool { return r.trouble() == nil }

// report implements crew. A process that nobody needs is idle.
func (r *Resampler) report() Status {
	r.mu.Lock()
	asleep := r.asleep
	r.mu.Unlock()
	status := r.handle.report()
	if asleep && status.Pid == 0 && status.State != Refused {
		status.State = Idle
	}
	return status
}

// wake counts one more call, and has a process started unless one is kept.
func (r *Resampler) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	if r.asleep {
		r.handle.add(r.line.Load().spec)
		r.asleep = false
	}
}

// relax counts one call less.
func (r *Resampler) relax() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls--
	r.linger()
}

// linger has the process stopped after a while, if there is no call until then.
func (r *Resampler) linger() {
	if r.calls == 0 {
		r.rest.Reset(r.idle)
	}
}

func (r *Resampler) sleep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.line.Load(); r.calls == 0 && l != nil && l.life.Err() == nil {
		slog.Info("plugin is not needed and is stopped", "plugin", r.name)
		l.retire()
		r.asleep = true
	}
}

// retire has no more calls go to the plugin.
func (r *Resampler) retire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asleep = false
	r.handle.retire()
}

// replace starts a process with a new specification, beside one that may run. It
// is stopped again when nobody calls it.
func (r *Resampler) replace(ctx context.Context, s Spec) (step, error) {
	s.Optional = true
	change, err := r.handle.replace(ctx, s)
	if commit := change.commit; commit != nil {
		change.commit = func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			awake := r.line.Load() // it may have begun since
			commit()
			if awake != nil {
				awake.retire()
			}
			r.asleep = false
			r.linger()
		}
	}
	return change, err
}
