package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

func crashRows() []row {
	return []row{
		{"F1", "kill -9 under load", "nothing is lost after a 2xx; the next start needs no hand", killed},
		{"F1", "kill -9 with 1 GiB waiting", "ready again within 2 s", killedWithMuchWaiting},
		{"F22", "kill -9, and what it leaves", "no plugin is left after 1 s, its sockets are swept by the next start", orphans},
		{"F23", "SIGTERM under load", "it leaves with 0 within 10 s", terminated},
		{"F23", "SIGTERM while a sink, Redis and a sender hang, and others wait for the sink", "it leaves with 0 within 10 s, and all who wait are answered", terminatedWaiting},
		{"F24", "SIGHUP under load", "no request fails; a bad configuration keeps the old one", reloaded},
	}
}

// killed kills Fluxgate at random moments, also while it starts, with sinks of
// every kind; at some of them Carbon has not acknowledged what it was sent.
func killed(r *run) error {
	const sites = 5
	kills, each := r.count(1000, 12), r.count(1000, 12)
	if !r.quick {
		each = max(1, kills/sites)
	}
	var ready []time.Duration
	for ; kills > 0; kills -= each {
		took, err := killSite(r, plan{sinks: []string{pickles, lines, files}, redis: true}, min(each, kills))
		ready = append(ready, took...)
		if err != nil {
			return err
		}
	}
	slices.Sort(ready)
	r.note("ready again after %s, at most %s", short(quantile(ready, 0.5)), short(quantile(ready, 1)))
	return nil
}

// killSite kills one Fluxgate again and again, and settles its books. The first
// sink of the plan must be a fake.
func killSite(r *run, p plan, kills int) (ready []time.Duration, err error) {
	s, err := r.site(p)
	if err != nil {
		return nil, err
	}
	for range kills {
		took, err := s.killOnce()
		if err != nil {
			return nil, err
		}
		ready = append(ready, took)
		r.Runs++
	}
	if err := s.progress(500); err != nil {
		return nil, err
	}
	return ready, s.settle()
}

func (s *site) killOnce() (ready time.Duration, err error) {
	m := []mood{takes, takes, takes, neverReads, refuses}[s.rng.IntN(5)]
	carbon := s.fakes[s.sinks[0]]
	if err := carbon.be(m); err != nil {
		return 0, err
	}
	if err := s.run.wait(s.between(20*time.Millisecond, 400*time.Millisecond)); err != nil {
		return 0, err
	}
	s.kill()
	if s.rng.IntN(10) == 0 { // once more, while it starts
		if err := s.start(); err != nil {
			return 0, err
		}
		if err := s.run.wait(s.between(0, 200*time.Millisecond)); err != nil {
			return 0, err
		}
		s.kill()
	}
	if err := carbon.be(takes); err != nil {
		return 0, err
	}
	return s.begin(s.ctx)
}

func killedWithMuchWaiting(r *run) error {
	s, err := r.site(plan{load: shape{metrics: 450, pad: 900, pause: time.Millisecond}, idle: true})
	if err != nil {
		return err
	}
	if err := s.fakes[pickles].be(refuses); err != nil {
		return err
	}
	if err := s.open(); err != nil {
		return err
	}
	size := int64(r.span(1<<30, 64<<20))
	if _, err := until(r.ctx, 5*time.Minute, fmt.Sprintf("%d MiB accepted", size>>20), func() bool {
		return s.load.seen.Load()*int64(s.load.pad) >= size
	}); err != nil {
		return err
	}
	s.load.stop()
	s.kill()
	r.Runs++
	took, err := s.begin(r.ctx)
	if err != nil {
		return err
	}
	s.note("%d MiB in the folder data, ready after %.2f s", folderSize(s.data)>>20, took.Seconds())
	if took > 2*time.Second {
		s.breaks("ready after %v", took)
	}
	if err := s.fakes[pickles].be(takes); err != nil {
		return err
	}
	return s.settle()
}

func orphans(r *run) error {
	s, err := r.site(plan{sinks: []string{pickles, lines, files}})
	if err != nil {
		return err
	}
	var longest time.Duration
	for range r.count(50, 3) {
		took, err := s.killAndLook()
		if err != nil {
			return err
		}
		longest = max(longest, took)
		r.Runs++
	}
	s.note("the last plugin left at most %s later", short(longest))
	return s.settle()
}

func (s *site) killAndLook() (left time.Duration, err error) {
	plugins := children(s.pid())
	if len(plugins) != 1+len(s.sinks) {
		return 0, fmt.Errorf("fluxgate has %d processes, want an input and %d sinks", len(plugins), len(s.sinks))
	}
	s.kill()
	left, err = until(s.ctx, time.Second, "no plugin is left", func() bool { return !slices.ContainsFunc(plugins, child.alive) })
	if err != nil {
		return 0, err
	}
	if _, err := s.begin(s.ctx); err != nil {
		return 0, err
	}
	folders, err := filepath.Glob(filepath.Join(s.dir, "fluxgate-tmp", "fluxgate-sockets-*"))
	if err != nil || len(folders) != 1 {
		return 0, fmt.Errorf("after the next start there are %d folders for sockets, want 1: %w", len(folders), err)
	}
	return left, s.progress(100)
}

var reloaded = underLoad(plan{sinks: []string{pickles, lines}, redis: true}, func(s *site) error {
	pid := s.pid()
	for i := range s.count(500, 12) {
		if err := s.reload(i); err != nil {
			return err
		}
		s.Runs++
	}
	if !s.running() || s.pid() != pid {
		return fmt.Errorf("fluxgate is another process than before")
	}
	return nil
}, noFailure, tellTimes)

// reload has Fluxgate read a configuration: of five a bad one, and some that
// change a sink's settings, so that its plugin is swapped.
func (s *site) reload(i int) error {
	key := fmt.Sprintf("reload%026d", i)
	s.config["keys"] = []any{map[string]any{"key": theKey}, map[string]any{"key": key}}
	s.config["sinks"].(map[string]any)[pickles].(map[string]any)["config"].(map[string]any)["timeout"] = fmt.Sprintf("%ds", 5+i/3%2)
	if i%5 == 4 {
		return s.reloadBad(key)
	}
	if err := s.configure(); err != nil {
		return err
	}
	if err := s.signal(syscall.SIGHUP); err != nil {
		return err
	}
	_, err := until(s.ctx, 10*time.Second, "the new key is admitted", func() bool { return s.admits(s.ctx, key) })
	return err
}

// reloadBad has Fluxgate read a configuration that also has a setting which there
// is not.
func (s *site) reloadBad(key string) error {
	s.config["nonsense"] = 1
	err := s.configure()
	delete(s.config, "nonsense")
	if err != nil {
		return err
	}
	if err := s.signal(syscall.SIGHUP); err != nil {
		return err
	}
	if err := s.run.wait(200 * time.Millisecond); err != nil {
		return err
	}
	if err := s.configure(); err != nil { // for the commands that come later
		return err
	}
	if s.admits(s.ctx, key) || !s.admits(s.ctx, theKey) {
		return fmt.Errorf("a bad configuration took effect")
	}
	return nil
}
