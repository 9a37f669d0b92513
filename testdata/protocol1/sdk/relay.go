package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
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
	cut  bool // the rest of the line is thrown away
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
	if len(bytes.TrimSpace(r.line)) > 0 && r.throttle.admit() {
		level, message, args := parseLine(r.line)
		if r.cut {
			args = append(args, slog.Bool("cut", true))
		}
		r.log.LogAttrs(context.Background(), level, message, args...)
	}
	r.line, r.cut = r.line[:0], false
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
