package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
)

// maxLogLine is the longest line of a plugin's log that is kept whole, in bytes.
const maxLogLine = 16 << 10

// A relay logs each line written to it, as far as its throttle lets it pass: as
// the record it holds where it is slog's JSON, else as text. Longer lines than
// maxLogLine are cut.
type relay struct {
	log      *slog.Logger
	throttle *throttle

	mu   sync.Mutex
	line []byte
	cut  bool   // the rest of the line is thrown away
	last []byte // the last line, or the first of a panic
}

func newRelay(log *slog.Logger, t *throttle) *relay { return &relay{log: log, throttle: t} }

func (r *relay) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for rest := p; len(rest) > 0; {
		part, after, ended := bytes.Cut(rest, []byte("\n"))
		if room := maxLogLine - len(r.line); len(part) > room {
			part, r.cut = part[:room], true
		}
		r.line = append(r.line, part...)
		if ended {
			r.flush()
		}
		rest = after
	}
	return len(p), nil
}

func (r *relay) flush() {
	if len(bytes.TrimSpace(r.line)) > 0 {
		if !panics(r.last) {
			r.last = append(r.last[:0], r.line...)
		}
		r.pass()
	}
	r.line, r.cut = r.line[:0], false
}

// pass logs the line unless there are too many.
func (r *relay) pass() {
	if !r.throttle.admit() {
		return
	}
	level, message, args := parseLine(r.line)
	if r.cut {
		args = append(args, slog.Bool("cut", true))
	}
	r.log.LogAttrs(context.Background(), level, message, args...)
}

// panics reports whether a line is the first of what Go says when a program dies
// of an error in it.
func panics(line []byte) bool {
	return bytes.HasPrefix(line, []byte("panic: ")) || bytes.HasPrefix(line, []byte("fatal error: "))
}

// lastLine returns the line that tells most about the end of the process, cut for
// people to read.
func (r *relay) lastLine() string {
	const legible = 300 // bytes
	r.mu.Lock()
	defer r.mu.Unlock()
	_, text, attrs := parseLine(r.last)
	for _, a := range attrs {
		text += " " + a.String()
	}
	return cut(strings.TrimSpace(text), legible)
}

// parseLine reads a line of slog's JSON. Anything else is a message of its own.
func parseLine(line []byte) (slog.Level, string, []slog.Attr) {
	var (
		fields  map[string]any
		level   slog.Level
		message string
	)
	if json.Unmarshal(line, &fields) == nil {
		message, _ = fields[slog.MessageKey].(string)
	}
	if message == "" {
		return slog.LevelInfo, string(line), nil
	}
	if name, ok := fields[slog.LevelKey].(string); ok {
		_ = level.UnmarshalText([]byte(name)) // an odd level is logged as info
	}
	var attrs []slog.Attr
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if name != slog.MessageKey && name != slog.LevelKey && name != slog.TimeKey {
			attrs = append(attrs, slog.Any(name, fields[name]))
		}
	}
	return level, message, attrs
}
