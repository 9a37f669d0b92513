package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// usual is a small load, which a test changes.
func usual(url string) Config {
	return Config{
		URL: url, Key: "a key & more\"", Method: http.MethodGet, Connections: 4, Requests: 40,
		PerRequest: 1, Names: 100, Timeout: 20 * time.Second,
	}
}

func mustRun(t *testing.T, c Config) Result {
	t.Helper()
	r, err := Run(t.Context(), c, func(Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

type sent struct {
	Metric    string
	Timestamp int64
	Value     float64
}

// read returns what a request says.
func read(r *http.Request) (key string, datapoints []sent, err error) {
	if r.Method == http.MethodGet {
		q := r.URL.Query()
		one := sent{Metric: q.Get("metric")}
		_, err = fmt.Sscan(q.Get("timestamp")+" "+q.Get("value"), &one.Timestamp, &one.Value)
		return q.Get("key"), []sent{one}, err
	}
	var body struct {
		Key     string
		Metrics []sent
		sent
	}
	text, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(text, &body)
	}
	if body.Metric != "" {
		body.Metrics = []sent{body.sent}
	}
	return body.Key, body.Metrics, err
}

// A judge is a server that fails the test when a datapoint is not fresh.
type judge struct {
	t      *testing.T
	path   string
	mu     sync.Mutex
	newest map[string]int64
	count  int
}

func (j *judge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	key, datapoints, err := read(r)
	if err != nil || key != `a key & more"` || r.URL.Path != j.path {
		j.t.Errorf("%s %s with the key %q: %v", r.Method, r.URL.Path, key, err)
	}
	for _, d := range datapoints {
		if age := time.Now().Unix() - d.Timestamp; d.Timestamp <= j.newest[d.Metric] || age < 0 || age > 3600 {
			j.t.Errorf("%v, %d seconds old, after %d", d, age, j.newest[d.Metric])
		}
		j.newest[d.Metric] = d.Timestamp
	}
	j.count += len(datapoints)
	w.WriteHeader(http.StatusNoContent)
}

func TestEveryDatapointIsFresh(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(*Config)
		path string
		want int // datapoints
	}{
		{"get", func(*Config) {}, "/flux/metric_data", 40},
		{"post of one", func(c *Config) { c.Method = http.MethodPost }, "/flux/metric_data_post", 40},
		{"post of many", func(c *Config) { c.Method, c.PerRequest = http.MethodPost, 7 }, "/flux/metric_data_post", 280},
		{"at a rate", func(c *Config) { c.Rate = 2000 }, "/flux/metric_data", 40},
		{"few metrics, more often than they have timestamps", func(c *Config) { c.Names, c.Connections, c.Requests = 1, 1, 2*window+7 }, "/flux/metric_data", 2*window + 7},
		{"below another path", func(c *Config) { c.URL += "/skyline/flux/metric_data" }, "/skyline/flux/metric_data", 40},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := &judge{t: t, path: tt.path, newest: make(map[string]int64)}
			c := usual(serve(t, j.ServeHTTP))
			tt.set(&c)
			r := mustRun(t, c)
			if count := j.count; count != tt.want || r.Datapoints != int64(tt.want) || r.Statuses[204] != int64(c.Requests) || len(r.Failures) > 0 {
				t.Errorf("%d datapoints came, want %d: %+v", count, tt.want, r)
			}
		})
	}
}

func TestBodyIsThatOfSenders(t *testing.T) {
	body := Body("k", 450)
	var read struct{ Metrics []sent }
	if err := json.Unmarshal(body, &read); err != nil || len(read.Metrics) != 450 {
		t.Fatalf("%d metrics, %v", len(read.Metrics), err)
	}
	if each, name := len(body)/450, len(read.Metrics[7].Metric); each < 95 || each > 110 || name < 33 || name > 40 {
		t.Errorf("%d bytes for each metric, %d letters in %q", each, name, read.Metrics[7].Metric)
	}
	if bytes.ContainsAny(body, "\x01\x02\x03") {
		t.Error("a mark is left in the body")
	}
}

// While one request keeps the only connection busy, the others that are due wait, and
// their waits count.
func TestOpenLoopCountsTheWaitOfRequestsThatAreDue(t *testing.T) {
	const stall = 300 * time.Millisecond
	handler := func() http.HandlerFunc {
		var served atomic.Int64
		return func(w http.ResponseWriter, _ *http.Request) {
			if served.Add(1) == 1 {
				time.Sleep(stall) // it is the server that is slow
			}
			w.WriteHeader(http.StatusNoContent)
		}
	}
	c := usual(serve(t, handler()))
	c.Connections, c.Requests = 1, 100
	closed := mustRun(t, c)
	c.URL, c.Rate = serve(t, handler()), 1000 // all are due within 100 ms
	open := mustRun(t, c)
	if !open.OpenLoop || open.Requests != 100 || open.Latency.P50 < 200 || open.Latency.P50 > open.Latency.Max {
		t.Errorf("open: %+v, want a median of what they waited for the first", open)
	}
	if closed.OpenLoop || closed.Latency.P50 > 200 || closed.Latency.Max < 300 {
		t.Errorf("closed: %+v, want one slow request alone", closed)
	}
}

func TestRequestsThatNoConnectionWasFreeForCount(t *testing.T) {
	release := make(chan struct{})
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	c := usual(url)
	c.Connections, c.Rate, c.Requests, c.Timeout = 2, 1000, 50, 100*time.Millisecond
	r := mustRun(t, c)
	if r.Requests != 0 || r.Failures["timeout"]+r.Failures["unsent"] != 50 || r.Failures["timeout"] < 2 || r.Failures["unsent"] == 0 {
		t.Errorf("%+v", r)
	}
	if r.Latency.P50 < 90 {
		t.Errorf("a median of %v ms: those given up are left out", r.Latency.P50)
	}
}

func TestAnswersAreCountedByStatus(t *testing.T) {
	var n atomic.Int64
	r := mustRun(t, usual(serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1)%4 == 0 {
			w.Header().Set("Retry-After", "5")
			http.Error(w, "no room in the journal", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, strings.Repeat("a success of old", 1000))
	})))
	if r.Statuses[200] != 30 || r.Statuses[503] != 10 || r.Requests != 40 || r.Datapoints != 30 || r.Succeeded() != 30 {
		t.Errorf("%+v", r)
	}
	if r.Refusal != "Service Unavailable: no room in the journal" || r.Reopened != 0 {
		t.Errorf("refused: %q, opened again: %d", r.Refusal, r.Reopened)
	}
}

func TestCheckNamesTheFault(t *testing.T) {
	if err := usual("http://127.0.0.1:1").Check(); err != nil {
		t.Fatal(err)
	}
	for want, set := range map[string]func(*Config){
		"get or post":         func(c *Config) { c.Method = "PUT" },
		"at least 1":          func(c *Config) { c.PerRequest = 0 },
		"use the method":      func(c *Config) { c.PerRequest = 2 },
		"rate -1":             func(c *Config) { c.Rate = -1 },
		"0 connections":       func(c *Config) { c.Connections = 0 },
		"give more names":     func(c *Config) { c.Names = 3 },
		"never end":           func(c *Config) { c.Requests = 0 },
		"timeout 0s":          func(c *Config) { c.Timeout = 0 },
		"prefix":              func(c *Config) { c.Prefix = "a b" },
		"give the URL":        func(c *Config) { c.URL = "127.0.0.1:8000" },
		`"http://" is no URL`: func(c *Config) { c.URL = "http://" },
	} {
		c := usual("http://127.0.0.1:1")
		set(&c)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

func TestTargets(t *testing.T) {
	for text, want := range map[string][2]string{
		"http://h":                        {"h:80", "/flux/metric_data"},
		"http://h:8000/":                  {"h:8000", "/flux/metric_data"},
		"https://h/flux":                  {"h:443", "/flux/metric_data"},
		"https://h/flux/metric_data_post": {"h:443", "/flux/metric_data"},
		"http://[::1]:1/metric_data":      {"[::1]:1", "/metric_data"},
		"http://h/a/b/":                   {"h:80", "/a/b/metric_data"},
	} {
		got, err := parseTarget(text)
		if err != nil || got.address != want[0] || got.get != want[1] || got.post != want[1]+"_post" {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}
