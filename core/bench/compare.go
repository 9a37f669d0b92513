package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"fluxgate/core/load"
)

// send puts a load on a server, as anybody can with `fluxgate bench`.
func (b *bench) send(ctx context.Context, s *server, flags []string) (r load.Result, err error) {
	args := append([]string{"bench", s.url, "--key", theKey, "--output", "json"}, flags...)
	cmd := exec.CommandContext(ctx, b.fluxgate(), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, failed := cmd.Output()
	if err := json.Unmarshal(out, &r); err != nil || failed != nil {
		return r, fmt.Errorf("fluxgate bench: %w: %s", errors.Join(failed, err), strings.TrimSpace(stderr.String()))
	}
	if len(r.Failures) > 0 || r.Statuses[204] != r.Requests {
		return r, fmt.Errorf("not every request was answered 204: %v, %v: %s%s", r.Statuses, r.Failures, r.Refusal, r.Why)
	}
	return r, nil
}

// known is how many metrics a contest has that is about those seen before.
const known = 16_000

// A contest is the same load on several roads.
type contest struct {
	flags   []string // of `fluxgate bench`
	span    string   // how long a round is, in words
	known   bool     // each metric has been seen before
	roads   []road
	between func() error // done after each round; nil: nothing
}

// compare puts the load on all roads in each round, in another order each time, after a
// first one that does not count. A road that cannot be measured is told in the section,
// and left out.
func (b *bench) compare(ctx context.Context, out *section, c contest) {
	out.load, out.rounds = c.flags, medians(b.rounds(), c.span)
	var open []*server
	for _, r := range c.roads {
		s, err := b.open(ctx, r)
		if err == nil {
			err = b.warm(ctx, s, c.flags)
		}
		if err != nil {
			out.fail(r.name, errors.Join(err, s.close()))
			continue
		}
		open = append(open, s)
		out.order = append(out.order, r.name)
	}
	for round := range b.rounds() {
		for _, s := range turned(open, round) {
			one, err := b.sample(ctx, s, c)
			if err != nil {
				out.fail(s.road.name, errors.Join(err, s.close()))
				open = slices.DeleteFunc(open, func(other *server) bool { return other == s })
				continue
			}
			out.add(s.road.name, one)
		}
		if c.between != nil {
			out.fail("in between", c.between())
		}
	}
	for _, s := range open {
		out.fail(s.road.name, s.close())
	}
}

// turned returns a list that begins one later for each round.
func turned[T any](list []T, round int) []T {
	if len(list) == 0 {
		return nil
	}
	first := round % len(list)
	return slices.Concat(list[first:], list[:first])
}

// sample puts the load of a contest on a server.
func (b *bench) sample(ctx context.Context, s *server, c contest) (sample, error) {
	flags := c.flags
	if c.known {
		b.prefixes++
		prefix := fmt.Sprintf("bench.known-%d", b.prefixes)
		if err := b.acquaint(ctx, s, prefix, known); err != nil {
			return sample{}, err
		}
		flags = append(slices.Clone(flags), "--prefix", prefix)
	}
	return s.sample(ctx, func() (load.Result, error) { return b.send(ctx, s, flags) })
}

// acquaintPart is how many metrics are in a request of those that make metrics known.
const acquaintPart = 250

// acquaint sends a first datapoint of each metric that a load with the prefix and so many
// names has, and returns when all that such a load sends from then on is fresh.
func (b *bench) acquaint(ctx context.Context, s *server, prefix string, names int) error {
	// Over one connection each metric gets one timestamp.
	_, err := b.send(ctx, s, []string{"--prefix", prefix, "--names", strconv.Itoa(names), "--metrics-per-request", strconv.Itoa(acquaintPart),
		"--connections", "1", "--requests", strconv.Itoa(names / acquaintPart)})
	if err != nil {
		return err
	}
	next := time.Unix(time.Now().Unix()+1, 0) // when the first timestamp of a load is a later one
	if err := s.calm(ctx); err != nil {
		return err
	}
	return load.Pause(ctx, time.Until(next))
}

// warm puts a short load on a server.
func (b *bench) warm(ctx context.Context, s *server, flags []string) error {
	if _, err := b.send(ctx, s, append(slices.Clone(flags), "--duration", "500ms")); err != nil {
		return err
	}
	return s.calm(ctx)
}

// calm returns when a server is at rest.
func (s *server) calm(ctx context.Context) error {
	pids, err := s.processes()
	if err != nil {
		return err
	}
	_, _, err = s.rest(ctx, pids)
	return err
}

func (b *bench) rounds() int {
	if b.quick {
		return 3
	}
	return 5
}

// duration is how long a load lasts.
func (b *bench) duration() string {
	if b.quick {
		return "1s"
	}
	return "3s"
}
