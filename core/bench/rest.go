package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"fluxgate/core/load"
)

// figure adds up the figures of a name in the text of /metrics.
func figure(text, name string) (sum float64, found bool) {
	for line := range strings.Lines(text) {
		rest, is := strings.CutPrefix(line, name)
		if !is || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		words := strings.Fields(rest)
		if value, err := strconv.ParseFloat(words[len(words)-1], 64); err == nil {
			sum, found = sum+value, true
		}
	}
	return sum, found
}

// rest returns when all that a server has taken is delivered, and it does nothing any
// more: when that was, and what it had used by then.
func (s *server) rest(ctx context.Context) (delivered time.Time, err error) {
	const calmSpan, askEvery = 200 * time.Millisecond, 100 * time.Millisecond
	var used time.Duration
	var calm, asked time.Time
	for deadline := time.Now().Add(5 * time.Minute); ; {
		if delivered.IsZero() && time.Since(asked) > askEvery { // an answer costs the server something
			waits, err := s.waits(ctx)
			if err != nil {
				return delivered, err
			}
			if asked = time.Now(); !waits {
				delivered = asked
			}
		}
		now, err := processorTime(tree(s.pid())...)
		if err != nil {
			return delivered, fmt.Errorf("%w: %s", err, s.lastWords())
		}
		if now-used > tick || delivered.IsZero() {
			used, calm = now, time.Now()
		}
		if time.Since(calm) >= calmSpan {
			return delivered, nil
		}
		if time.Now().After(deadline) {
			return delivered, errors.New("it does not come to rest after its load")
		}
		if err := load.Pause(ctx, 20*time.Millisecond); err != nil {
			return delivered, err
		}
	}
}

// waits reports whether datapoints wait for a sink.
func (s *server) waits(ctx context.Context) (bool, error) {
	if s.program == nothing {
		return false, nil
	}
	text, err := s.ask(ctx, "/metrics")
	if err != nil {
		return false, err
	}
	n, found := figure(text, "fluxgate_waiting_datapoints")
	if !found {
		return false, errors.New("it does not tell what waits for its sinks")
	}
	return n > 0, nil
}
