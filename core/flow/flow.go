// Package flow is the road that a datapoint takes through Fluxgate: from the
// request that brings it, to the sinks that keep it.
package flow

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"fluxgate/sdk"
)

// decodeTimeout is how long an input may take over a request.
const decodeTimeout = 10 * time.Second

// A Flow accepts requests.
type Flow struct {
	Keys   Keys
	Window Window
	Ledger Ledger
	Sinks  Sinks
	Now    func() time.Time
	Books  Books

	door sync.Mutex // held from judgement to Send, so that the sinks see the order of judgement
}

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

// Sinks are where accepted datapoints go.
type Sinks interface {
	// Send hands b to every sink, behind what was sent before. The function that
	// it returns waits, for a bounded time, until every required sink has taken b.
	Send(b sdk.Batch) (taken func() error)
}

// BeatListen is the sign of life that a health check gives, for which Skyline's
// thunder looks.
const BeatListen = "flux.listen"

// An Answer is what the sender is told.
type Answer struct {
	Status int
	Body   []byte // JSON, or empty
}

// Accept decodes a request, and stores what it brings. When it returns nil every
// required sink has the datapoints; otherwise nothing of the request counts as
// stored, and sending it again is right. The error wraps [ErrKey],
// [sdk.ErrInvalid] or [sdk.ErrUnavailable], or tells of a fault of the input.
func (f *Flow) Accept(ctx context.Context, in sdk.Input, r sdk.Request) (Answer, error) {
	s, err := decode(ctx, in, r)
	if err != nil {
		return Answer{}, f.Books.refuse(s, err)
	}
	if s.Reply != nil {
		return f.reply(s.Reply)
	}
	prefix, err := f.Keys.Admit(s.Key)
	if err != nil {
		return Answer{}, f.Books.refuse(s, err)
	}
	if s.KeyCheck {
		return keyValid, nil
	}
	if err := f.validate(s, prefix, r.Method != http.MethodGet); err != nil {
		return Answer{}, f.Books.refuse(s, err)
	}
	if s.DryRun {
		return dryRun(s, prefix), nil
	}
	if err := f.store(s); err != nil {
		return Answer{}, f.Books.refuse(s, err)
	}
	return Answer{Status: http.StatusNoContent}, nil
}

// store sends what is fresh on its way, and waits until it is taken.
func (f *Flow) store(s sdk.Submission) error {
	judge := f.Ledger.Look(s.Batch)
	f.door.Lock()
	fresh, settle := judge()
	taken := f.Sinks.Send(append(fresh, s.Backfill...))
	f.door.Unlock()
	if err := settle(taken()); err != nil {
		return err
	}
	f.Books.accept(len(fresh)+len(s.Backfill), len(s.Batch)-len(fresh))
	return nil
}

func decode(ctx context.Context, in sdk.Input, r sdk.Request) (sdk.Submission, error) {
	ctx, cancel := context.WithTimeout(ctx, decodeTimeout)
	defer cancel()
	return in.Decode(ctx, r)
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
