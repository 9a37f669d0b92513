// Package fleet keeps the plugin processes: found, started, watched, and
// started again when they die.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"fluxgate/sdk"
)

// A Setup is what all plugins of a fleet have in common.
type Setup struct {
	Folders      []string // where programs are looked for
	MessageLimit int      // largest message in either direction, in bytes
}

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
	restarts *prometheus.CounterVec
	crews    []crew
}

// A crew is a plugin whatever its kind.
type crew interface {
	name() string
	required() bool
	open(context.Context) error
	try(ctx context.Context, connect bool) error
	keep(context.Context)
	isOpen() bool
}

// New returns an empty fleet, with a folder of its own for sockets. Folders
// that servers which died have left are removed.
func New(setup Setup, metrics prometheus.Registerer) (*Fleet, error) {
	sweepSockets()
	sockets, err := makeSocketDir()
	if err != nil {
		return nil, err
	}
	return &Fleet{setup: setup, sockets: sockets, restarts: promauto.With(metrics).NewCounterVec(prometheus.CounterOpts{
		Name: "fluxgate_plugin_restarts_total", Help: "Starts of a plugin after its process had died.",
	}, []string{"plugin"})}, nil
}

// Input adds an input plugin. It is always required.
func (f *Fleet) Input(s Spec) *Input {
	p := newPlugin(f, "input", s, sdk.StartInput)
	p.atOnce = true
	f.crews = append(f.crews, p)
	return &Input{p}
}

// Sink adds a sink plugin.
func (f *Fleet) Sink(s Spec) *Sink {
	p := newPlugin(f, "sink", s, sdk.StartSink)
	f.crews = append(f.crews, p)
	return &Sink{p}
}

// Open starts the required plugins. It returns an error, which names them, when
// some cannot work until a person mends something: the program is missing or
// not to be trusted, or refuses its settings. What may pass is left to Run, and
// so are the optional plugins.
func (f *Fleet) Open(ctx context.Context) error {
	errs := make([]error, len(f.crews))
	var starts sync.WaitGroup
	for i, c := range f.crews {
		if !c.required() {
			continue
		}
		starts.Go(func() {
			if err := c.open(ctx); errors.Is(err, sdk.ErrInvalid) {
				errs[i] = err
			}
		})
	}
	starts.Wait()
	return errors.Join(errs...)
}

// Run keeps every plugin running until ctx ends, and then stops them all.
func (f *Fleet) Run(ctx context.Context) {
	var crews sync.WaitGroup
	for _, c := range f.crews {
		crews.Go(func() { c.keep(ctx) })
	}
	crews.Wait()
	f.sockets.remove()
}

// Try starts every plugin once, beside any that run, and stops it again. With
// connect it asks each whether it would work now. The error names those that
// fail.
func (f *Fleet) Try(ctx context.Context, connect bool) error {
	defer f.sockets.remove()
	errs := make([]error, len(f.crews))
	var tries sync.WaitGroup
	for i, c := range f.crews {
		tries.Go(func() { errs[i] = c.try(ctx, connect) })
	}
	tries.Wait()
	return errors.Join(errs...)
}

// Missing returns the names of the inputs and required sinks that are not open.
func (f *Fleet) Missing() (names []string) {
	for _, c := range f.crews {
		if c.required() && !c.isOpen() {
			names = append(names, c.name())
		}
	}
	return names
}

// spec returns how to start a plugin, or an error wrapping [sdk.ErrInvalid].
func (f *Fleet) spec(s Spec) (sdk.Spec, error) {
	path, err := find(s.Program, f.setup.Folders)
	if err != nil {
		return sdk.Spec{}, fmt.Errorf("plugin %q: %w", s.Name, err)
	}
	return sdk.Spec{
		Name: s.Name, Path: path, Checksum: s.Checksum, Config: s.Config,
		SocketDir: f.sockets.path, MessageLimit: f.setup.MessageLimit,
	}, nil
}
