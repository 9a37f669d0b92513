package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// twoInstances has each request sent to one of two Fluxgates, also when it is
// sent again, and kills them in turn. Both send to one Carbon, and share the ledger,
// whatever else is said of its mode: a local one is for a Fluxgate that is alone.
func twoInstances(r *run) error {
	r.env = append(slices.Clip(r.env), "FLUXGATE_LEDGER__MODE=shared")
	s, err := r.site(plan{redis: true, idle: true})
	if err != nil {
		return err
	}
	second, err := newServer(r.bin, "second", s.dir, r.env, map[string]any{"sinks": s.config["sinks"], "redis": s.config["redis"]})
	if err != nil {
		return err
	}
	r.atEnd(second.kill)
	if _, err := second.begin(r.ctx); err != nil {
		return err
	}
	watched := watchServer(r.ctx, second)
	s.unordered = true
	s.plan.load.targets = []string{s.url(), second.url()}
	if err := s.open(); err != nil {
		return err
	}
	both := []*server{s.server, second}
	backwards := s.watchLedger()
	for range r.count(40, 4) {
		one := both[r.rng.IntN(2)]
		if err := r.wait(r.between(100*time.Millisecond, 800*time.Millisecond)); err != nil {
			return err
		}
		one.kill()
		if _, err := one.begin(r.ctx); err != nil {
			return err
		}
		r.Runs++
	}
	if err := s.progress(500); err != nil {
		return err
	}
	s.Broken = append(s.Broken, backwards()...)
	s.Broken = append(s.Broken, watched.end()...)
	return s.settleBoth(second)
}

// settleBoth is settle, for two servers and the sum of their books.
func (s *site) settleBoth(second *server) error {
	s.load.stop()
	for _, one := range []*server{s.server, second} {
		if _, err := until(s.ctx, drainLimit, "nothing waits", func() bool {
			n := one.gauge(s.ctx, "fluxgate_waiting_datapoints", `sink="carbon"`)
			return !(n > 0)
		}); err != nil {
			return err
		}
	}
	s.Broken = append(s.Broken, s.watch.end()...)
	var sum diskBooks
	for _, one := range []*server{s.server, second} {
		if _, err := one.stop(); err != nil {
			s.breaks("%v", err)
		}
		books, broken := one.verify(s.ctx)
		s.Broken = append(s.Broken, broken...)
		sum = sum.plus(books)
	}
	if err := s.settleSinks(sum); err != nil {
		return err
	}
	return s.settleLedger()
}

// plus adds the books of another journal, reader by reader.
func (b diskBooks) plus(o diskBooks) diskBooks {
	if len(b.Logs) == 0 {
		return o
	}
	for i, l := range b.Logs {
		for j, r := range l.Readers {
			b.Logs[i].Readers[j] = r.plus(o.reader(l.Log, r.Reader))
		}
	}
	return b
}

func (b diskBooks) reader(log, reader string) (found readerBooks) {
	for _, l := range b.Logs {
		for _, r := range l.Readers {
			if l.Log == log && r.Reader == reader {
				return r
			}
		}
	}
	return found
}

func (r readerBooks) plus(o readerBooks) readerBooks {
	r.Accepted += o.Accepted
	r.Delivered += o.Delivered
	r.Dead += o.Dead
	r.Expired += o.Expired
	r.Damaged += o.Damaged
	r.Waiting += o.Waiting
	r.Imbalance += o.Imbalance
	return r
}

// watchLedger looks at Redis's entries again and again. The function that it
// returns ends that and says which moved back.
func (s *site) watchLedger() (end func() []string) {
	ctx, stop := context.WithCancel(s.ctx)
	told := make(chan []string)
	go func() {
		var back []string
		newest := map[string]int64{}
		for pause(ctx, 50*time.Millisecond) == nil {
			found, err := s.store.entries(ctx, s.firstNames())
			if err != nil {
				continue // the run is ending
			}
			for metric, at := range found {
				if at < newest[metric] {
					back = append(back, fmt.Sprintf("Redis moved back from %d to %d for %s", newest[metric], at, metric))
				}
				newest[metric] = at
			}
		}
		told <- back
	}()
	return func() []string {
		stop()
		return <-told
	}
}
