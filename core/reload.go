package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"fluxgate/core/config"
	"fluxgate/core/delivery"
	"fluxgate/core/fleet"
	"fluxgate/core/flow"
	"fluxgate/core/web"
	"fluxgate/sdk"
)

// A wish for another configuration comes as SIGHUP.
type wish struct {
	load   func() (config.Config, error)
	hangup <-chan os.Signal
}

// newWish has SIGHUP noted from now on: unnoted it would end the process.
func newWish(load func() (config.Config, error)) wish {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	return wish{load, hangup}
}

// A reloader gives a running server another configuration.
type reloader struct {
	wish
	current config.Config

	plugins *fleet.Fleet
	kept    *delivery.Delivery
	jobs    *workshop
	road    *flow.Flow
	door    *web.Door
}

// run reloads at each SIGHUP, until ctx ends. A configuration that is not sound
// changes nothing.
func (r *reloader) run(ctx context.Context) {
	for {
		select {
		case <-r.hangup:
			if err := r.reload(ctx); err != nil {
				slog.Error("the new configuration is refused, and the old one stays", "err", err)
				continue
			}
			slog.Info("reloaded")
		case <-ctx.Done():
			return
		}
	}
}

// reload checks the configuration whole, starts what is new in it, and then has
// the requests that come from now on use it.
func (r *reloader) reload(ctx context.Context) error {
	next, err := r.load()
	if err != nil {
		return err
	}
	if err := fixed(r.current, next); err != nil {
		return err
	}
	terms, _, err := admit(next)
	if err != nil {
		return err
	}
	change, err := r.plugins.Prepare(ctx, inputSpecs(next), sinkSpecs(next), resamplerSpecs(next))
	if err != nil {
		return err
	}
	jobs, err := r.jobs.terms(next, byName(next, change.Resamplers))
	if err != nil {
		change.Abandon()
		return err
	}
	change.Commit()
	r.jobs.Change(jobs)
	r.road.Admit(terms)
	r.door.Change(served(next, change.Inputs), limits(next))
	r.kept.Change(destinations(next, change.Sinks), next.Limits.Backfill)
	setLog(next.Log.Level)
	r.current = next
	return nil
}

// fixed refuses what a running server cannot change.
func fixed(current, next config.Config) error {
	var names []string
	for name, pair := range map[string][2]any{
		"listen":             {current.Listen, next.Listen},
		"admin":              {current.Admin, next.Admin},
		"data":               {current.Data, next.Data},
		"redis":              {current.Redis, next.Redis},
		"ledger":             {current.Ledger, next.Ledger},
		"limits.body":        {current.Limits.Body, next.Limits.Body},
		"limits.journal":     {current.Limits.Journal, next.Limits.Journal},
		"validate.max_ahead": {current.Validate.MaxAhead, next.Validate.MaxAhead},
		"plugins":            {current.Plugins, next.Plugins},
		"runtime":            {current.Runtime, next.Runtime},
		"the names of sinks": {
			slices.Sorted(maps.Keys(current.Sinks)), slices.Sorted(maps.Keys(next.Sinks)),
		},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return fmt.Errorf("%s: changed, which needs a restart: restart fluxgate, or change it back", strings.Join(names, ", "))
}

// inputSpecs returns the inputs of c, in the order of their names.
func inputSpecs(c config.Config) (specs []fleet.Spec) {
	for _, name := range slices.Sorted(maps.Keys(c.Inputs)) {
		in := c.Inputs[name]
		specs = append(specs, fleet.Spec{Name: name, Program: in.Plugin, Checksum: in.Checksum, Config: in.Config})
	}
	return specs
}

// sinkSpecs returns the sinks of c, in the order of their names.
func sinkSpecs(c config.Config) (specs []fleet.Spec) {
	for _, name := range slices.Sorted(maps.Keys(c.Sinks)) {
		s := c.Sinks[name]
		specs = append(specs, fleet.Spec{Name: name, Program: s.Plugin, Checksum: s.Checksum, Config: s.Config, Optional: !s.Required})
	}
	return specs
}

// resamplerSpecs returns the resamplers of c, in the order of their names.
func resamplerSpecs(c config.Config) (specs []fleet.Spec) {
	for _, name := range slices.Sorted(maps.Keys(c.Resamplers)) {
		r := c.Resamplers[name]
		specs = append(specs, fleet.Spec{Name: name, Program: r.Plugin, Checksum: r.Checksum, Config: r.Config})
	}
	return specs
}

// byName returns the resamplers of c, which are in the order of their names.
func byName(c config.Config, resamplers []*fleet.Resampler) map[string]sdk.Resampler {
	all := make(map[string]sdk.Resampler, len(resamplers))
	for i, name := range slices.Sorted(maps.Keys(c.Resamplers)) {
		all[name] = resamplers[i]
	}
	return all
}

// served joins the inputs of c, in the order of their names, with their routes.
func served(c config.Config, inputs []*fleet.Input) (all []web.Input) {
	for i, name := range slices.Sorted(maps.Keys(c.Inputs)) {
		all = append(all, web.Input{Input: inputs[i], Routes: c.Inputs[name].Routes})
	}
	return all
}

// destinations joins the sinks of c, in the order of their names, with their
// weights.
func destinations(c config.Config, sinks []*fleet.Sink) (all []delivery.Sink) {
	for i, name := range slices.Sorted(maps.Keys(c.Sinks)) {
		s := c.Sinks[name]
		all = append(all, delivery.Sink{Sink: sinks[i], Name: name, Required: s.Required, Rate: s.Rate})
	}
	return all
}
