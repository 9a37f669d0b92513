package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fluxgate/sdk"
)

// A load is writers that send until they are stopped. A writer owns its metrics,
// gives each datapoint a value that no other has, and sends a request again
// until it is answered 2xx, before it goes on.
type load struct {
	shape
	client *http.Client
	values atomic.Int64 // the last value given
	seen   atomic.Int64 // datapoints acknowledged so far
	full   atomic.Int64 // answers 503 so far
	wrong  atomic.Int64 // answers 4xx so far

	cancel  context.CancelFunc
	running sync.WaitGroup
	writers []*writer
}

// A shape is how a load looks.
type shape struct {
	targets []string      // URLs to post to, one of them at random each time
	writers int           // at once
	metrics int           // of each writer, and datapoints of each request
	pad     int           // bytes added to each name
	pause   time.Duration // between two requests of a writer
	header  http.Header
	prefix  string // of each name
	rng     *rand.Rand
}

// A writer is one sender. Its fields are its own until the load has stopped.
type writer struct {
	load  *load
	rng   *rand.Rand
	names []string
	stem  string
	round int   // of names
	at    int64 // the timestamp of the last request

	acknowledged  sdk.Batch
	indeterminate sdk.Batch
	attempted     int // datapoints in all attempts
	failures      map[string]int
	refused       []string // answers that mean never
	times         []answerTime
}

// An answerTime is when a request was answered 2xx, and how long the answer took.
type answerTime struct {
	at   time.Time
	took time.Duration
}

// begin starts the writers.
func (s shape) begin(ctx context.Context) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{shape: s, cancel: cancel, client: &http.Client{
		Timeout: 20 * time.Second,
		Transport: &http.Transport{
			MaxIdleConnsPerHost: s.writers,
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		},
	}}
	for i := range s.writers {
		w := &writer{
			load: l, rng: rand.New(rand.NewPCG(s.rng.Uint64(), s.rng.Uint64())), stem: fmt.Sprintf("%s.w%d", s.prefix, i),
			failures: map[string]int{},
		}
		l.writers = append(l.writers, w)
		l.running.Go(func() { w.run(ctx) })
	}
	return l
}

// stop ends the writers. A request that is not answered by then is sent no more.
func (l *load) stop() {
	l.cancel()
	l.running.Wait()
	l.client.CloseIdleConnections()
}

// sent returns what all writers were answered. The load must have stopped.
func (l *load) sent() (acknowledged, indeterminate sdk.Batch, attempted int) {
	for _, w := range l.writers {
		acknowledged = append(acknowledged, w.acknowledged...)
		indeterminate = append(indeterminate, w.indeterminate...)
		attempted += w.attempted
	}
	return acknowledged, indeterminate, attempted
}

func (w *writer) run(ctx context.Context) {
	for ctx.Err() == nil {
		b := w.next()
		if w.deliver(ctx, b, body(b)) {
			w.acknowledged = append(w.acknowledged, b...)
			w.load.seen.Add(int64(len(b)))
		} else {
			w.indeterminate = append(w.indeterminate, b...)
		}
		if w.load.pause > 0 {
			_ = pause(ctx, w.load.pause) // the loop's condition sees why it ended
		}
	}
}

// Timestamps begin well inside the hour that is accepted, so that a request may
// be sent again for minutes, and end before now.
const (
	oldest = 3000 // seconds before now
	tooOld = 3400
)

// next returns a datapoint for each metric of the writer. When its timestamps
// have come up to now it takes new metrics.
func (w *writer) next() sdk.Batch {
	now := time.Now().Unix()
	w.at = max(w.at+1, now-tooOld)
	if w.names == nil || w.at > now {
		w.names, w.at = w.rename(), now-oldest
	}
	b := make(sdk.Batch, len(w.names))
	for i, name := range w.names {
		b[i] = sdk.Datapoint{Metric: name, Timestamp: w.at, Value: float64(w.load.values.Add(1)) + 0.25}
	}
	return b
}

func (w *writer) rename() []string {
	names := make([]string, w.load.metrics)
	for i := range names {
		names[i] = fmt.Sprintf("%s.r%d.m%d%s", w.stem, w.round, i, padding(w.load.pad))
	}
	w.round++
	return names
}

// padding returns n bytes of further elements of a name.
func padding(n int) string {
	const element = ".a-long-element-that-makes-a-datapoint-heavy-on-the-disk"
	return strings.TrimRight(strings.Repeat(element, n/len(element)+1)[:n], ".")
}

func body(b sdk.Batch) []byte {
	type item struct {
		Metric    string `json:"metric"`
		Timestamp string `json:"timestamp"`
		Value     string `json:"value"`
	}
	items := make([]item, len(b))
	for i, d := range b {
		items[i] = item{d.Metric, strconv.FormatInt(d.Timestamp, 10), strconv.FormatFloat(d.Value, 'f', -1, 64)}
	}
	text, err := json.Marshal(map[string]any{"key": theKey, "metrics": items})
	if err != nil {
		panic(err) // texts alone can always be encoded
	}
	return text
}

// deliver sends until it has a 2xx, and reports whether it has.
func (w *writer) deliver(ctx context.Context, b sdk.Batch, body []byte) bool {
	for delay := 10 * time.Millisecond; ; delay = min(2*delay, 300*time.Millisecond) {
		w.attempted += len(b)
		start := time.Now()
		status, err := w.post(ctx, body)
		switch {
		case err != nil:
			w.failures[failureName(err)]++
		case status/100 == 2:
			w.times = append(w.times, answerTime{start, time.Since(start)})
			return true
		case status/100 == 4:
			w.refused = append(w.refused, strconv.Itoa(status))
			w.load.wrong.Add(1)
			return false
		default:
			w.failures[strconv.Itoa(status)]++
		}
		if pause(ctx, delay/2+time.Duration(w.rng.Int64N(int64(delay)))) != nil {
			return false
		}
	}
}

func (w *writer) post(ctx context.Context, body []byte) (status int, err error) {
	target := w.load.targets[w.rng.IntN(len(w.load.targets))]
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	if w.load.header != nil {
		r.Header = w.load.header.Clone()
	}
	answer, err := w.load.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body) // the status is the answer
	if answer.StatusCode == http.StatusServiceUnavailable {
		w.load.full.Add(1)
		if answer.Header.Get("Retry-After") == "" {
			return 0, errors.New("a 503 without Retry-After")
		}
	}
	return answer.StatusCode, nil
}

// failureName puts failures of requests into few classes.
func failureName(err error) string {
	text := err.Error()
	for _, name := range []string{"connection refused", "connection reset", "EOF", "deadline exceeded", "broken pipe", "canceled"} {
		if strings.Contains(text, name) {
			return name
		}
	}
	return text
}

// failures returns how many attempts failed otherwise than by being stopped, by
// kind. The load must have stopped.
func (l *load) failures() map[string]int {
	all := map[string]int{}
	for _, w := range l.writers {
		for name, n := range w.failures {
			if name != "canceled" {
				all[name] += n
			}
		}
	}
	return all
}

func (l *load) refused() (all []string) {
	for _, w := range l.writers {
		all = append(all, w.refused...)
	}
	return all
}

// quantile returns the q-th of an ascending list, 0 of an empty one.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// sendOne posts one datapoint of a metric that no writer has, until it is
// acknowledged.
func (s *site) sendOne(metric string) (sdk.Batch, error) {
	w := &writer{load: s.load, rng: s.rng, failures: map[string]int{}}
	b := sdk.Batch{{Metric: metric, Timestamp: time.Now().Unix() - oldest + int64(s.Runs), Value: float64(s.load.values.Add(1)) + 0.25}}
	if !w.deliver(s.ctx, b, body(b)) {
		return nil, fmt.Errorf("%s: %v %v", metric, w.failures, w.refused)
	}
	return b, nil
}
