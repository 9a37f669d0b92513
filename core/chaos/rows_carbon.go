package main

import (
	"fmt"
	"net/http"
	"syscall"
	"time"
)

func carbonRows() []row {
	two := plan{sinks: []string{pickles, lines}}
	seen := two
	seen.redis = true
	asked := seen
	asked.load.header = http.Header{"X-Fluxgate-Ack": {"delivered"}}
	return []row{
		{"F7", "Carbon refuses", "what it misses waits, and is not recorded; the other sinks go on", underLoad(seen, carbonRefuses, tellTimes)},
		{"F8", "Carbon accepts and never reads", "nothing is counted as delivered, or recorded", underLoad(seen, carbonNeverReads, tellTimes)},
		{"F8", "the same, and senders ask for delivery", "no 2xx until it has read", underLoad(asked, nothingDelivered)},
		{"F8", "a real Carbon is stopped", "what it missed is in its files once it goes on", underLoad(plan{sinks: []string{cache}}, carbonStops, tellTimes)},
		{"F9", "Carbon resets after n bytes", "the whole batch again, with equal values", underLoad(two, carbonResets)},
		{"F10", "Carbon reads 64 kbit/s", "senders do not notice", underLoad(two, inMood(drips, 15*time.Second, 2*time.Second), tellTimes)},
		{"F10", "Carbon closes at once", "nothing is counted as delivered", underLoad(two, inMood(closes, 10*time.Second, 2*time.Second), tellTimes)},
		{"F12", "packets to Carbon are dropped", "it goes on when they pass again, and nothing piles up", underLoad(two, carbonVanishes, tellTimes)},
	}
}

// inMood puts Carbon into a mood for a while.
func inMood(m mood, full, quick time.Duration) func(*site) error {
	return func(s *site) error {
		s.Runs++
		if err := s.fakes[pickles].be(m); err != nil {
			return err
		}
		if err := s.run.wait(s.span(full, quick)); err != nil {
			return err
		}
		return s.fakes[pickles].be(takes)
	}
}

func carbonRefuses(s *site) error {
	s.Runs++
	before := len(s.fakes[lines].batch())
	if err := s.fakes[pickles].be(refuses); err != nil {
		return err
	}
	if err := s.run.wait(s.span(10*time.Second, 2*time.Second)); err != nil {
		return err
	}
	if len(s.fakes[lines].batch()) <= before {
		s.breaks("the sink lines took nothing while carbon refused")
	}
	if err := s.nothingEarly(); err != nil {
		return err
	}
	return s.fakes[pickles].be(takes)
}

// nothingEarly breaks a row when Redis has entries that are newer than what one
// of the sinks holds, all of which must be fakes. It looks at Redis first, so that
// what comes meanwhile is no matter.
func (s *site) nothingEarly() error {
	recorded, err := s.store.recorded(s.ctx, s.load.prefix+".")
	if err != nil {
		return err
	}
	if len(recorded) == 0 {
		s.breaks("Redis has no entry, although the sinks have taken datapoints")
	}
	early := map[string]string{}
	for _, name := range s.sinks {
		held := newestOf(s.fakes[name].batch())
		for metric, at := range recorded {
			if at > held[metric] {
				early[metric] = fmt.Sprintf("%s has %d in Redis, %d in %s", metric, at, held[metric], name)
			}
		}
	}
	s.note("recorded before delivered: %d of %d entries", len(early), len(recorded))
	for _, example := range early {
		s.breaks("recorded before delivered: %d of %d entries: %s", len(early), len(recorded), example)
		break
	}
	return nil
}

func carbonNeverReads(s *site) error {
	s.Runs++
	if err := s.fakes[pickles].be(neverReads); err != nil {
		return err
	}
	if err := s.run.wait(500 * time.Millisecond); err != nil { // what was under way may still end
		return err
	}
	before := s.gauge(s.ctx, "fluxgate_datapoints_taken_total", `sink="carbon"`)
	if err := s.run.wait(s.span(15*time.Second, 2*time.Second)); err != nil {
		return err
	}
	if now := s.gauge(s.ctx, "fluxgate_datapoints_taken_total", `sink="carbon"`); now != before {
		s.breaks("datapoints taken rose from %v to %v while carbon read nothing", before, now)
	}
	if err := s.nothingEarly(); err != nil {
		return err
	}
	return s.fakes[pickles].be(takes)
}

// nothingDelivered is for writers that ask that every sink has what they sent.
func nothingDelivered(s *site) error {
	s.Runs++
	if err := s.fakes[pickles].be(neverReads); err != nil {
		return err
	}
	if err := s.run.wait(500 * time.Millisecond); err != nil { // what was under way may still end
		return err
	}
	before := s.load.seen.Load()
	if err := s.run.wait(s.span(35*time.Second, 2*time.Second)); err != nil {
		return err
	}
	if now := s.load.seen.Load(); now != before {
		s.breaks("%d datapoints were acknowledged while carbon read nothing", now-before)
	}
	if err := s.nothingEarly(); err != nil {
		return err
	}
	return s.fakes[pickles].be(takes)
}

func carbonStops(s *site) error {
	s.Runs++
	if err := s.real.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if err := s.run.wait(s.span(15*time.Second, 2*time.Second)); err != nil {
		return err
	}
	return s.real.signal(syscall.SIGCONT)
}

// carbonResets resets three of four connections: two after any number of bytes up
// to a frame or two, and one when it has read all.
func carbonResets(s *site) error {
	n, carbon := 0, s.fakes[pickles]
	before := carbon.connections()
	if err := carbon.reset(func() int {
		switch n++; n % 4 {
		case 0:
			return -1
		case 1:
			return atTheEnd
		}
		return n * n * n % (64 << 10)
	}); err != nil {
		return err
	}
	if _, err := until(s.ctx, 10*time.Minute, "enough connections were reset", func() bool {
		return carbon.connections() >= before+s.count(200, 16)
	}); err != nil {
		return err
	}
	s.Runs += carbon.connections() - before
	return carbon.be(takes)
}

func carbonVanishes(s *site) error {
	before := s.gauge(s.ctx, "go_goroutines")
	if err := s.fakes[pickles].be(blackHole); err != nil {
		return err
	}
	if err := s.run.wait(s.span(15*time.Second, 2*time.Second)); err != nil {
		return err
	}
	s.Runs++
	after := s.gauge(s.ctx, "go_goroutines")
	s.note("goroutines %.0f before, %.0f during", before, after)
	if !(after < before+200) {
		s.breaks("goroutines rose from %v to %v", before, after)
	}
	return s.fakes[pickles].be(takes)
}
