package ledger

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"fluxgate/sdk"
)

const (
	// leaseTime is for how long a lease is given: for as long nobody else works on
	// the metric after its holder has died.
	leaseTime = 30 * time.Second

	// renewPause is the time between two renewals, and retryPause that after one
	// that failed.
	renewPause = leaseTime / 3
	retryPause = time.Second

	// giveBack is how long the end of a lease may take. One that is not given back
	// ends by itself.
	giveBack = time.Second
)

// ErrHeld is why a lease is not given: another has it. It wraps
// [sdk.ErrUnavailable], and has a method Held.
var ErrHeld error = heldError{}

type heldError struct{}

func (heldError) Error() string { return "another Fluxgate works on the metric" }
func (heldError) Unwrap() error { return sdk.ErrUnavailable }
func (heldError) Held() bool    { return true }

// Hold takes the lease of a metric, which one of several Fluxgates that share a
// Redis has at a time; with an embedded ledger it is always given. It is renewed
// until release is called, which must be done, and may be done again. held is ctx
// as long as the lease lasts: it ends when the lease is gone, or could not be
// renewed for 30 seconds by the clock of this machine, and its cause then wraps
// [sdk.ErrUnavailable]. The error is [ErrHeld] when
// another has the lease, else that of a store that does not answer; both wrap
// [sdk.ErrUnavailable].
func (l *Ledger) Hold(ctx context.Context, metric string) (held context.Context, release func(), err error) {
	lease := &lease{store: l.store, metric: metric, owner: rand.Text(), until: time.Now().Add(leaseTime)}
	given, err := lease.ask(ctx, l.store.Lease, recordTimeout)
	if err != nil {
		lease.end(ctx)
		return nil, nil, sdk.Unavailablef("lease of %q: %w", metric, err)
	}
	if !given {
		return nil, nil, fmt.Errorf("lease of %q: %w", metric, ErrHeld)
	}
	held, lose := context.WithCancelCause(ctx)
	var renewal sync.WaitGroup
	renewal.Go(func() { lose(lease.renew(held)) })
	return held, func() {
		lose(nil)
		renewal.Wait()
		lease.end(ctx)
	}, nil
}

// A lease is the right to work on a metric.
type lease struct {
	store  Store
	metric string
	owner  string    // a text that nobody else has
	until  time.Time // it lasts, whatever the store's clock says
}

// ask makes a call of the store about the lease.
func (l *lease) ask(ctx context.Context, call func(context.Context, string, string, time.Duration) (bool, error), timeout time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return call(ctx, l.metric, l.owner, leaseTime)
}

// renew returns when ctx ends, or, with the reason, when the lease is lost.
func (l *lease) renew(ctx context.Context) error {
	for wait := renewPause; ; {
		pause(ctx, min(wait, time.Until(l.until)))
		began := time.Now()
		left := l.until.Sub(began)
		if left <= 0 {
			return sdk.Unavailablef("lease of %q: the ledger's store did not renew it in time", l.metric)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		ours, err := l.ask(ctx, l.store.Renew, min(recordTimeout, left))
		switch {
		case err != nil:
			wait = retryPause
		case !ours:
			return sdk.Unavailablef("lease of %q: it is gone, another may have it", l.metric)
		default:
			wait, l.until = renewPause, began.Add(leaseTime)
		}
	}
}

// end gives the lease back, if it is ours. If that fails it ends by itself.
func (l *lease) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBack)
	defer cancel()
	_, _ = l.store.Renew(ctx, l.metric, l.owner, 0)
}
