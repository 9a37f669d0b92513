package main

import (
	"context"
	"errors"
	"fmt"
	"os"
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

// rest returns when a server does nothing any more and all that it has taken is
// delivered: what it had used by then, and when Carbon had taken the last datapoint, if
// there is a real one. It looks from outside: an answer would cost the server something.
func (s *server) rest(ctx context.Context, pids []int) (u used, delivered time.Time, err error) {
	const calmSpan = 200 * time.Millisecond
	var last time.Duration
	calm := time.Now()
	for deadline := time.Now().Add(5 * time.Minute); ; {
		if u, err = s.used(pids); err != nil {
			return u, delivered, fmt.Errorf("%w: %s", err, s.lastWords())
		}
		if u.server-last > tick {
			last, calm = u.server, time.Now()
		}
		sends, err := s.sends()
		if err != nil {
			return u, delivered, err
		}
		if sends {
			calm = time.Now()
			delivered = calm
		}
		if time.Since(calm) >= calmSpan {
			waits, err := s.waits(ctx)
			if err != nil || !waits {
				return u, delivered, err
			}
			calm = time.Now()
		}
		if time.Now().After(deadline) {
			return u, delivered, errors.New("it does not come to rest after its load")
		}
		if err := load.Pause(ctx, pollInterval); err != nil {
			return u, delivered, err
		}
	}
}

// sends reports whether a connection to a real Carbon is open. A sink closes it when
// Carbon has taken all.
func (s *server) sends() (bool, error) {
	if s.carbon == nil {
		return false, nil
	}
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return false, err
	}
	return connected(string(text), s.carbonPort), nil
}

// connected finds in the text of /proc/net/tcp whether a connection to a port is open,
// or half so.
func connected(text string, port int) bool {
	const timeWait, closed, listen = "06", "07", "0A"
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 4 || !strings.HasSuffix(words[2], fmt.Sprintf(":%04X", port)) {
			continue
		}
		if state := words[3]; state != timeWait && state != closed && state != listen {
			return true
		}
	}
	return false
}

// waits reports whether datapoints wait for a sink.
func (s *server) waits(ctx context.Context) (bool, error) {
	all, err := s.figures(ctx, "fluxgate_waiting_datapoints")
	return all[0] > 0, err
}

// A books is what a server has counted.
type books struct{ accepted, unchecked float64 }

func (s *server) books(ctx context.Context) (books, error) {
	all, err := s.figures(ctx, "fluxgate_datapoints_accepted_total", "fluxgate_datapoints_unchecked_total")
	return books{all[0], all[1]}, err
}

// settle compares what a server has counted with what was sent. What was judged without
// the ledger's store is noted.
func (s *server) settle(ctx context.Context, before books, out *sample) error {
	after, err := s.books(ctx)
	if err != nil || s.program == nothing {
		return err
	}
	out.unchecked = after.unchecked - before.unchecked
	if fresh := after.accepted - before.accepted; fresh != float64(out.Datapoints) {
		return fmt.Errorf("%v datapoints are fresh, %d were sent", fresh, out.Datapoints)
	}
	return nil
}

// figures returns figures of a server, zeros of the floor, which has none.
func (s *server) figures(ctx context.Context, names ...string) ([]float64, error) {
	all := make([]float64, len(names))
	if s.program == nothing {
		return all, nil
	}
	text, err := s.ask(ctx, "/metrics")
	if err != nil {
		return all, err
	}
	for i, name := range names {
		var found bool
		if all[i], found = figure(text, name); !found {
			return all, fmt.Errorf("it does not tell %s", name)
		}
	}
	return all, nil
}
