package main

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

func terminated(r *run) error {
	s, err := r.site(plan{sinks: []string{pickles, lines}, redis: true})
	if err != nil {
		return err
	}
	var longest time.Duration
	for range r.count(200, 5) {
		if err := r.wait(r.between(10*time.Millisecond, 300*time.Millisecond)); err != nil {
			return err
		}
		took, err := s.stop()
		if err != nil {
			return err
		}
		longest = max(longest, took)
		r.Runs++
		if _, err := s.begin(r.ctx); err != nil {
			return err
		}
	}
	return s.settleStops(longest)
}

// terminatedWaiting stops Fluxgate at its worst: every writer waits until Carbon,
// which reads nothing, has what it sent, Redis does not answer, and a sender has
// stopped in the middle of a request.
func terminatedWaiting(r *run) error {
	p := plan{sinks: []string{pickles, lines}, redis: true}
	p.load.header = http.Header{"X-Fluxgate-Ack": {"delivered"}}
	s, err := r.site(p)
	if err != nil {
		return err
	}
	var longest time.Duration
	for range r.count(20, 1) {
		took, err := s.stopAllWaiting()
		if err != nil {
			return err
		}
		longest = max(longest, took)
		r.Runs++
		if _, err := s.begin(r.ctx); err != nil {
			return err
		}
		if err := s.progress(500); err != nil {
			return err
		}
	}
	return s.settleStops(longest)
}

// stopAllWaiting has everything hang, stops Fluxgate, and has all be well again.
func (s *site) stopAllWaiting() (took time.Duration, err error) {
	if err := s.fakes[pickles].be(neverReads); err != nil {
		return 0, err
	}
	if err := s.allWait(); err != nil {
		return 0, err
	}
	s.proxy.swallow()
	defer s.proxy.release()
	half, err := net.Dial("tcp", s.listen)
	if err != nil {
		return 0, err
	}
	defer half.Close()
	if _, err := half.Write([]byte("POST /flux/metric_data_post HTTP/1.1\r\nHost: chaos\r\nContent-Length: 100\r\n\r\n{")); err != nil {
		return 0, err
	}
	if err := s.run.wait(100 * time.Millisecond); err != nil { // until it is read
		return 0, err
	}
	answered := s.load.full.Load()
	if took, err = s.stop(); err != nil {
		return took, err
	}
	if n := s.load.full.Load() - answered; n < int64(len(s.load.writers)) {
		s.breaks("of %d requests that waited %d were answered 503", len(s.load.writers), n)
	}
	return took, s.fakes[pickles].be(takes)
}

// allWait returns when every writer has a request under way, and has had none
// answered for a while that is longer than any that it pauses.
func (s *site) allWait() error {
	const quiet = time.Second
	seen, since := s.load.seen.Load(), time.Now()
	_, err := until(s.ctx, patience, "every writer waits for an answer", func() bool {
		if now := s.load.seen.Load(); now != seen {
			seen, since = now, time.Now()
		}
		return time.Since(since) > quiet
	})
	return err
}

// settleStops judges how long the stops took, and what senders saw of them.
func (s *site) settleStops(longest time.Duration) error {
	s.note("left after at most %.2f s", longest.Seconds())
	if longest > stopLimit {
		s.breaks("it left after %v", longest)
	}
	if err := s.progress(500); err != nil {
		return err
	}
	if err := s.settle(); err != nil {
		return err
	}
	s.tellFailures("connection refused", "connection reset", "EOF", "server closed idle connection", "broken pipe", "503")
	return nil
}

// tellFailures notes how many requests were sent again, and why. Kinds that are
// not allowed break the row.
func (s *site) tellFailures(allowed ...string) {
	failures := s.load.failures()
	var told []string
	for _, name := range slices.Sorted(maps.Keys(failures)) {
		told = append(told, fmt.Sprintf("%d %s", failures[name], name))
		if !slices.Contains(allowed, name) {
			s.breaks("%d requests failed: %s", failures[name], name)
		}
	}
	s.note("sent again: %s", strings.Join(told, ", "))
}
