package fleet

import (
	"context"
	"errors"
	"sync"

	"fluxgate/sdk"
)

// A Change is a fleet's next set of plugins: those that are new or changed run
// already, beside the present ones. Either Commit or Abandon must be called,
// once.
type Change struct {
	Inputs []*Input // in the order of their specifications; the same as ever for a name that is known
	Sinks  []*Sink

	fleet *Fleet
	crews []crew
	steps []step
}

var errChanging = errors.New("another change of the plugins is under way")

// Prepare starts what is needed to have exactly the given plugins. A plugin
// whose Spec and program file are what they were keeps its process. The error
// names the plugins that cannot be started, and then nothing has changed: each
// input and required sink must, while of an optional sink only what a person
// must mend is an error. It is [sdk.ErrUnavailable] too while another Change is
// neither committed nor abandoned.
func (f *Fleet) Prepare(ctx context.Context, inputs, sinks []Spec) (*Change, error) {
	if !f.changing.CompareAndSwap(false, true) {
		return nil, sdk.Unavailablef("%w", errChanging)
	}
	c := &Change{fleet: f}
	for _, s := range inputs {
		i, known := f.lookup("input", s.Name).(*Input)
		if !known {
			i = f.newInput(s.Name)
		}
		c.Inputs, c.crews = append(c.Inputs, i), append(c.crews, i)
	}
	for _, s := range sinks {
		sink, known := f.lookup("sink", s.Name).(*Sink)
		if !known {
			sink = f.newSink(s.Name)
		}
		c.Sinks, c.crews = append(c.Sinks, sink), append(c.crews, sink)
	}
	specs := append(append([]Spec{}, inputs...), sinks...)
	c.steps = make([]step, len(specs))
	if err := each(c.crews, func(n int, crew crew) (err error) {
		c.steps[n], err = crew.replace(ctx, specs[n])
		return err
	}); err != nil {
		c.Abandon()
		return nil, err
	}
	return c, nil
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
		_, name := old.title()
		if c.fleet.lookup("input", name) == nil && c.fleet.lookup("sink", name) == nil {
			c.fleet.counters.forget(name)
		}
	}
}
