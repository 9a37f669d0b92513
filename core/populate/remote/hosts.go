package remote

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"fluxgate/sdk"
)

const (
	firstPause = time.Second
	maxPause   = 5 * time.Minute
	maxAfter   = time.Hour // of a Retry-After
	manyHosts  = 1000      // from here on those that nobody asks any more are forgotten
)

// Paused says that a host is left alone after a failure, and was not asked. It is
// [sdk.ErrUnavailable].
type Paused struct {
	Host  string // with its port
	Until time.Time
}

func (p *Paused) Error() string {
	return fmt.Sprintf("%v: %s is left alone until %s, after a failure", sdk.ErrUnavailable, p.Host, p.Until.UTC().Format(time.RFC3339))
}

func (p *Paused) Unwrap() error { return sdk.ErrUnavailable }

// A trouble is a failure of the host itself, for which it is left alone.
type trouble struct {
	error
	after time.Duration // as its Retry-After says; 0: it says nothing
}

func (t *trouble) Unwrap() error { return t.error }

// hosts bounds the fetches from each host, and knows which are left alone.
type hosts struct {
	perHost int
	now     func() time.Time
	mu      sync.Mutex
	all     map[string]*host
}

type host struct {
	slots  chan struct{}
	users  int       // fetches that wait or are under way
	until  time.Time // it is left alone
	failed time.Time // when a failure was last counted; zero: none since a success
	wait   backoff.ExponentialBackOff
}

func newHosts(perHost int) *hosts {
	return &hosts{perHost: perHost, now: time.Now, all: make(map[string]*host)}
}

// pause returns until when the host called name is left alone; zero: it is not.
func (hs *hosts) pause(name string) time.Time {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h, ok := hs.all[name]
	if !ok || !h.until.After(hs.now()) {
		return time.Time{}
	}
	return h.until
}

// A visit is one fetch from a host.
type visit struct {
	hosts *hosts
	name  string
	host  *host
	began time.Time
}

// enter waits until the host may be asked. A host that is left alone is a
// [Paused] at once.
func (hs *hosts) enter(ctx context.Context, name string) (*visit, error) {
	v := &visit{hosts: hs, name: name, host: hs.join(name)}
	select {
	case v.host.slots <- struct{}{}:
	case <-ctx.Done():
		v.part()
		return nil, sdk.Unavailablef("%s: waiting for other fetches from it: %w", name, context.Cause(ctx))
	}
	if until := hs.pause(name); !until.IsZero() {
		<-v.host.slots
		v.part()
		return nil, &Paused{name, until}
	}
	v.began = hs.now()
	return v, nil
}

func (hs *hosts) join(name string) *host {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h, ok := hs.all[name]
	if !ok {
		if len(hs.all) >= manyHosts {
			hs.forget()
		}
		h = &host{slots: make(chan struct{}, hs.perHost), wait: backoff.ExponentialBackOff{
			InitialInterval: firstPause, RandomizationFactor: 0.2, Multiplier: 2, MaxInterval: maxPause,
		}}
		hs.all[name] = h
	}
	h.users++
	return h
}

// forget drops hosts whose pause is long over.
func (hs *hosts) forget() {
	for name, h := range hs.all {
		if h.users == 0 && hs.now().Sub(h.until) > maxPause {
			delete(hs.all, name)
		}
	}
}

// leave ends a visit with the error of its fetch.
func (v *visit) leave(err error) {
	v.hosts.mu.Lock()
	var t *trouble
	switch {
	case errors.As(err, &t):
		v.host.fail(v.began, v.hosts.now(), t.after)
	case err == nil || errors.Is(err, sdk.ErrInvalid):
		v.host.recover(v.began)
	}
	v.hosts.mu.Unlock()
	<-v.host.slots // only now, so that who waits for it learns of the pause
	v.part()
}

// part forgets the visit, and the host where nothing is to be remembered of it.
func (v *visit) part() {
	v.hosts.mu.Lock()
	defer v.hosts.mu.Unlock()
	v.host.users--
	if v.host.users == 0 && v.host.failed.IsZero() {
		delete(v.hosts.all, v.name)
	}
}

// fail counts a failure. Of several fetches that were under way together only the
// first counts, but each may ask to be left alone for longer.
func (h *host) fail(began, now time.Time, after time.Duration) {
	if !began.Before(h.failed) {
		h.failed = now
		after = max(after, min(h.wait.NextBackOff(), maxPause))
	}
	if until := now.Add(min(after, maxAfter)); until.After(h.until) {
		h.until = until
	}
}

// recover counts a success, unless it began before the last failure.
func (h *host) recover(began time.Time) {
	if !began.Before(h.failed) {
		h.failed, h.until = time.Time{}, time.Time{}
		h.wait.Reset()
	}
}
