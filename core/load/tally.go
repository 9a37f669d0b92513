package load

import (
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A tally counts what becomes of requests.
type tally struct {
	mu        sync.Mutex
	waits     *hdrhistogram.Histogram // in microseconds
	statuses  map[int]int64
	failures  map[string]int64
	refusal   string // what the server said of the first request that it did not take
	why       string // the first error
	reopened  int64
	good, bad int64 // answered, and not
	last      time.Time
}

const longestWait = 10 * time.Minute

func newTally() *tally {
	return &tally{
		waits:    hdrhistogram.New(1, longestWait.Microseconds(), 3),
		statuses: make(map[int]int64), failures: make(map[string]int64),
	}
}

// wait counts how long a request has waited.
func (t *tally) wait(d time.Duration) {
	_ = t.waits.RecordValue(min(max(1, d.Microseconds()), longestWait.Microseconds())) // it is within bounds
}

func (t *tally) answered(a answer, due time.Time) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = now
	t.good++
	t.wait(now.Sub(due))
	t.statuses[a.status]++
	if a.status/100 != 2 && t.refusal == "" {
		t.refusal = strings.TrimSpace(http.StatusText(a.status) + ": " + string(a.text))
	}
}

// failed counts a request without an answer. One that was given up has waited at
// least so long: without it, the slowest would be missing.
func (t *tally) failed(err error, due time.Time) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = now
	t.bad++
	kind := word(err)
	t.failures[kind]++
	if t.why == "" {
		t.why = err.Error()
	}
	if kind == "timeout" {
		t.wait(now.Sub(due))
	}
}

// unsent counts requests that no connection was free for, by when they were due.
func (t *tally) unsent(due []time.Time) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, at := range due {
		t.bad++
		t.failures["unsent"]++
		t.wait(now.Sub(at))
	}
}

func (t *tally) reopen() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reopened++
}

func (t *tally) progress() Progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Progress{Answered: t.good, Failed: t.bad}
}

// A Result is what came of a load.
type Result struct {
	URL         string  `json:"url"`
	Method      string  `json:"method"`
	OpenLoop    bool    `json:"open_loop"` // latency counts from when a request was scheduled, else from when it was sent
	Rate        float64 `json:"rate,omitempty"`
	Connections int     `json:"connections"`
	PerRequest  int     `json:"metrics_per_request"`
	Names       int     `json:"names"`
	Prefix      string  `json:"prefix"`

	Began               time.Time        `json:"began"`
	Seconds             float64          `json:"seconds"`  // from then until the last answer
	Requests            int64            `json:"requests"` // answered
	RequestsPerSecond   float64          `json:"requests_per_second"`
	Datapoints          int64            `json:"datapoints"` // answered with success
	DatapointsPerSecond float64          `json:"datapoints_per_second"`
	Statuses            map[int]int64    `json:"statuses"`
	Failures            map[string]int64 `json:"errors"` // requests without an answer
	Reopened            int64            `json:"reopened"`
	Latency             Latency          `json:"latency_ms"`
	Refusal             string           `json:"refusal,omitempty"` // what the server said of the first that it did not take
	Why                 string           `json:"error,omitempty"`   // the first one
	ClientCPU           float64          `json:"client_cpu_seconds"`
}

// A Latency is how long requests waited, in milliseconds, also those that were given
// up.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99.9"`
	Max  float64 `json:"max"`
}

// Succeeded returns how many requests were answered with success.
func (r Result) Succeeded() (n int64) {
	for status, count := range r.Statuses {
		if status/100 == 2 {
			n += count
		}
	}
	return n
}

func (r *run) result(began time.Time, used time.Duration) Result {
	t := r.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	milliseconds := func(percent float64) float64 { return float64(t.waits.ValueAtPercentile(percent)) / 1000 }
	out := Result{
		URL: r.target.shown, Method: r.Method, OpenLoop: r.Rate > 0, Rate: r.Rate, Connections: r.Connections,
		PerRequest: r.PerRequest, Names: r.Names, Prefix: r.Prefix, Began: began,
		Requests: t.good, Statuses: maps.Clone(t.statuses), Failures: maps.Clone(t.failures), Reopened: t.reopened,
		Latency: Latency{milliseconds(50), milliseconds(90), milliseconds(99), milliseconds(99.9), float64(t.waits.Max()) / 1000},
		Refusal: t.refusal, Why: t.why, ClientCPU: used.Seconds(),
	}
	out.Datapoints = out.Succeeded() * int64(r.PerRequest)
	if out.Seconds = t.last.Sub(began).Seconds(); out.Seconds > 0 {
		out.RequestsPerSecond = float64(out.Requests) / out.Seconds
		out.DatapointsPerSecond = float64(out.Datapoints) / out.Seconds
	} else {
		out.Seconds = 0
	}
	return out
}
