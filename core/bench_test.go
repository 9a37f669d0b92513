package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"fluxgate/core/load"
)

func TestBench(t *testing.T) {
	p := launch(t, pluginsYAML("", ""))
	url := "http://" + p.listen
	for _, args := range [][]string{
		{"--requests", "300"},
		{"--requests", "300", "--rate", "1000", "--connections", "5", "--method", "post"},
		{"--requests", "20", "--metrics-per-request", "450", "--connections", "2"},
		{"--requests", "4000", "--connections", "1", "--names", "1"},
	} {
		before := p.figure(t, "fluxgate_datapoints_accepted_total")
		stdout, stderr, code := fluxgate(t, append([]string{"bench", url, "--key", aKey, "--output", "json"}, args...)...)
		var r load.Result
		if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != 0 {
			t.Fatalf("%v: exits %d, prints %q, %q: %v", args, code, stdout, stderr, err)
		}
		if accepted := p.figure(t, "fluxgate_datapoints_accepted_total") - before; accepted != float64(r.Datapoints) || r.Datapoints == 0 {
			t.Errorf("%v: %v datapoints are fresh, %d were sent", args, accepted, r.Datapoints)
		}
		if len(r.Failures) > 0 || len(r.Statuses) != 1 || !(r.Latency.P50 > 0 && r.Latency.P50 <= r.Latency.Max) || r.ClientCPU <= 0 {
			t.Errorf("%v: %+v", args, r)
		}
	}
	stdout, stderr, code := fluxgate(t, "bench", url, "--key", aKey, "--requests", "10", "--rate", "100")
	if code != 0 || !strings.Contains(stdout, "10 answered") || !strings.Contains(stdout, "open loop: 100 requests a second") || !strings.Contains(stdout, "204: 10") {
		t.Errorf("exits %d, prints %s%s", code, stdout, stderr)
	}
}

func TestBenchSaysWhatIsWrong(t *testing.T) {
	p := launch(t, pluginsYAML("", ""))
	url := "http://" + p.listen
	full := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the journal is full", http.StatusServiceUnavailable)
	}))
	t.Cleanup(full.Close)
	for _, tt := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{url, "--key", "another"}, "give --key one of the server's keys", exitFailed},
		{[]string{url}, "give --key one of the server's keys", exitFailed},
		{[]string{url + "/nowhere", "--key", aKey}, "below which the server has metric_data", exitFailed},
		{[]string{full.URL, "--key", aKey}, "the journal is full", exitFailed},
		{[]string{url, "--ca", p.file}, "holds no certificate", exitFailed},
		{[]string{}, "accepts 1 arg", exitUsage},
		{[]string{}, "fluxgate: see fluxgate bench --help", exitUsage},
		{[]string{"ftp://" + p.listen}, "no URL of a Flux", exitUsage},
		{[]string{url, "--method", "put"}, "must be get or post", exitUsage},
		{[]string{url, "--metrics-per-request", "2", "--method", "get"}, "use the method post", exitUsage},
		{[]string{url, "--names", "5"}, "give more names or fewer connections", exitUsage},
		{[]string{url, "--output", "xml"}, "must be text or json", exitUsage},
	} {
		_, stderr, code := fluxgate(t, append([]string{"bench", "--requests", "200"}, tt.args...)...)
		if code != tt.code || !strings.Contains(stderr, tt.want) {
			t.Errorf("%v: exits %d, says %q; want %d and %q", tt.args, code, stderr, tt.code, tt.want)
		}
	}
	if _, stderr, code := fluxgate(t, "bench", "http://"+p.admin, "--requests", "1"); code != exitFailed {
		t.Errorf("the admin listener: exits %d, %s", code, stderr)
	}
}
