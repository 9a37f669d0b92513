package main

import (
	"fmt"
	"slices"
	"time"
)

// underLoad returns a row's way: a site as planned, a calm while, the fault, and
// the books when that is over. What is checked at the end may look at how long
// answers took.
func underLoad(p plan, fault func(*site) error, checks ...func(*site, phases)) func(*run) error {
	return func(r *run) error {
		s, err := r.site(p)
		if err != nil {
			return err
		}
		var t phases
		t.calm = time.Now()
		if err := r.wait(r.span(3*time.Second, time.Second)); err != nil {
			return err
		}
		t.fault = time.Now()
		if err := fault(s); err != nil {
			return err
		}
		t.end = time.Now()
		if err := s.progress(500); err != nil {
			return err
		}
		if err := s.settle(); err != nil {
			return err
		}
		for _, check := range checks {
			check(s, t)
		}
		return nil
	}
}

// Phases are when a fault began and ended.
type phases struct{ calm, fault, end time.Time }

// times returns how long answers took that came before the fault, and those to
// requests that met it, both in ascending order. The load must have stopped.
func (t phases) times(l *load) (before, during []time.Duration) {
	for _, w := range l.writers {
		for _, a := range w.times {
			came := a.at.Add(a.took)
			switch {
			case a.at.After(t.calm) && came.Before(t.fault):
				before = append(before, a.took)
			case came.After(t.fault) && a.at.Before(t.end):
				during = append(during, a.took)
			}
		}
	}
	slices.Sort(before)
	slices.Sort(during)
	return before, during
}

// tellTimes notes how long answers took.
func tellTimes(s *site, t phases) {
	before, during := t.times(s.load)
	if len(during) == 0 {
		s.note("no answer during the fault")
		return
	}
	s.note("p99 %s before, %s during", short(quantile(before, 0.99)), short(quantile(during, 0.99)))
}

func short(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

// addedAtMost breaks a row when of a hundred answers during the fault more than
// one took so much longer than before.
func addedAtMost(limit time.Duration) func(*site, phases) {
	return func(s *site, t phases) {
		before, during := t.times(s.load)
		if added := quantile(during, 0.99) - quantile(before, 0.99); added > limit || len(during) == 0 {
			s.breaks("p99 was %v longer during the fault, with %d answers; at most %v is promised", added, len(during), limit)
		}
	}
}

// noFailure breaks a row when a sender had to try again.
func noFailure(s *site, _ phases) {
	for name, n := range s.load.failures() {
		s.breaks("%d requests failed: %s", n, name)
	}
}
