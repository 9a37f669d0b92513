package main

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// added is what a request may take longer when Redis does not answer.
const added = 50 * time.Millisecond

func redisRows() []row {
	with := plan{redis: true}
	return []row{
		{"F14", "Redis is down at start, later, and flaps", "requests are taken all the same; its entries are caught up with", redisDown},
		{"F15", "Redis is full, read-only, without replicas, forbids, or loads", "as F14", underLoad(with, redisRefuses, addedAtMost(added), tellTimes)},
		{"F16", "Redis hangs, or is slow", "a request takes at most 50 ms longer", underLoad(with, redisHangs, addedAtMost(added), tellTimes)},
		{"F17", "Redis is flushed", "duplicates perhaps, no loss", underLoad(with, redisFlushed, tellTimes)},
		{"F25", "entries of the year 2100 in Redis", "they count as absent, and are replaced", redisAhead},
		{"F29", "two instances on one Redis, killed in turn", "each datapoint at least once; the ledger never moves back", twoInstances},
	}
}

func redisDown(r *run) error {
	s, err := r.site(plan{redis: true, idle: true})
	if err != nil {
		return err
	}
	s.store.kill()
	if err := s.open(); err != nil {
		return err
	}
	if n := s.gauge(s.ctx, "fluxgate_datapoints_unchecked_total"); !(n > 0) {
		s.breaks("fluxgate_datapoints_unchecked_total is %v with Redis down", n)
	}
	for i := range r.count(20, 3) {
		r.Runs++
		if err := s.store.up(r.ctx); err != nil {
			return err
		}
		if err := r.wait(r.between(500*time.Millisecond, 1500*time.Millisecond)); err != nil {
			return err
		}
		s.store.kill()
		if i == 0 {
			s.proxy.cut()
		}
		if err := r.wait(r.between(500*time.Millisecond, 1500*time.Millisecond)); err != nil {
			return err
		}
	}
	if err := s.store.up(r.ctx); err != nil {
		return err
	}
	if err := s.progress(500); err != nil {
		return err
	}
	return s.settle()
}

func redisRefuses(s *site) error {
	for _, fault := range []struct{ do, undo []any }{
		{[]any{"config", "set", "maxmemory", "1"}, []any{"config", "set", "maxmemory", "0"}},
		{[]any{"replicaof", "127.0.0.1", "1"}, []any{"replicaof", "no", "one"}},
		{[]any{"config", "set", "min-replicas-to-write", "1"}, []any{"config", "set", "min-replicas-to-write", "0"}},
		{[]any{"acl", "setuser", "default", "-@write", "-@scripting"}, []any{"acl", "setuser", "default", "+@all"}},
		{[]any{"acl", "setuser", "default", "-@read", "-@write", "-@scripting"}, []any{"acl", "setuser", "default", "+@all"}},
	} {
		s.Runs++
		if err := s.store.do(s.ctx, fault.do...); err != nil {
			return fmt.Errorf("%v: %w", fault.do, err)
		}
		if err := s.run.wait(s.span(4*time.Second, time.Second)); err != nil {
			return err
		}
		if err := s.store.do(s.ctx, fault.undo...); err != nil {
			return fmt.Errorf("%v: %w", fault.undo, err)
		}
	}
	return redisLoads(s)
}

// redisLoads kills Redis and has it take long over loading what it has, which
// another few thousand entries see to.
func redisLoads(s *site) error {
	s.Runs++
	fill := s.store.client.Pipeline()
	for i := range 6000 {
		fill.Set(s.ctx, fmt.Sprint("filler", i), strings.Repeat("x", 100), 0)
	}
	if _, err := fill.Exec(s.ctx); err != nil {
		return err
	}
	if err := s.store.rewrite(s.ctx); err != nil {
		return err
	}
	s.store.kill()
	if err := s.store.startLoading(s.ctx, time.Millisecond); err != nil {
		return err
	}
	if err := s.run.wait(s.span(4*time.Second, time.Second)); err != nil {
		return err
	}
	if !s.store.loads(s.ctx) {
		return errors.New("redis has loaded too early for the row")
	}
	if err := s.store.do(s.ctx, "config", "set", "key-load-delay", "0"); err != nil {
		return err
	}
	if err := s.store.await(s.ctx, "ready", func() error { return s.store.client.Ping(s.ctx).Err() }); err != nil {
		return err
	}
	return s.recordsAgain()
}

// recordsAgain measures how long it takes until entries move on.
func (s *site) recordsAgain() error {
	newest := func() (at int64, err error) {
		found, err := s.store.recorded(s.ctx, s.load.prefix+".")
		for _, one := range found {
			at = max(at, one)
		}
		return at, err
	}
	before, err := newest()
	if err != nil {
		return err
	}
	took, err := until(s.ctx, 10*time.Second, "entries move on", func() bool {
		_ = s.run.wait(50 * time.Millisecond) // Redis is not to be kept busy by this; until sees why it ended
		now, err := newest()
		return err == nil && now > before
	})
	s.note("recorded again %.1f s after Redis was ready", took.Seconds())
	return err
}

func redisHangs(s *site) error {
	long := s.span(5*time.Second, time.Second)
	calm := func() error { return s.run.wait(s.span(2*time.Second, 500*time.Millisecond)) }
	for _, fault := range []struct{ do, undo func() error }{
		{
			func() error { return s.store.do(s.ctx, "client", "pause", long.Milliseconds(), "all") },
			func() error { return nil },
		},
		{
			func() error { return s.store.signal(syscall.SIGSTOP) },
			func() error { return s.store.signal(syscall.SIGCONT) },
		},
		{
			func() error { s.proxy.swallow(); return nil },
			func() error { s.proxy.release(); return nil },
		},
		{
			func() error { s.proxy.slow(200 * time.Millisecond); return nil },
			func() error { s.proxy.slow(0); return nil },
		},
	} {
		s.Runs++
		if err := fault.do(); err != nil {
			return err
		}
		if err := s.run.wait(long); err != nil {
			return err
		}
		if err := fault.undo(); err != nil {
			return err
		}
		if err := calm(); err != nil {
			return err
		}
	}
	return nil
}

func redisFlushed(s *site) error {
	s.unchecked = true // metrics that are sent no more have no entry afterwards
	for range s.count(30, 4) {
		s.Runs++
		if err := s.store.do(s.ctx, "flushall"); err != nil {
			return err
		}
		if err := s.run.wait(s.between(100*time.Millisecond, 600*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

// redisAhead is what can be seen of clocks from outside.
func redisAhead(r *run) error {
	s, err := r.site(plan{redis: true, idle: true})
	if err != nil {
		return err
	}
	const year2100 = 4102444800
	for _, name := range s.firstNames() {
		entry := fmt.Sprintf("[%d, 1.0]", year2100)
		field := fmt.Sprintf("{'timestamp': %d, 'value': 1.0}", year2100)
		if err := s.store.do(r.ctx, "set", stringPrefix+name, entry); err != nil {
			return err
		}
		if err := s.store.do(r.ctx, "hset", hashEntry, name, field); err != nil {
			return err
		}
	}
	r.Runs++
	if err := s.open(); err != nil {
		return err
	}
	s.note("a clock that jumps is for the unit tests of core/ledger and core/flow")
	if err := r.wait(time.Second); err != nil {
		return err
	}
	return s.settle()
}

// firstNames returns the metrics that the load of the usual size begins with.
func (s *site) firstNames() (names []string) {
	for w := range 8 {
		for m := range 10 {
			names = append(names, fmt.Sprintf("chaos.%s.w%d.r0.m%d", s.Row, w, m))
		}
	}
	return names
}
