package main

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fluxgate/core/config"
	"fluxgate/core/delivery"
	"fluxgate/core/ledger"
	"fluxgate/core/populate"
	"fluxgate/core/populate/remote"
	"fluxgate/sdk"
)

// A workshop is the jobs, with the ways to the sinks, by their names.
type workshop struct {
	*populate.Populate
	sinks map[string]populate.Sink
}

// openJobs opens the jobs in the folder data.
func openJobs(c config.Config, last *ledger.Ledger, kept *delivery.Delivery, resamplers map[string]sdk.Resampler, metrics prometheus.Registerer) (*workshop, error) {
	w := &workshop{sinks: make(map[string]populate.Sink, len(c.Sinks))}
	for name := range c.Sinks {
		way, err := kept.Direct(name)
		if err != nil {
			return nil, err
		}
		w.sinks[name] = way
	}
	terms, err := w.terms(c, resamplers)
	if err != nil {
		return nil, err
	}
	w.Populate, err = populate.Open(filepath.Join(c.Data, "populate"), last, terms, metrics)
	return w, err
}

// terms returns what c says that jobs are to follow.
func (w *workshop) terms(c config.Config, resamplers map[string]sdk.Resampler) (t populate.Terms, err error) {
	p := c.Populate
	t = populate.Terms{
		Step: int64(p.Step / time.Second), Concurrency: p.Concurrency, Creates: p.Creates, Patience: p.Patience, Windows: p.Limits.Windows,
		Sink: sinking(p.Sink, w.sinks),
	}
	if t.Remote, err = remote.New(fetching(p)); err != nil {
		return t, err
	}
	if t.Own, err = openOwn(p); err != nil {
		return t, err
	}
	if t.Resampler, err = resampling(c, resamplers); err != nil {
		return t, err
	}
	t.Schema, err = schemasOf(c)
	return t, err
}

// sinking returns what finds the sink of a job: the one that is asked for, or
// without a name the usual one.
func sinking(usual string, sinks map[string]populate.Sink) func(name string) (populate.Sink, string, error) {
	return func(name string) (populate.Sink, string, error) {
		name = cmp.Or(name, usual)
		sink, ok := sinks[name]
		known := strings.Join(slices.Sorted(maps.Keys(sinks)), ", ")
		switch {
		case name == "":
			return nil, "", sdk.Invalidf("no sink is named: name one of %s, or set populate.sink", known)
		case !ok:
			return nil, "", sdk.Invalidf("there is no sink %q: it is one of %s", name, known)
		}
		return sink, name, nil
	}
}
