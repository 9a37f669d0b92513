package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"fluxgate/core/load"
)

// A sample is one load on one road, from its first request until the server has
// delivered everything and is at rest.
type sample struct {
	load.Result
	cpu       time.Duration // of the server and its plugins
	around    time.Duration // of the Redis or the Carbon
	delivered time.Duration // from the first request until Carbon had taken the last datapoint; 0 without a real one
	unchecked float64       // datapoints judged without the ledger's store, which did not answer in time
	peak      int64         // the most memory that each process had, added up
	ever      bool          // the peaks are of all rounds up to this one
	pss       int64         // what the processes hold at the end of the load, shared pages counted once
	corePeak  int64         // the peak of the core alone
	anonymous int64         // what the core alone holds at the end, without the pages of files
}

// perMillion is the processor time, in seconds, for a million datapoints.
func (s sample) perMillion() float64 { return s.cpu.Seconds() / float64(s.Datapoints) * 1e6 }

// perRequest is the processor time, in microseconds, for a request.
func (s sample) perRequest() float64 { return s.cpu.Seconds() / float64(s.Requests) * 1e6 }

// sample returns what comes of a load on a server. It is an error when a plugin does not
// run, or another process of it runs after the load than before, since what has ended
// tells no more what it has used; and when not every datapoint was fresh.
func (s *server) sample(ctx context.Context, send func() (load.Result, error)) (out sample, err error) {
	pids, err := s.processes()
	if err != nil {
		return out, err
	}
	told, err := s.books(ctx)
	if err != nil {
		return out, err
	}
	out.ever = resetPeaks(pids) != nil
	before, err := s.used(pids)
	if err != nil {
		return out, err
	}
	if out.Result, err = send(); err != nil {
		return out, err
	}
	if err := s.weigh(pids, &out); err != nil {
		return out, err
	}
	after, delivered, err := s.rest(ctx, pids)
	if err != nil {
		return out, err
	}
	out.cpu, out.around = after.server-before.server, after.around-before.around
	if !delivered.IsZero() {
		out.delivered = delivered.Sub(out.Began)
	}
	if s.program == direct && after.plugins-before.plugins > out.cpu/20 {
		return out, fmt.Errorf("plugins of the direct build used %v of %v: they are not called as functions", after.plugins-before.plugins, out.cpu)
	}
	return out, errors.Join(s.settle(ctx, told, &out), s.still(pids))
}

// weigh notes what memory the processes of a server hold, and have held.
func (s *server) weigh(pids []int, out *sample) error {
	var errs [4]error
	out.pss, errs[0] = memory("smaps_rollup", "Pss", pids...)
	out.peak, errs[1] = memory("status", "VmHWM", pids...)
	out.corePeak, errs[2] = memory("status", "VmHWM", pids[0])
	out.anonymous, errs[3] = memory("status", "RssAnon", pids[0])
	return errors.Join(errs[:]...)
}

var pluginPattern = regexp.MustCompile(`plugin: ([a-z-]+)`)

// plugins returns the programs of the plugins that a road has.
func (r road) plugins() []string {
	if r.program == nothing {
		return nil
	}
	names := []string{"fluxgate-input-flux"}
	for _, found := range pluginPattern.FindAllStringSubmatch(r.settings, -1) {
		names = append(names, found[1])
	}
	return names
}

// processes returns those of a server, the core first.
func (s *server) processes() ([]int, error) {
	pids, err := tree(s.pid())
	if err != nil {
		return nil, err
	}
	var programs []string
	for _, pid := range pids[1:] {
		program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if err != nil {
			return nil, fmt.Errorf("a process has ended meanwhile: %w", err)
		}
		programs = append(programs, filepath.Base(program))
	}
	for _, name := range s.road.plugins() {
		if !slices.Contains(programs, name) {
			return nil, fmt.Errorf("the plugin %s does not run, there are %v", name, programs)
		}
	}
	return pids, nil
}

// still fails when the processes are not those of before.
func (s *server) still(before []int) error {
	after, err := s.processes()
	slices.Sort(after)
	if before = slices.Sorted(slices.Values(before)); err == nil && !slices.Equal(before, after) {
		err = fmt.Errorf("its processes were %v, and are %v: a plugin has been started again, see %s", before, after, s.log)
	}
	return err
}

// A used is processor time.
type used struct{ server, plugins, around time.Duration }

// used returns the processor time of a server with its plugins, of those alone, and of
// what it speaks to.
func (s *server) used(pids []int) (u used, err error) {
	if u.server, err = processorTime(pids...); err != nil {
		return u, err
	}
	if u.plugins, err = processorTime(pids[1:]...); err != nil {
		return u, err
	}
	for _, c := range []*child{s.redis, s.carbon} {
		if c != nil && err == nil {
			var one time.Duration
			one, err = processorTime(c.pid())
			u.around += one
		}
	}
	return u, err
}
