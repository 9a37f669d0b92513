package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// With more new metrics than whisper files may be made for, live datapoints of the
// others do not wait, and a kill of everything loses none of the new.
func TestNewMetricsHoldNobodyBack(t *testing.T) {
	root, data := filepath.Join(t.TempDir(), "tree"), filepath.Join(t.TempDir(), "data")
	yaml := func(limit int) string {
		return fmt.Sprintf("keys: [{key: %s}]\nsinks:\n  whisper: {plugin: fluxgate-sink-whisper, config: {path: %q, creates_per_minute: %d, retentions: \"1s:2h\"}}\n",
			aKey, root, limit)
	}
	now := time.Now().Unix()
	p := launch(t, yaml(10), "--data", data)
	live := func(i int64) {
		t.Helper()
		if status := p.get(t, fmt.Sprintf("metric=live&value=%d.5&timestamp=%d&key=%s", i, now-100+i, aKey)); status != http.StatusNoContent {
			t.Fatalf("answered %d", status)
		}
		await(t, "the live datapoint is in its file", func() bool {
			points, err := readWhisper(filepath.Join(root, "live.wsp"))
			return err == nil && len(points) == int(i)+1 && points[i].Value == float64(i)+0.5
		})
	}
	live(0)
	const metrics = 500
	postNew(t, p, metrics, now)
	for i := range int64(5) {
		live(i + 1)
	}
	made := func() int {
		files, _ := filepath.Glob(filepath.Join(root, "new", "*.wsp"))
		return len(files)
	}
	if n := made(); n > metrics/10 {
		t.Fatalf("%d of %d files are there: this test proves nothing", n, metrics)
	}
	pids := p.plugins(t)
	p.kill()
	for _, pid := range pids {
		await(t, "the plugins leave with their host", func() bool { _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); return err != nil })
	}
	p = launch(t, yaml(0), "--data", data)
	live(6)
	await(t, "every new metric has its file", func() bool { return made() == metrics })
	for i := range metrics {
		points, err := readWhisper(filepath.Join(root, "new", fmt.Sprintf("m%d.wsp", i)))
		if err != nil || len(points) != 1 || points[0].Timestamp != now || points[0].Value != float64(i) {
			t.Fatalf("metric new.m%d has %v, %v", i, points, err)
		}
	}
}

// postNew sends a datapoint for each of n metrics.
func postNew(t *testing.T, p *process, n int, timestamp int64) {
	t.Helper()
	type item struct {
		Metric    string  `json:"metric"`
		Timestamp int64   `json:"timestamp"`
		Value     float64 `json:"value"`
	}
	var items []item
	for i := range n {
		items = append(items, item{fmt.Sprintf("new.m%d", i), timestamp, float64(i)})
	}
	body, err := json.Marshal(map[string]any{"key": aKey, "metrics": items})
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Post("http://"+p.listen+"/metric_data_post", "application/json", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		t.Fatalf("answered %d", response.StatusCode)
	}
}
