package main

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"time"

	"fluxgate/sdk"
)

// The sinks that a site may have. The names are those in the configuration.
const (
	pickles = "carbon"  // a fake Carbon that is sent pickles
	lines   = "lines"   // a fake Carbon that is sent lines
	cache   = "cache"   // a real carbon-cache, sent pickles
	files   = "whisper" // whisper files
)

// A plan is what a site is made of.
type plan struct {
	sinks    []string       // empty: pickles
	redis    bool           // behind a proxy that can be told to misbehave
	optional map[string]any // further sinks, which nobody settles
	settings map[string]any // of Fluxgate, besides
	load     shape          // what it says wins over the usual
	idle     bool           // Fluxgate is not started, nor a load
}

// A site is a Fluxgate with what is around it.
type site struct {
	*run
	plan
	*server
	dir   string
	load  *load
	watch *watch
	fakes map[string]*fakeCarbon
	real  *carbonCache
	store *redisServer
	proxy *proxy
	tree  string // of the whisper sink

	dead      sdk.Batch // acknowledged, and to end as dead letters
	unordered bool      // what is reordered is only reported
	unchecked bool      // the ledger's entries are not looked at
	foreign   string    // a prefix of names that others may send
	others    int       // datapoints that those sent
}

// site makes what p says and starts it.
func (r *run) site(p plan) (*site, error) {
	if len(p.sinks) == 0 {
		p.sinks = []string{pickles}
	}
	s := &site{run: r, plan: p, fakes: map[string]*fakeCarbon{}}
	if err := s.makeDir(); err != nil {
		return nil, err
	}
	sinks := map[string]any{}
	maps.Copy(sinks, p.optional)
	for _, name := range p.sinks {
		config, err := s.sink(name)
		if err != nil {
			return nil, err
		}
		sinks[name] = config
	}
	settings := map[string]any{"sinks": sinks}
	if p.redis {
		if err := s.addRedis(); err != nil {
			return nil, err
		}
		settings["redis"] = map[string]any{"address": s.proxy.address}
	}
	maps.Copy(settings, p.settings)
	var err error
	if s.server, err = newServer(r.bin, "fluxgate", s.dir, r.env, settings); err != nil {
		return nil, err
	}
	r.atEnd(s.server.kill)
	if p.idle {
		return s, nil
	}
	return s, s.open()
}

// makeDir gives the site a folder of its own: a run may have several sites.
func (s *site) makeDir() (err error) {
	s.dir, err = os.MkdirTemp(s.run.dir, "")
	s.tree = filepath.Join(s.dir, "tree")
	return err
}

// open starts Fluxgate and the load.
func (s *site) open() error {
	if _, err := s.begin(s.ctx); err != nil {
		return err
	}
	s.beginWatch()
	s.beginLoad()
	return s.progress(500)
}

func (s *site) beginWatch() {
	s.watch = watchServer(s.ctx, s.server)
	s.atEnd(func() { s.watch.end() })
}

// sink returns the configuration of a sink, and makes what it sends to.
func (s *site) sink(name string) (map[string]any, error) {
	program, config := "fluxgate-sink-pickle", map[string]any{}
	var err error
	switch name {
	case pickles:
		s.fakes[name], err = newFakeCarbon(readFrames)
	case lines:
		program = "fluxgate-sink-plaintext"
		s.fakes[name], err = newFakeCarbon(readLines)
	case cache:
		if s.real, err = s.run.startCarbon(s.dir); err == nil {
			config["address"] = s.real.pickle
		}
	case files:
		program, config = "fluxgate-sink-whisper", map[string]any{"path": s.tree, "retentions": "1s:2h"}
	}
	if fake := s.fakes[name]; fake != nil && err == nil {
		s.atEnd(func() { _ = fake.close() })
		config["address"] = fake.address
	}
	return map[string]any{"plugin": program, "config": config}, err
}

func (s *site) addRedis() (err error) {
	if s.store, err = s.run.startRedis(s.dir); err != nil {
		return err
	}
	s.proxy, err = newProxy(s.store.address)
	if err == nil {
		s.atEnd(s.proxy.close)
	}
	return err
}

// beginLoad starts writers.
func (s *site) beginLoad() {
	l := s.plan.load
	l.rng, l.prefix = s.rng, "chaos."+s.Row
	l.writers, l.metrics = or(l.writers, 8), or(l.metrics, 10)
	if l.pause == 0 {
		l.pause = 10 * time.Millisecond
	}
	if l.targets == nil {
		l.targets = []string{s.url()}
	}
	s.load = l.begin(s.ctx)
	s.atEnd(s.load.stop)
}

func or(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

func (s *server) url() string { return "http://" + s.listen + "/flux/metric_data_post" }

// progress returns when n more datapoints are acknowledged.
func (s *site) progress(n int) error {
	from := s.load.seen.Load()
	_, err := until(s.ctx, patience, fmt.Sprintf("%d datapoints acknowledged", n), func() bool {
		return s.load.seen.Load() >= from+int64(n) || s.load.wrong.Load() > 0
	})
	if n := s.load.wrong.Load(); n > 0 {
		return fmt.Errorf("%d sound requests are answered 4xx", n)
	}
	return err
}

// waiting returns how many datapoints wait for the sinks that are settled.
func (s *site) waiting() float64 {
	g, err := s.gauges(s.ctx)
	if err != nil {
		return math.NaN()
	}
	total := 0.0
	for _, name := range s.sinks {
		n, _ := g.sum("fluxgate_waiting_datapoints", fmt.Sprintf("sink=%q", name))
		total += n
	}
	return total
}
