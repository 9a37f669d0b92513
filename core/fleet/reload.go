package fleet

import (
	"context"
	"errors"
	"slices"
	"sync"

	"fluxgate/sdk"
)

// A Change is a fleet's next set of plugins: those that are new or changed run
// already, beside the present ones. Either Commit or Abandon must be called,
// once.
type Change struct {
	Inputs     []*Input // in the order of their specifications; the same as ever for a name that is known
	Sinks      []*Sink
	Resamplers []*Resampler

	fleet *Fleet
	crews []crew
	specs []Spec // of crews
	steps []step
}

var errChanging = errors.New("another change of the plugins is under way")

// Prepare starts what is needed to have exactly the given plugins. A plugin
// whose Spec and program file are what they were keeps its process, as does a
// resampler that has none. The error names the plugins that cannot be started,
// and then nothing has changed: each input and required sink must, while of an
// optional sink and a resampler only what a person must mend is an error. It is
// [sdk.ErrUnavailable] too while another Change is neither committed nor
// abandoned.
func (f *Fleet) Prepare(ctx context.Context, inputs, sinks, resamplers []Spec) (*Change, error) {
	if !f.changing.CompareAndSwap(false, true) {
		return nil, sdk.Unavailablef("%w", errChanging)
	}
	c := &Change{fleet: f}
	c.Inputs = take(c, "input", inputs, f.newInput)
	c.Sinks = take(c, "sink", sinks, f.newSink)
	c.Resamplers = take(c, "resampler", resamplers, f.newResampler)
	c.steps = make([]step, len(c.crews))
	if err := each(c.crews, func(n int, crew crew) (err error) {
		c.steps[n], err = crew.replace(ctx, c.specs[n])
		return err
	}); err != nil {
		c.Abandon()
		return nil, err
	}
	return c, nil
}

// take adds the plugins of a kind to a change. Those whose names are new are
// made.
func take[T crew](c *Change, kind string, specs []Spec, make func(name string) T) (all []T) {
	for _, s := range specs {
		plugin, known := c.fleet.lookup(kind, s.Name).(T)
		if !known {
			plugin = make(s.Name)
		}
		all, c.crews, c.specs = append(all, plugin), append(c.crews, plugin), append(c.specs, s)
	}
	return all
}

// lookup returns a plugin, or nil.
func (f *Fleet) lookup(kind, name string) crew {
	for _, c := range f.all() {
		if k, n := c.title(); k == kind && n == name {
			return c
		}
	}
	return nil
}

// Commit has every later call go to the new processes. The old ones, and the
// plugins that are no longer named, finish the calls under way in the
// background, are drained and stopped.
func (c *Change) Commit() {
	c.each(func(s step) func() { return s.commit })
	c.fleet.mu.Lock()
	before := c.fleet.crews
	c.fleet.crews = c.crews
	c.fleet.mu.Unlock()
	for _, old := range before {
		if kind, name := old.title(); c.fleet.lookup(kind, name) == nil {
			old.retire()
		}
	}
	c.forget(before)
	c.fleet.changing.Store(false)
}

// Abandon stops what was started for the change.
func (c *Change) Abandon() {
	c.each(func(s step) func() { return s.abandon })
	c.forget(c.crews)
	c.fleet.changing.Store(false)
}

// each does its part of every step at once.
func (c *Change) each(part func(step) func()) {
	var parts sync.WaitGroup
	for _, s := range c.steps {
		if do := part(s); do != nil {
			parts.Go(do)
		}
	}
	parts.Wait()
}

// forget removes what was counted of those crews whose names the fleet has not.
func (c *Change) forget(crews []crew) {
	for _, old := range crews {
		if _, name := old.title(); !slices.ContainsFunc(c.fleet.all(), func(c crew) bool { _, n := c.title(); return n == name }) {
			c.fleet.counters.forget(name)
		}
	}
}
