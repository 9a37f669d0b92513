// Package fleet keeps the plugin processes: found, started, watched, and
// started again when they die.
package fleet

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"fluxgate/sdk"
)

// A Setup is what all plugins of a fleet have in common.
type Setup struct {
	Folders      []string // where programs are looked for
	MessageLimit int      // largest message in either direction, in bytes

	Env      []string // of every program, as NAME=VALUE, besides what the sdk gives it
	Portable bool     // every call goes over gRPC, also where a plugin offers a data socket

	// Lock is a file that pins the checksum of every program, as [Lock] writes it.
	// It is read at each start of a plugin; while it does not exist it pins none.
	Lock string

	Relock string // the command line that writes that file anew

	// Attach tells of plugins that somebody else has started where they wait, as
	// [sdk.Spec.Attach] does. They are neither checked, nor started, nor ended.
	Attach map[Title]string
}

// A Title is what tells a plugin from every other.
type Title struct{ Kind, Name string }

// A Spec is one plugin as the operator configures it.
type Spec struct {
	Name     string
	Program  string // a path if it has a slash, else looked for in the folders
	Checksum string // sha256 in hexadecimal; empty: not looked at
	Config   map[string]any
	Optional bool // may be missing or refuse its settings without stopping the start
}

// A Fleet is the plugins of one server.
type Fleet struct {
	setup    Setup
	sockets  *socketDir
	counters counters
	changing atomic.Bool

	mu    sync.Mutex
	crews []crew
	jobs  []func(context.Context)     // what Run is to do, before it is called
	begin func(func(context.Context)) // does a job, once Run was called
}

// A crew is a plugin whatever its kind.
type crew interface {
	title() (kind, name string)
	required() bool
	isOpen() bool
	isUp() bool
	isFailing() bool
	open(context.Context) error
	try(ctx context.Context, connect bool) error
	replace(context.Context, Spec) (step, error)
	retire()
	configured() Spec
	report() Status
}

// New returns an empty fleet, with a folder of its own for sockets. Folders
// that servers which died have left are removed.
func New(setup Setup, metrics prometheus.Registerer) (*Fleet, error) {
	sweepSockets()
	sockets, err := makeSocketDir()
	if err != nil {
		return nil, err
	}
	f := &Fleet{setup: setup, sockets: sockets, counters: newCounters(metrics)}
	metrics.MustRegister(state{f})
	return f, nil
}

// Input adds an input plugin. It is always required.
func (f *Fleet) Input(s Spec) *Input {
	i := f.newInput(s.Name)
	i.add(s)
	f.enlist(i)
	return i
}

// Sink adds a sink plugin.
func (f *Fleet) Sink(s Spec) *Sink {
	sink := f.newSink(s.Name)
	sink.add(s)
	f.enlist(sink)
	return sink
}

// Resampler adds a resampler plugin, which is never required: no process of it
// runs until it is called.
func (f *Fleet) Resampler(s Spec) *Resampler {
	r := f.newResampler(s.Name)
	r.add(s)
	f.enlist(r)
	return r
}

func (f *Fleet) enlist(c crew) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.crews = append(f.crews, c)
}

// all returns the plugins.
func (f *Fleet) all() []crew {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.crews
}

// Open starts the required plugins. It returns an error, which names them, when
// some cannot work until a person mends something: the program is missing or
// not to be trusted, or refuses its settings. What may pass is left to Run, and
// so are the optional plugins. Of a resampler whose program cannot be started it
// warns.
func (f *Fleet) Open(ctx context.Context) error {
	return each(f.all(), func(_ int, c crew) error {
		if r, ok := c.(*Resampler); ok {
			r.forewarn()
		}
		if !c.required() {
			return nil
		}
		if err := c.open(ctx); errors.Is(err, sdk.ErrInvalid) {
			return err
		}
		return nil
	})
}

// each calls do for all crews at once, and joins the errors in their order.
func each(crews []crew, do func(int, crew) error) error {
	errs := make([]error, len(crews))
	var calls sync.WaitGroup
	for i, c := range crews {
		calls.Go(func() { errs[i] = do(i, c) })
	}
	calls.Wait()
	return errors.Join(errs...)
}

// Run keeps every plugin running until ctx ends, and then stops them all at
// once, within three seconds.
func (f *Fleet) Run(ctx context.Context) {
	var jobs sync.WaitGroup
	begin := func(job func(context.Context)) { jobs.Go(func() { job(ctx) }) }
	f.mu.Lock()
	for _, job := range f.jobs {
		begin(job)
	}
	f.jobs, f.begin = nil, begin
	f.mu.Unlock()
	<-ctx.Done()
	f.mu.Lock()
	f.begin = func(job func(context.Context)) { go job(ctx) } // it stops what comes too late
	f.mu.Unlock()
	jobs.Wait()
	f.sockets.remove()
}

// spawn has Run do a job.
func (f *Fleet) spawn(job func(context.Context)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.begin == nil {
		f.jobs = append(f.jobs, job)
		return
	}
	f.begin(job)
}

// Try starts every plugin once, beside any that run, and stops it again. With
// connect it asks each whether it would work now. The error names those that
// fail.
func (f *Fleet) Try(ctx context.Context, connect bool) error {
	defer f.sockets.remove()
	return each(f.all(), func(_ int, c crew) error { return c.try(ctx, connect) })
}

// Missing returns the names of the inputs and required sinks that are not open.
func (f *Fleet) Missing() (names []string) {
	for _, c := range f.all() {
		if c.required() && !c.isOpen() {
			_, name := c.title()
			names = append(names, name)
		}
	}
	return names
}
