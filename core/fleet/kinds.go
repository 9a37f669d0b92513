package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"fluxgate/sdk"
)

// A Sink is a sink plugin of a fleet, whatever process it has just now. While it
// has none, Write returns [sdk.ErrUnavailable].
type Sink struct{ *handle[sdk.Sink] }

func (f *Fleet) newSink(name string) *Sink {
	return &Sink{newHandle(f, "sink", name, sdk.StartSink)}
}

// Write implements [sdk.Sink]. When the process died under the call, the error
// wraps [sdk.ErrUnavailable] and an error whose method Died() returns true.
func (s *Sink) Write(ctx context.Context, b sdk.Batch) error { return s.WriteAll(ctx, []sdk.Batch{b}) }

// WriteAll implements [sdk.BulkSink], with the errors of Write.
func (s *Sink) WriteAll(ctx context.Context, batches []sdk.Batch) error {
	seat, err := s.enter(ctx, patience)
	if err != nil {
		return err
	}
	defer seat.calls.Done()
	return s.judge(seat, seat.Plugin.(sdk.BulkSink).WriteAll(ctx, batches))
}

const (
	// frameRoom is what a call to a sink takes of a message beside the batches: a few
	// bytes for each of some tens. In bytes.
	frameRoom = 4 << 10

	// defaultLimit is less than what a message may have where the setup does not say.
	defaultLimit = 32 << 20
)

// Capacity returns how many bytes of batches one call of WriteAll may bring to the
// process that there is now; 0 as long as there is none, or one that is called over
// gRPC, which is given one batch after the other.
func (s *Sink) Capacity() int {
	l := s.line.Load()
	if l == nil {
		return 0
	}
	seat := l.current()
	if seat == nil || !seat.OverDataSocket() {
		return 0
	}
	return max(0, cmp.Or(s.fleet.setup.MessageLimit, defaultLimit)-frameRoom)
}

// An Input is an input plugin of a fleet, whatever process it has just now.
type Input struct {
	*handle[sdk.Input]
	gate   *semaphore.Weighted // requests take one, or everything to be alone
	poison prometheus.Counter
	late   atomic.Bool // the last request was not decoded in time
}

func (f *Fleet) newInput(name string) *Input {
	h := newHandle(f, "input", name, sdk.StartInput)
	h.atOnce = true
	return &Input{handle: h, gate: semaphore.NewWeighted(alone), poison: f.counters.poison.WithLabelValues(name)}
}

// What a request takes of the gate.
const (
	amongOthers = 1
	alone       = math.MaxInt64
)

// secondPatience is how long a request waits for the next process after one died
// under it.
const secondPatience = 5 * time.Second

// Decode implements [sdk.Input]. Of all requests under which a process died each
// is tried once more, alone: one may be what it died of. If the process dies
// again the request is poison, and the error neither [sdk.ErrInvalid] nor
// [sdk.ErrUnavailable].
func (i *Input) Decode(ctx context.Context, r sdk.Request) (sdk.Submission, error) {
	s, err := i.decode(ctx, r, amongOthers, patience)
	if !died(err) {
		return s, err
	}
	s, err = i.decode(ctx, r, alone, secondPatience)
	if !died(err) {
		return s, err
	}
	i.poison.Inc()
	slog.Error("plugin died twice of a request, which is not tried again", "plugin", i.name, "route", r.Route, "bytes", len(r.Body))
	return sdk.Submission{}, fmt.Errorf("plugin %q died twice of the request, which is not tried again", i.name)
}

func (i *Input) decode(ctx context.Context, r sdk.Request, share int64, patience time.Duration) (sdk.Submission, error) {
	if err := i.gate.Acquire(ctx, share); err != nil {
		return sdk.Submission{}, sdk.Unavailablef("plugin %q: waiting for other requests: %w", i.name, err)
	}
	defer i.gate.Release(share)
	seat, err := i.enter(ctx, patience)
	if err != nil {
		return sdk.Submission{}, err
	}
	defer seat.calls.Done()
	s, err := seat.Plugin.Decode(ctx, r)
	i.note(err)
	return s, i.judge(seat, err)
}

// note logs when requests begin to take too long, and when they are in time again.
func (i *Input) note(err error) {
	late := errors.Is(err, context.DeadlineExceeded)
	switch {
	case i.late.Load() == late || !i.late.CompareAndSwap(!late, late):
	case late:
		slog.Warn("plugin takes too long over requests, they are refused", "plugin", i.name, "err", err)
	default:
		slog.Info("plugin decodes requests in time again", "plugin", i.name)
	}
}

// A death is why a call failed under which the plugin's process died.
type death struct {
	plugin string
	cause  error
}

func (d *death) Error() string {
	return fmt.Sprintf("plugin %q died during the call: %v", d.plugin, d.cause)
}

// Died tells this error from those of a plugin that lives.
func (d *death) Died() bool { return true }

func died(err error) bool {
	if err == nil {
		return false // at no cost
	}
	d := (*death)(nil)
	return errors.As(err, &d)
}
