// Package flow is the road that a datapoint takes through Fluxgate: from the
// request that brings it, to the sinks that keep it.
package flow

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"fluxgate/sdk"
)

// decodeTimeout is how long an input may take over a request.
const decodeTimeout = 10 * time.Second

// deliveryTimeout is how long a request may wait for the sinks.
const deliveryTimeout = 30 * time.Second

// AcceptTime is how long Accept may take, beside its waits for the ledger and the disk,
// which are short.
const AcceptTime = decodeTimeout + deliveryTimeout

// A Flow accepts requests.
type Flow struct {
	Ledger  Ledger
	Journal Journal // for live data
	Fill    Journal // for backfill
	Now     func() time.Time
	Books   Books
	Ending  context.Context // ended: sinks are not waited for any more; nil: never

	terms    atomic.Pointer[Terms]
	decoding deadlines
	door     sync.Mutex // held from judgement to Append, so that the sinks see the order of judgement
}

// Terms are what a request must meet.
type Terms struct {
	Keys   Keys
	Window Window
}

// Admit sets the terms for the requests that come from now on. It must be called
// before the first.
func (f *Flow) Admit(t Terms) { f.terms.Store(&t) }

// Grant returns what a key gives now, or [ErrKey].
func (f *Flow) Grant(key string) (Grant, error) { return f.terms.Load().Keys.Admit(key) }

// A Ledger remembers, for each metric, the newest timestamp that was accepted.
type Ledger interface {
	// Look fetches what is known of b's metrics. The function that it returns
	// judges b and must be called: it returns the datapoints of b that are fresh,
	// which count as accepted from then on, and a function to be called once with
	// what became of them. That returns its argument, or the failure of another
	// request on which the judgement relied; after an error the datapoints are
	// fresh again.
	Look(b sdk.Batch) func() (fresh sdk.Batch, settle func(error) error)
	// Beat notes a sign of life, behind whatever is under way.
	Beat(name string)
}

// A Journal keeps accepted datapoints until every sink has them.
type Journal interface {
	// Append puts b behind what was appended before. The first function waits until
	// b is on disk; after an error, which wraps [sdk.ErrUnavailable], nothing of b is
	// kept. The second is for after that, and waits until every required sink has b
	// and, if b is empty, all that was kept before.
	Append(b sdk.Batch) (kept func() error, delivered func(context.Context) error)
}

// BeatListen is the sign of life that a health check gives, for which Skyline's
// thunder looks.
const BeatListen = "flux.listen"

// An Answer is what the sender is told.
type Answer struct {
	Status int
	Body   []byte // JSON, or empty
}

// Accept decodes a request, and stores what it brings. When it returns nil the
// datapoints are on disk, and are delivered whatever happens, or, where that is
// asked for, every required sink has them. Otherwise nothing of the request counts
// as stored, and sending it again is right. The error wraps [ErrKey],
// [sdk.ErrInvalid] or [sdk.ErrUnavailable], or tells of a fault of the input.
func (f *Flow) Accept(ctx context.Context, in sdk.Input, r sdk.Request) (Answer, error) {
	s, err := f.decode(ctx, in, r)
	if err != nil {
		return Answer{}, f.Books.refuse(s, err)
	}
	if s.Reply != nil {
		return f.reply(s.Reply)
	}
	terms := f.terms.Load()
	key, err := terms.Keys.Admit(s.Key)
	if err != nil {
		return Answer{}, f.Books.refuse(s, err)
	}
	if s.KeyCheck {
		return keyValid, nil
	}
	if err := f.validate(s, terms.Window, key.Prefix, r.Method != http.MethodGet); err != nil {
		return Answer{}, f.Books.refuse(s, err)
	}
	ack, err := stronger(key.Ack, r.Header)
	if err != nil {
		return Answer{}, f.Books.refuse(s, err)
	}
	if s.DryRun {
		return dryRun(s, key.Prefix), nil
	}
	if err := f.store(ctx, s, ack); err != nil {
		return Answer{}, err
	}
	return Answer{Status: http.StatusNoContent}, nil
}

// store has what is fresh on disk and, if ack says so, in the sinks. Live data comes
// first: when backfill cannot be kept, a retry finds the live data stored and does
// not store it again.
func (f *Flow) store(ctx context.Context, s sdk.Submission, ack Ack) error {
	fresh, delivered, err := f.keep(s.Batch)
	if err != nil {
		return f.Books.refuse(s, err)
	}
	filled, err := f.fill(s.Backfill)
	if err != nil {
		return f.Books.refuse(s, err)
	}
	f.Books.accept(fresh+len(s.Backfill), len(s.Batch)-fresh)
	if ack != AckDelivered {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, deliveryTimeout)
	defer cancel()
	if f.Ending != nil {
		defer context.AfterFunc(f.Ending, cancel)()
	}
	if err := errors.Join(filled(ctx), delivered(ctx)); err != nil {
		return sdk.Unavailablef("accepted, not yet delivered: %w", err)
	}
	return nil
}

// fill has backfill on disk.
func (f *Flow) fill(b sdk.Batch) (delivered func(context.Context) error, err error) {
	if len(b) == 0 {
		return noWait, nil
	}
	kept, delivered := f.Fill.Append(b)
	return delivered, kept()
}

// keep judges live data, and has what is fresh on disk.
func (f *Flow) keep(b sdk.Batch) (fresh int, delivered func(context.Context) error, err error) {
	if len(b) == 0 {
		return 0, noWait, nil
	}
	judge := f.Ledger.Look(b)
	f.door.Lock()
	b, settle := judge()
	kept, delivered := f.Journal.Append(b)
	f.door.Unlock()
	return len(b), delivered, settle(kept())
}

func noWait(context.Context) error { return nil }

// decode has an input read a request. One that takes too long is unavailable.
func (f *Flow) decode(ctx context.Context, in sdk.Input, r sdk.Request) (sdk.Submission, error) {
	limited, cancel := f.decoding.after(ctx, decodeTimeout)
	defer cancel()
	s, err := in.Decode(limited, r)
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, sdk.ErrUnavailable) && ctx.Err() == nil {
		err = sdk.Unavailablef("the input did not decode the request in time, %v at most: %w", decodeTimeout, err)
	}
	return s, err
}

// reply passes on what an input answers by itself.
func (f *Flow) reply(r *sdk.Reply) (Answer, error) {
	if r.Status < 200 || r.Status > 599 {
		return Answer{}, errors.New("the input replied with a status that is none")
	}
	if r.Status == http.StatusOK {
		f.Ledger.Beat(BeatListen)
	}
	return Answer{r.Status, r.Body}, nil
}
