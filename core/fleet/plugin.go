package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fluxgate/sdk"
)

const (
	// patience is how long a call waits for a plugin that is being started.
	patience = time.Second

	// drainTimeout is how long a plugin may take over the calls under way when
	// the server stops.
	drainTimeout = 5 * time.Second

	// tryTimeout is how long a plugin may take to find out whether it would work.
	tryTimeout = 10 * time.Second
)

// A plugin is a process that is started again when it dies.
type plugin[T any] struct {
	kind     string
	spec     Spec
	fleet    *Fleet
	start    func(context.Context, sdk.Spec) (*sdk.Process[T], error)
	atOnce   bool // started again without delay, unless it is failing
	restarts prometheus.Counter

	mu      sync.Mutex
	process *sdk.Process[T] // nil: not open
	opened  chan struct{}   // closed when process is set
	started bool            // at least once
}

func newPlugin[T any](f *Fleet, kind string, s Spec, start func(context.Context, sdk.Spec) (*sdk.Process[T], error)) *plugin[T] {
	return &plugin[T]{
		kind: kind, spec: s, fleet: f, start: start,
		restarts: f.restarts.WithLabelValues(s.Name),
		opened:   make(chan struct{}),
	}
}

func (p *plugin[T]) name() string   { return p.spec.Name }
func (p *plugin[T]) required() bool { return !p.spec.Optional }

func (p *plugin[T]) isOpen() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.process != nil
}

// open starts the process.
func (p *plugin[T]) open(ctx context.Context) error {
	spec, err := p.fleet.spec(p.spec)
	if err != nil {
		return err
	}
	spec.Log = slog.With("plugin", p.spec.Name)
	process, err := p.start(ctx, spec)
	if err != nil {
		return err
	}
	slog.Info("plugin started", "plugin", p.spec.Name, "kind", p.kind, "program", spec.Path, "pid", process.Pid())
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started {
		p.restarts.Inc()
	}
	p.process, p.started = process, true
	close(p.opened)
	return nil
}

// try opens the process, has it look whether it would work, and stops it.
func (p *plugin[T]) try(ctx context.Context, connect bool) error {
	if err := p.open(ctx); err != nil {
		return err
	}
	process := p.current()
	defer p.stop(process)
	if !connect {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	if err := process.Check(ctx); err != nil {
		return fmt.Errorf("%s %q: %w", p.kind, p.spec.Name, err)
	}
	return nil
}

// keep starts the process, and again whenever it has died, until ctx ends. Then
// it stops it.
func (p *plugin[T]) keep(ctx context.Context) {
	deaths := newDeaths(p.atOnce)
	for ctx.Err() == nil {
		if err := p.live(ctx); err != nil && ctx.Err() == nil {
			deaths.add(time.Now())
			p.report(err, deaths)
			select {
			case <-ctx.Done():
			case <-time.After(deaths.delay()):
			}
		}
	}
	if process := p.current(); process != nil {
		p.stop(process)
	}
}

// live is one life of the process: it returns why it did not start or ended,
// or nil when ctx has.
func (p *plugin[T]) live(ctx context.Context) error {
	if p.current() == nil {
		if err := p.open(ctx); err != nil {
			return err
		}
	}
	if process := p.current(); process != nil { // else a call has found it dead
		select {
		case <-ctx.Done():
			return nil
		case <-process.Done():
			p.lose(process)
		}
	}
	return errors.New("the process has ended")
}

func (p *plugin[T]) report(err error, d *deaths) {
	if d.failing() {
		slog.Error("plugin is failing", "plugin", p.spec.Name, "deaths", d.streak, "err", err)
		return
	}
	slog.Warn("plugin is not running, it is started again", "plugin", p.spec.Name, "err", err)
}

func (p *plugin[T]) stop(process *sdk.Process[T]) {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := process.Stop(ctx); err != nil {
		slog.Warn("plugin did not close", "plugin", p.spec.Name, "err", err)
	}
	p.lose(process)
}

// lose notes that process is gone.
func (p *plugin[T]) lose(process *sdk.Process[T]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == process {
		p.process, p.opened = nil, make(chan struct{})
	}
}

func (p *plugin[T]) current() *sdk.Process[T] {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.process
}

// running returns the process, waiting a little for one that is being started.
func (p *plugin[T]) running(ctx context.Context) (*sdk.Process[T], error) {
	process, opened := p.living()
	if process != nil {
		return process, nil
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-opened:
		if process, _ := p.living(); process != nil {
			return process, nil
		}
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil, sdk.Unavailablef("plugin %q is not running", p.spec.Name)
}

// living returns the process unless it has ended, and what is closed when the
// next one is open.
func (p *plugin[T]) living() (process *sdk.Process[T], opened <-chan struct{}) {
	if process := p.current(); process != nil && ended(process) {
		p.lose(process)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.process, p.opened
}

func ended[T any](process *sdk.Process[T]) bool {
	select {
	case <-process.Done():
		return true
	default:
		return false
	}
}
