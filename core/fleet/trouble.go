package fleet

import (
	"errors"
	"log/slog"

	"fluxgate/sdk"
)

// announce logs that a process is open, with what an operator should know of it.
func (l *line[T]) announce(p *sdk.Process[T], spec sdk.Spec) {
	if spec.Attach != "" {
		slog.Warn("PLUGIN IS ATTACHED: its program is not checked, it is not started again when it ends, and not ended when it hangs",
			"plugin", l.name, "kind", l.kind, "at", spec.Attach, "pid", p.Pid())
	} else {
		slog.Info("plugin started", "plugin", l.name, "kind", l.kind, "program", spec.Path, "pid", p.Pid())
	}
	if p.Outdated() && l.outdated.CompareAndSwap(false, true) {
		slog.Warn("plugin speaks an old protocol, which goes away with the next: build it anew with this Fluxgate's sdk",
			"plugin", l.name, "kind", l.kind, "protocol", p.Protocol())
	}
}

// report logs why the plugin is not open, and keeps it. What a person must mend is
// told once, as it is.
func (l *line[T]) report(err error, d *deaths) {
	known := l.note(err)
	switch {
	case l.attached():
		if !l.setFailing(true) {
			slog.Error("attached plugin is not there", "plugin", l.name, "err", err)
		}
	case errors.Is(err, sdk.ErrInvalid):
		if d.failing() {
			l.setFailing(true)
		}
		if !known {
			slog.Warn("plugin is refused, and Fluxgate runs without it until that is mended", "plugin", l.name, "err", err)
		}
	case d.failing():
		l.setFailing(true)
		slog.Error("plugin is failing", "plugin", l.name, "deaths", d.streak, "err", err)
	default:
		slog.Warn("plugin is not running, it is started again", "plugin", l.name, "err", err)
	}
}

// note keeps why the plugin is not open, and reports whether that was so before.
// Nobody need wait any longer for what a person must mend.
func (l *line[T]) note(err error) (known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known = l.trouble != nil && l.trouble.Error() == err.Error()
	if l.trouble = err; errors.Is(err, sdk.ErrInvalid) {
		close(l.opened)
		l.opened = make(chan struct{})
	}
	return known
}

// setFailing notes whether the plugin is failing, and reports whether it was.
func (l *line[T]) setFailing(failing bool) (before bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, l.failing = l.failing, failing
	return before
}

func (l *line[T]) isFailing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failing
}

// attached reports whether the process is not the fleet's own.
func (l *line[T]) attached() bool { return l.fleet.attachedAt(l.kind, l.name) != "" }
