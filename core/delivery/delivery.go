// Package delivery brings accepted datapoints to the sinks, in order: one lane
// for each sink, so that a slow one delays its own destination and nothing else.
package delivery

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"fluxgate/sdk"
)

// A Sink is a destination by its configured name.
type Sink struct {
	sdk.Sink
	Name     string
	Required bool // a batch counts as taken only when this sink has it
}

// A Delivery is the lanes to all sinks.
type Delivery struct{ lanes []*lane }

// New returns the lanes to sinks. Run must be called.
func New(sinks []Sink, metrics prometheus.Registerer) *Delivery {
	counter := func(name, help string) *prometheus.CounterVec {
		return promauto.With(metrics).NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"sink"})
	}
	taken := counter("fluxgate_datapoints_taken_total", "Datapoints that the sink has taken.")
	expired := counter("fluxgate_datapoints_expired_total", "Datapoints that an optional sink has missed.")
	d := &Delivery{}
	for _, s := range sinks {
		d.lanes = append(d.lanes, newLane(s, taken.WithLabelValues(s.Name), expired.WithLabelValues(s.Name)))
	}
	return d
}

// Run delivers until ctx ends. What waits then is not taken.
func (d *Delivery) Run(ctx context.Context) {
	var lanes sync.WaitGroup
	for _, l := range d.lanes {
		lanes.Go(func() { l.run(ctx) })
	}
	lanes.Wait()
}

// Send puts b at the end of every lane. The function that it returns waits
// until every required sink has taken b, and returns nil, or an error that names
// the sinks that have not: it wraps [sdk.ErrInvalid] when one of them never
// will, else [sdk.ErrUnavailable]. It waits for at most 40 seconds: for the turn
// under way and the one that b is part of.
func (d *Delivery) Send(b sdk.Batch) (taken func() error) {
	if len(b) == 0 {
		return func() error { return nil }
	}
	var parcels []*parcel
	for _, l := range d.lanes {
		p := &parcel{batch: b, sink: l.sink.Name, result: make(chan error, 1)}
		l.put(p)
		if l.sink.Required {
			parcels = append(parcels, p)
		}
	}
	return func() error { return outcome(parcels) }
}

// outcome waits for all parcels of a request.
func outcome(parcels []*parcel) error {
	var refusal error
	var away []string
	for _, p := range parcels {
		err := <-p.result
		switch {
		case errors.Is(err, sdk.ErrInvalid):
			refusal = fmt.Errorf("sink %q refuses the datapoints: %w", p.sink, err)
		case err != nil:
			away = append(away, strconv.Quote(p.sink))
		}
	}
	if refusal != nil || len(away) == 0 {
		return refusal
	}
	return sdk.Unavailablef("sink %s has not taken the datapoints, send them again", strings.Join(away, " and "))
}

// A parcel is the datapoints of one request on their way to one sink.
type parcel struct {
	batch  sdk.Batch
	sink   string
	result chan error // has room for the one result
}
