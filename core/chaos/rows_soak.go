package main

import (
	"slices"
	"syscall"
	"time"
)

func otherRows() []row {
	return []row{{"F33", "ten minutes of faults at random", "the books balance throughout; memory and descriptors stay flat", soak}}
}

// faults are what a soak draws from. Each ends what it does.
func faults(s *site) []func() error {
	m := func(m mood) func() error { return func() error { return inMood(m, 5*time.Second, time.Second)(s) } }
	signals := func(pid func() int) func() error {
		return func() error {
			id := pid()
			if err := syscall.Kill(id, syscall.SIGSTOP); err != nil {
				return err
			}
			if err := s.run.wait(3 * time.Second); err != nil {
				return err
			}
			_ = syscall.Kill(id, syscall.SIGCONT) // a plugin may have been replaced
			return nil
		}
	}
	plugin := func() int {
		plugins := children(s.pid())
		return plugins[s.rng.IntN(len(plugins))].pid
	}
	return []func() error{
		m(refuses), m(neverReads), m(drips), m(closes), m(blackHole),
		signals(func() int { return s.store.pid() }), signals(plugin),
		func() error { return syscall.Kill(plugin(), syscall.SIGKILL) },
		func() error { return s.store.do(s.ctx, "flushall") },
		func() error { s.proxy.cut(); return nil },
		func() error {
			s.proxy.swallow()
			defer s.proxy.release()
			return s.run.wait(3 * time.Second)
		},
		func() error {
			s.store.kill()
			if err := s.run.wait(2 * time.Second); err != nil {
				return err
			}
			return s.store.up(s.ctx)
		},
	}
}

func soak(r *run) error {
	if r.quick {
		return notRun("too long for the subset")
	}
	s, err := r.site(plan{sinks: []string{pickles, lines, files}, redis: true, load: shape{pause: 40 * time.Millisecond}})
	if err != nil {
		return err
	}
	s.unchecked = true // Redis is flushed now and then
	all := faults(s)
	for end := time.Now().Add(r.span(10*time.Minute, 30*time.Second)); time.Now().Before(end); {
		if err := all[r.rng.IntN(len(all))](); err != nil {
			return err
		}
		r.Runs++
		if err := r.wait(r.between(time.Second, 8*time.Second)); err != nil {
			return err
		}
	}
	if err := s.settle(); err != nil {
		return err
	}
	s.flat()
	return nil
}

// flat compares the last third of what was sampled with the one before. What
// grew there will grow for ever.
func (s *site) flat() {
	memory, open := s.watch.resident, s.watch.files
	if len(memory) < 30 {
		s.breaks("only %d samples of memory", len(memory))
		return
	}
	third := len(memory) / 3
	before, after := median(memory[third:2*third]), median(memory[2*third:])
	filesBefore, filesAfter := median(open[third:2*third]), median(open[2*third:])
	s.note("%d samples; memory %d MiB, then %d MiB; files %.0f, then %.0f", s.watch.samples, before>>20, after>>20, filesBefore, filesAfter)
	if after > before+before/5+(8<<20) {
		s.breaks("memory rose from %d to %d MiB", before>>20, after>>20)
	}
	if filesAfter > filesBefore+20 {
		s.breaks("descriptors rose from %v to %v", filesBefore, filesAfter)
	}
}

func median[T int64 | float64](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
