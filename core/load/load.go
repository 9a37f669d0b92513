// Package load sends datapoints to a Flux, old or new, and measures how it
// answers. Every datapoint is fresh: each connection has metrics of its own, whose
// timestamps rise within the last hour.
package load

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Config is what is sent, and how.
type Config struct {
	URL    string // of the server; without a path, that of Flux is meant. Its user and password are sent
	Key    string
	Method string // GET or POST

	// Rate is how many requests are scheduled in a second, at fixed times, whatever
	// becomes of those before them: an open loop. With 0 it is a closed one: each
	// connection sends the next request when it has its answer.
	Rate        float64
	Connections int // at most so many requests are under way
	Duration    time.Duration
	Requests    int // the most that are sent; 0: as many as Duration allows, which may be 0 otherwise

	PerRequest int           // metrics; a GET has one
	Names      int           // distinct metrics; rounded up so that each connection has whole requests of its own
	Prefix     string        // what their names begin with; empty: a new one, which no run has had
	Timeout    time.Duration // of a connection, and of an answer
	Roots      *x509.CertPool
}

// Check returns what is wrong with c.
func (c Config) Check() error {
	switch {
	case c.Method != http.MethodGet && c.Method != http.MethodPost:
		return fmt.Errorf("method %q: must be get or post", c.Method)
	case c.PerRequest < 1:
		return fmt.Errorf("%d metrics in a request: must be at least 1", c.PerRequest)
	case c.Method == http.MethodGet && c.PerRequest > 1:
		return fmt.Errorf("%d metrics in a request: a GET holds one, use the method post", c.PerRequest)
	case !(c.Rate >= 0 && c.Rate <= 1e7):
		return fmt.Errorf("rate %v: must be 0 to ten million requests a second", c.Rate)
	case c.Connections < 1 || c.Connections > 20_000:
		return fmt.Errorf("%d connections: must be 1 to 20000", c.Connections)
	case c.Names < c.Connections*c.PerRequest || c.Names > maxNames:
		return fmt.Errorf("%d metrics are too few or too many: with %d connections and %d metrics in a request, there must be %d to %d: give more names or fewer connections",
			c.Names, c.Connections, c.PerRequest, c.Connections*c.PerRequest, maxNames)
	case c.Duration < 0 || c.Requests < 0 || c.Duration == 0 && c.Requests == 0:
		return errors.New("it would never end: give a duration, or how many requests")
	case strings.Trim(strings.ToLower(c.Prefix), "abcdefghijklmnopqrstuvwxyz0123456789._-") != "":
		return fmt.Errorf("prefix %q: must be letters, digits, dots, underscores and dashes", c.Prefix)
	case c.Timeout <= 0:
		return fmt.Errorf("timeout %v: must be positive", c.Timeout)
	}
	_, err := parseTarget(c.URL)
	return err
}

// A run is one load, under way.
type run struct {
	Config
	*tally
	target target
	times  schedule
}

// Run sends the load until it is all sent and answered, or ctx ends, which is no
// error. It calls tell every now and then.
func Run(ctx context.Context, c Config, tell func(Progress)) (Result, error) {
	if err := c.Check(); err != nil {
		return Result{}, err
	}
	t, err := parseTarget(c.URL)
	if err != nil {
		return Result{}, err
	}
	if c.Prefix == "" {
		c.Prefix = newPrefix()
	}
	t.trust(c.Roots)
	conn, err := t.dial(ctx, c.Timeout)
	if err != nil {
		return Result{}, fmt.Errorf("%s cannot be reached: %w: is it running?", t.address, err)
	}
	conn.Close()
	r := &run{Config: c, target: t, tally: newTally()}
	share := (c.Names + c.Connections*c.PerRequest - 1) / (c.Connections * c.PerRequest) * c.PerRequest
	r.Names = share * c.Connections
	used, began := ProcessorTime(), time.Now()
	r.send(ctx, share, began, tell)
	return r.result(began, ProcessorTime()-used), nil
}

// send has every connection send, and returns when they have ended.
func (r *run) send(ctx context.Context, share int, began time.Time, tell func(Progress)) {
	r.times = newSchedule(r.Config, began)
	var senders, aside sync.WaitGroup
	for i := range r.Connections {
		s := &sender{run: r, requests: r.newRequests(r.target, i*share, share)}
		senders.Go(func() { s.send(ctx) })
	}
	ended := make(chan struct{})
	aside.Go(func() { r.times.run(ctx, ended) })
	aside.Go(func() { r.watch(began, tell, ended) })
	senders.Wait()
	close(ended)
	aside.Wait()
	if ctx.Err() == nil {
		r.unsent(r.times.left())
	}
}

// Progress is how far a load is.
type Progress struct {
	Elapsed  time.Duration
	Share    float64 // of all, 0 to 1
	Answered int64
	Failed   int64 // without an answer
}

const tellEvery = 250 * time.Millisecond

func (r *run) watch(began time.Time, tell func(Progress), ended <-chan struct{}) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			p := r.tally.progress()
			p.Elapsed = time.Since(began)
			if r.Duration > 0 {
				p.Share = p.Elapsed.Seconds() / r.Duration.Seconds()
			}
			if r.Requests > 0 {
				p.Share = max(p.Share, float64(p.Answered+p.Failed)/float64(r.Requests))
			}
			p.Share = min(1, p.Share)
			tell(p)
		}
	}
}

// ProcessorTime is what this process has used.
func ProcessorTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0 // which it does for no process of its own
	}
	return time.Duration(unix.TimevalToNsec(u.Utime) + unix.TimevalToNsec(u.Stime))
}
