package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"fluxgate/sdk"
)

const drainLimit = 3 * time.Minute

// settle stops the load, lets the sinks take what waits, stops Fluxgate, and
// settles the books three ways.
func (s *site) settle() error {
	s.load.stop()
	took, err := until(s.ctx, drainLimit, "nothing waits", func() bool { return s.waiting() == 0 })
	if err != nil {
		return err
	}
	if took > 5*time.Second {
		s.note("drained in %.1fs", took.Seconds())
	}
	if err := s.leave(); err != nil {
		s.breaks("%v", err)
	}
	s.Broken = append(s.Broken, s.watch.end()...)
	if refused := s.load.refused(); len(refused) > 0 {
		s.breaks("%d requests answered %s, though they were sound", len(refused), refused[0])
	}
	books, broken := s.verify(s.ctx)
	s.Broken = append(s.Broken, broken...)
	if err := s.settleSinks(books); err != nil {
		return err
	}
	return s.settleLedger()
}

const stopLimit = 10 * time.Second

// leave stops Fluxgate as an operator does.
func (s *site) leave() error {
	took, err := s.stop()
	if err == nil && took > stopLimit {
		err = fmt.Errorf("it left after %v, and may take %v", took, stopLimit)
	}
	return err
}

// settleSinks compares what each sink holds with what was sent.
func (s *site) settleSinks(books diskBooks) error {
	acknowledged, indeterminate, attempted := s.load.sent()
	var sum settlement
	for _, name := range s.sinks {
		held, err := s.held(name, acknowledged)
		if err != nil {
			return err
		}
		one := settle(acknowledged, indeterminate, held)
		for _, b := range one.judge(s.unordered) {
			s.breaks("%s: %s", name, b)
		}
		if len(books.Logs) > 0 {
			took := len(held) + s.others
			if name == files || name == cache { // it has one of those that it took twice, after they were sent again
				took += attempted - len(acknowledged) - len(indeterminate)
			}
			s.Broken = append(s.Broken, books.agree(count{
				sink: name, acknowledged: len(acknowledged), attempted: attempted + len(s.dead) + s.others,
				held: took, dead: len(s.dead),
			})...)
		}
		one.Acknowledged, one.Indeterminate = 0, 0 // they are the same for each sink
		sum.add(one)
	}
	sum.Acknowledged, sum.Indeterminate = len(acknowledged), len(indeterminate)
	s.settlement.add(sum)
	if len(acknowledged) == 0 {
		s.breaks("nothing was acknowledged, so nothing is proven")
	}
	return nil
}

// judge is broken, unless order is only reported.
func (s settlement) judge(unordered bool) []string {
	if unordered {
		s.Reordered = 0
	}
	return s.broken()
}

// held returns what a sink holds.
func (s *site) held(name string, acknowledged sdk.Batch) (sdk.Batch, error) {
	switch name {
	case files:
		return readTree(s.ctx, s.tree)
	case cache:
		return s.real.await(s.ctx, acknowledged)
	}
	fake := s.fakes[name]
	if err := fake.be(takes); err != nil {
		return nil, err
	}
	for _, what := range fake.unread() {
		s.breaks("%s: %s", name, what)
	}
	all := fake.batch()
	if s.foreign == "" {
		return all, nil
	}
	own := slices.DeleteFunc(slices.Clone(all), func(d sdk.Datapoint) bool { return strings.HasPrefix(d.Metric, s.foreign) })
	s.others = len(all) - len(own)
	return own, nil
}

// settleLedger compares Redis with the newest datapoint of each metric.
func (s *site) settleLedger() error {
	if s.store == nil || s.unchecked {
		return nil
	}
	acknowledged, indeterminate, _ := s.load.sent()
	behind, ahead, err := s.store.compare(s.ctx, newestOf(acknowledged), newestOf(slices.Concat(acknowledged, indeterminate)))
	if err != nil {
		return err
	}
	if len(behind) > 0 {
		s.breaks("Redis is behind for %d metrics: %s", len(behind), behind[0])
	}
	if len(ahead) > 0 {
		s.breaks("Redis is ahead for %d metrics: %s", len(ahead), ahead[0])
	}
	return nil
}

func newestOf(b sdk.Batch) map[string]int64 {
	newest := map[string]int64{}
	for _, d := range b {
		newest[d.Metric] = max(newest[d.Metric], d.Timestamp)
	}
	return newest
}
