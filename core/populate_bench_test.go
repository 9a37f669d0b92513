package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// BenchmarkPopulate fills a metric with 90 days of minutes from a local remote, into
// a sink that throws them away.
func BenchmarkPopulate(b *testing.B) {
	const n = 90 * 1440
	answer := ninetyDays(n)
	remote := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(answer) }))
	b.Cleanup(remote.Close)
	host := strings.TrimPrefix(remote.URL, "http://")
	p := launch(b, pluginsYAML("", fmt.Sprintf("limits: {backfill: 0}\npopulate: {allow: [%q], creates: 0, sink: actor}\n", host)))
	idle := resident(b, p.cmd.Process.Pid, "VmRSS")
	cpu := processorTime(b, p)
	for b.Loop() {
		metric := fmt.Sprintf("bench.m%d", time.Now().UnixNano())
		body := fmt.Sprintf(`{"remote_host_type": "graphite", "remote_target": "a.b", "metric": %q, "namespace_prefix": "", "key": %q,
			"fetch_resolution_urls": ["%s/render/?from=-90days&format=json&target=a.b"]}`, metric, aKey, remote.URL)
		response, err := http.Post("http://"+p.listen+"/populate_metric", "application/json", strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusNoContent {
			b.Fatalf("status %d", response.StatusCode)
		}
		await(b, "the job is done", func() bool {
			_, text := fetch(b, "http://"+p.listen+"/populate_metric/jobs?metric="+metric+"&key="+aKey)
			return strings.Contains(text, `"state":"done"`) && strings.Contains(text, fmt.Sprintf(`"delivered":%d`, n))
		})
	}
	datapoints := float64(n * b.N)
	b.ReportMetric(datapoints/b.Elapsed().Seconds(), "datapoints/s")
	b.ReportMetric((processorTime(b, p)-cpu).Seconds()/datapoints*1e6, "cpu-s/million")
	b.ReportMetric(resident(b, p.cmd.Process.Pid, "VmHWM")-idle, "MiB-above-idle")
}

// ninetyDays is what Graphite answers for n minutes up to the running one.
func ninetyDays(n int) []byte {
	minute := time.Now().Unix() / 60 * 60
	answer := []byte(`[{"target": "a.b", "datapoints": [`)
	for i := range n {
		if i > 0 {
			answer = append(answer, ", "...)
		}
		answer = fmt.Appendf(answer, "[%v, %d]", float64(i%977)+0.25, minute-int64(n-i)*60)
	}
	return append(answer, "]}]"...)
}

// processorTime is what fluxgate and its plugins have used.
func processorTime(b *testing.B, p *process) (used time.Duration) {
	b.Helper()
	for _, pid := range append(p.plugins(b), p.cmd.Process.Pid) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			b.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		for _, ticks := range fields[11:13] { // utime and stime, of a hundredth of a second
			var n int64
			if _, err := fmt.Sscan(ticks, &n); err != nil {
				b.Fatal(err)
			}
			used += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return used
}

// resident returns what a process holds in memory, or has held at the most, in MiB.
func resident(b *testing.B, pid int, field string) (size float64) {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), field+":")
	if _, err := fmt.Sscan(rest, &size); err != nil {
		b.Fatalf("%s of process %d: %v", field, pid, err)
	}
	return size / 1024
}
