package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"fluxgate/core/load"
)

// A sample is one load on one road, from its first request until the server has
// delivered everything and is at rest.
type sample struct {
	load.Result
	cpu       time.Duration // of the server and its plugins
	around    time.Duration // of the Redis or the Carbon
	delivered time.Duration // from the first request until the last datapoint was in the sinks
	peak      int64         // the most memory that each process had, added up
	pss       int64         // what the processes hold at the end of the load, shared pages counted once
	corePeak  int64         // that of the core alone
	anonymous int64         // what the core alone holds at the end, without the pages of files
}

// perMillion is the processor time, in seconds, for a million datapoints.
func (s sample) perMillion() float64 { return s.cpu.Seconds() / float64(s.Datapoints) * 1e6 }

// perRequest is the processor time, in microseconds, for a request.
func (s sample) perRequest() float64 { return s.cpu.Seconds() / float64(s.Requests) * 1e6 }

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

// sample puts a load on a server and returns what came of it.
func (b *bench) sample(ctx context.Context, s *server, flags []string) (out sample, err error) {
	before, err := s.used()
	if err != nil {
		return out, err
	}
	began := time.Now()
	if out.Result, err = b.send(ctx, s, flags); err != nil {
		return out, err
	}
	if err := s.weigh(&out); err != nil {
		return out, err
	}
	delivered, err := s.rest(ctx)
	if err != nil {
		return out, err
	}
	after, err := s.used()
	out.cpu, out.around, out.delivered = after.server-before.server, after.around-before.around, delivered.Sub(began)
	if s.program == direct && after.plugins-before.plugins > out.cpu/20 {
		return out, fmt.Errorf("plugins of the direct build used %v of %v: they are not called as functions", after.plugins-before.plugins, out.cpu)
	}
	return out, err
}

// weigh notes what memory a server holds, and has held.
func (s *server) weigh(out *sample) error {
	var errs [4]error
	out.pss, errs[0] = treeMemory(s.pid(), "smaps_rollup", "Pss")
	out.peak, errs[1] = treeMemory(s.pid(), "status", "VmHWM")
	out.corePeak, errs[2] = memoryOf(s.pid(), "status", "VmHWM")
	out.anonymous, errs[3] = memoryOf(s.pid(), "status", "RssAnon")
	return errors.Join(errs[:]...)
}

// A used is processor time.
type used struct{ server, plugins, around time.Duration }

// used returns the processor time of a server with its plugins, of those alone, and of
// what it speaks to.
func (s *server) used() (u used, err error) {
	if u.server, err = processorTime(tree(s.pid())...); err != nil {
		return u, err
	}
	if u.plugins, err = processorTime(tree(s.pid())[1:]...); err != nil {
		return u, err
	}
	for _, c := range []*child{s.redis, s.carbon} {
		if c != nil && err == nil {
			var one time.Duration
			one, err = processorTime(tree(c.pid())...)
			u.around += one
		}
	}
	return u, err
}

// compare puts the same load on several roads, in turns, after a first one that does
// not count. A road that cannot be measured is told in the section, and left out.
func (b *bench) compare(ctx context.Context, out *section, flags []string, roads []road, between ...func() error) {
	out.load = flags
	var open []*server
	for _, r := range roads {
		s, err := b.open(ctx, r)
		if err == nil {
			err = b.warm(ctx, s, flags)
		}
		if err != nil {
			out.fail(r.name, errors.Join(err, s.close()))
			continue
		}
		open = append(open, s)
	}
	for range b.rounds() {
		for _, s := range slices.Clone(open) {
			one, err := b.sample(ctx, s, flags)
			if err != nil {
				out.fail(s.road.name, err)
				open = slices.DeleteFunc(open, func(other *server) bool { return other == s })
				err = s.close()
			} else {
				out.add(s.road.name, one)
			}
			if err != nil {
				out.fail(s.road.name, err)
			}
		}
		for _, do := range between {
			if err := do(); err != nil {
				out.fail("in between", err)
			}
		}
	}
	for _, s := range open {
		if err := s.close(); err != nil {
			out.fail(s.road.name, err)
		}
	}
}

// warm puts a short load on a server.
func (b *bench) warm(ctx context.Context, s *server, flags []string) error {
	if _, err := b.send(ctx, s, append(slices.Clone(flags), "--duration", "500ms")); err != nil {
		return err
	}
	_, err := s.rest(ctx)
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
