package fleet

import (
	"errors"
	"path/filepath"
	"strings"
	"time"

	"fluxgate/sdk"
)

// A State is how a plugin is.
type State string

// The states of a plugin.
const (
	Open          State = "open"
	Attached      State = "attached"       // open, in a process that is not the fleet's
	Starting      State = "starting"       // not open yet, or again
	Failing       State = "failing"        // it keeps dying, or is attached and not there
	Idle          State = "idle"           // a resampler that nobody needs
	Refused       State = "refused"        // until a person mends something
	Stopped       State = "stopped"        // it can be started, and no server runs
	NotConfigured State = "not configured" // a program that no plugin names
)

// A Status is what an operator should know of a plugin. It holds no setting's
// value but what Trouble may quote.
type Status struct {
	Kind     string        `json:"kind"`
	Name     string        `json:"name,omitempty"`
	Program  string        `json:"program"`
	Version  string        `json:"version,omitempty"`
	Protocol int           `json:"protocol,omitempty"`
	State    State         `json:"state"`
	Pid      int           `json:"pid,omitempty"`
	Uptime   int64         `json:"uptime,omitempty"` // seconds
	Restarts int64         `json:"restarts"`
	Checksum string        `json:"checksum,omitempty"` // of the program that runs: its sha256 in hexadecimal
	Trouble  string        `json:"trouble,omitempty"`
	Settings []sdk.Setting `json:"settings,omitzero"` // those that the plugin takes; nil: not known
}

// Report tells of each plugin how it is.
func (f *Fleet) Report() []Status {
	all := make([]Status, 0)
	for _, c := range f.all() {
		all = append(all, c.report())
	}
	return all
}

// status is [handle.report].
func (l *line[T]) status() Status {
	l.mu.Lock()
	seat, file := l.seat, l.file
	s := Status{
		Kind: l.kind, Name: l.name, Program: l.spec.Program, State: l.stateNow(),
		Version: l.says.Version, Protocol: l.says.Protocol, Settings: l.says.Settings, Restarts: l.again.Load(),
	}
	if l.trouble != nil {
		s.Trouble = l.trouble.Error()
	}
	l.mu.Unlock()
	if path, err := filepath.Abs(file.path); err == nil && file.path != "" && s.State != Attached {
		s.Program = path
	}
	if seat != nil && !seat.ended() {
		s.Pid, s.Uptime, s.Checksum = seat.Pid(), int64(time.Since(seat.since)/time.Second), seat.checksum(file)
		if file.replaced() && !l.attached() {
			s.Trouble = "another program is in its place since it was started: SIGHUP has the server start that"
		}
	}
	return s
}

// stateNow needs the line's lock.
func (l *line[T]) stateNow() State {
	open := l.seat != nil && !l.seat.ended()
	switch {
	case l.failing && !errors.Is(l.trouble, sdk.ErrInvalid):
		return Failing
	case open && l.attached():
		return Attached
	case open:
		return Open
	case errors.Is(l.trouble, sdk.ErrInvalid):
		return Refused
	default:
		return Starting
	}
}

// checksum returns the sha256 of the program that the process was started from,
// or "" if it cannot be told any more. It is read once for each process.
func (s *seat[T]) checksum(started file) string {
	s.summing.Lock()
	defer s.summing.Unlock()
	if started.pinned != "" {
		return strings.ToLower(started.pinned)
	}
	if s.sum == "" && !s.line.attached() && !started.replaced() {
		s.sum, _ = sumOf(started.path) // what cannot be read has no sum
		if started.replaced() {        // meanwhile
			s.sum = ""
		}
	}
	return s.sum
}
