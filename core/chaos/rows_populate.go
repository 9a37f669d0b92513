package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"fluxgate/sdk"
)

func populateRows() []row {
	return []row{{
		"F30", "history: the remote fails, drips, redirects, dies, floods; Carbon and Redis away; kill -9",
		"each job ends with what an undisturbed one delivers, and only then moves the ledger", historyDisturbed,
	}}
}

const (
	historyJobs   = 12
	historyPoints = 600 // minutes of each job
)

// A historian is a remote Graphite, which lies ill as often as it is told.
type historian struct {
	*httptest.Server
	first  int64        // timestamp of the first minute
	ill    atomic.Bool  // at all
	visits atomic.Int64 // requests
}

func newHistorian() *historian {
	h := &historian{first: time.Now().Unix()/60*60 - historyPoints*60}
	h.ill.Store(true)
	h.Server = httptest.NewServer(h)
	return h
}

// ServeHTTP answers rightly every sixth time, or whenever the historian is well.
func (h *historian) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	visit := h.visits.Add(1)
	answer := h.answer()
	if !h.ill.Load() {
		visit = 0
	}
	switch visit % 6 {
	case 1:
		http.Error(w, "not now", http.StatusInternalServerError)
	case 2: // drips until it is given up
		for _, b := range []byte(answer) {
			if _, err := w.Write([]byte{b}); err != nil || http.NewResponseController(w).Flush() != nil || pause(r.Context(), 50*time.Millisecond) != nil {
				return
			}
		}
	case 3:
		http.Redirect(w, r, "http://127.0.0.2:1/render/", http.StatusFound)
	case 4: // dies in the middle
		_, _ = io.WriteString(w, answer[:len(answer)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case 5: // more than anybody may send
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, answer); err != nil {
				return
			}
		}
	default:
		_, _ = io.WriteString(w, answer)
	}
}

func (h *historian) answer() string {
	var points []string
	for i := range historyPoints {
		points = append(points, fmt.Sprintf("[%d.5, %d]", i, h.first+int64(i)*60))
	}
	return `[{"target": "a.b", "datapoints": [` + strings.Join(points, ", ") + `]}]`
}

func historyMetric(job int) string { return fmt.Sprintf("history.job%d", job) }

// wanted is what all jobs bring.
func (h *historian) wanted() (b sdk.Batch) {
	for job := range historyJobs {
		for i := range historyPoints {
			b = append(b, sdk.Datapoint{Metric: historyMetric(job), Timestamp: h.first + int64(i)*60, Value: float64(i) + 0.5})
		}
	}
	return b
}

func historyDisturbed(r *run) error {
	h := newHistorian()
	r.atEnd(h.Close)
	s, err := r.site(plan{redis: true, idle: true, settings: map[string]any{"populate": map[string]any{
		"allow": []any{strings.TrimPrefix(h.URL, "http://")}, "creates": 0, "sink": pickles, "per_host": historyJobs, "concurrency": historyJobs,
		"limits": map[string]any{"answer": "1MiB", "time": "2s"},
	}}})
	if err != nil {
		return err
	}
	if _, err := s.begin(s.ctx); err != nil {
		return err
	}
	for job := range historyJobs {
		if err := s.post(h.URL, historyMetric(job)); err != nil {
			return err
		}
	}
	for i := range r.count(60, 6) {
		r.Runs++
		if err := s.disturb(i); err != nil {
			return err
		}
	}
	h.ill.Store(false)
	if err := s.finishJobs(); err != nil {
		return err
	}
	return s.settleHistory(h)
}

// disturb kills Fluxgate at some moment, with Carbon or Redis away at times.
func (s *site) disturb(i int) error {
	carbon := s.fakes[pickles]
	switch i % 3 {
	case 1:
		if err := carbon.be(refuses); err != nil {
			return err
		}
	case 2:
		s.store.kill()
	}
	if err := s.run.wait(s.between(100*time.Millisecond, 1500*time.Millisecond)); err != nil {
		return err
	}
	s.server.kill()
	if err := carbon.be(takes); err != nil {
		return err
	}
	if i%3 == 2 {
		if err := s.store.up(s.ctx); err != nil {
			return err
		}
	}
	_, err := s.begin(s.ctx)
	return err
}

// post posts what Vista would for one metric.
func (s *site) post(remote, metric string) error {
	body, err := json.Marshal(map[string]any{
		"remote_host_type": "graphite", "remote_target": "a.b", "metric": metric, "namespace_prefix": "history", "key": theKey,
		"fetch_resolution_urls": []string{remote + "/render/?from=-24hours&format=json&target=a.b"},
	})
	if err != nil {
		return err
	}
	_, err = s.jobs(http.MethodPost, "", http.StatusNoContent, string(body))
	return err
}

// jobs asks the endpoint of jobs, or one below it.
func (s *site) jobs(method, path string, status int, body string) (text []byte, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+s.listen+"/flux/populate_metric"+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Close = true // the server may be another one next time
	r.Header.Set("key", theKey)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if text, err = io.ReadAll(answer.Body); err == nil && answer.StatusCode != status {
		err = fmt.Errorf("%s /populate_metric%s: %s: %s", method, path, answer.Status, text)
	}
	return text, err
}

// finishJobs returns when every job is done. Those that wait go on at once, with a
// Fluxgate that has forgotten how long it left the remote alone.
func (s *site) finishJobs() error {
	s.server.kill()
	if _, err := s.begin(s.ctx); err != nil {
		return err
	}
	for job := range historyJobs {
		// A job that is done is none that could go on.
		_, _ = s.jobs(http.MethodPost, fmt.Sprintf("/jobs/%d/retry", job+1), http.StatusOK, "")
	}
	took, err := until(s.ctx, time.Minute, "every job is done", func() bool {
		text, err := s.jobs(http.MethodGet, "/jobs?state=done", http.StatusOK, "")
		var done []any
		return err == nil && json.Unmarshal(text, &done) == nil && len(done) == historyJobs
	})
	if err == nil {
		s.note("the last job was done %.1f s after everything was well", took.Seconds())
	}
	return err
}

// settleHistory compares what Carbon holds, and what Redis says, with what all jobs
// should have brought.
func (s *site) settleHistory(h *historian) error {
	wanted := h.wanted()
	s.settlement = settle(wanted, nil, s.fakes[pickles].batch())
	s.Broken = append(s.Broken, s.judge(true)...)
	recorded, err := s.store.recorded(s.ctx, "history.")
	if err != nil {
		return err
	}
	for job := range historyJobs {
		if at, want := recorded[historyMetric(job)], h.first+(historyPoints-1)*60; at != want {
			s.breaks("flux.last of %s is %d, want %d", historyMetric(job), at, want)
		}
	}
	return nil
}
