package fleet

import (
	"context"
	"errors"
	"time"

	"fluxgate/sdk"
)

// retire has no more calls go to the line, and ends it.
func (l *line[T]) retire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endLife()
}

var errRetired = errors.New("it is no longer configured")

// enter is [handle.enter] as long as the line has not been retired; then the
// error wraps errRetired.
func (l *line[T]) enter(ctx context.Context, patience time.Duration) (*seat[T], error) {
	seat, opened, err := l.living()
	if seat != nil || err != nil {
		return seat, err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-opened:
	case <-l.life.Done():
	case <-timer.C:
	case <-ctx.Done():
	}
	seat, _, err = l.living()
	if seat != nil || err != nil {
		return seat, err
	}
	return nil, sdk.Unavailablef("plugin %q is not running", l.name)
}

// living returns the process, with one more call, unless it has ended, and what
// is closed when the next one is open.
func (l *line[T]) living() (seat *seat[T], opened <-chan struct{}, err error) {
	if seat := l.current(); seat != nil && seat.ended() {
		l.lose(seat)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.life.Err() != nil {
		return nil, nil, sdk.Unavailablef("plugin %q: %w", l.name, errRetired)
	}
	if l.seat != nil {
		l.seat.calls.Add(1)
	}
	return l.seat, l.opened, nil
}
