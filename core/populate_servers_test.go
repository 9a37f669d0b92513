package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

// The archives of the own Graphite, in these tests.
const ownArchives = "60s:1d,10m:7d,1h:90d"

// history returns a point for each minute of so many days, up to the minute before
// the running one.
func history(days int) (points []sdk.Point) {
	minute := time.Now().Unix() / 60 * 60
	for at := minute - int64(days)*86400; at < minute; at += 60 {
		points = append(points, sdk.Point{Timestamp: at, Value: float64(at/60%97) + 0.5})
	}
	return points
}

// hostPort returns that of a server's URL.
func hostPort(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// postVista posts what Vista would, and returns when the job has ended as done.
func (p *process) postVista(t *testing.T, kind, target, metric string, urls ...string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{
		"remote_host_type": kind, "remote_target": target, "metric": metric, "namespace_prefix": "vista", "key": aKey,
		"token": "None", "user": "None", "password": "None", "fetch_resolution_urls": `"['` + strings.Join(urls, "', '") + `']"`,
	})
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Post("http://"+p.listen+"/populate_metric", "application/json", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		t.Fatalf("status %d", response.StatusCode)
	}
}

// awaitJob returns when the job of a metric is done.
func (p *process) awaitJob(t *testing.T, metric string) {
	t.Helper()
	await(t, "the job is done", func() bool {
		_, text := fetch(t, "http://"+p.listen+"/populate_metric/jobs?metric="+metric+"&key="+aKey)
		var jobs []struct{ State, Error string }
		if err := json.Unmarshal([]byte(text), &jobs); err != nil || len(jobs) != 1 {
			t.Fatalf("the jobs of %s: %v\n%s", metric, err, text)
		}
		if jobs[0].State == "failed" {
			t.Fatalf("the job failed: %s", jobs[0].Error)
		}
		return jobs[0].State == "done"
	})
}

// TestHistoryEndsInTheRightArchive has Vista ask for three days of history, from one
// graphite-web into the Carbon of another. Read through that one's render, each
// archive must hold what it would had the points arrived live.
func TestHistoryEndsInTheRightArchive(t *testing.T) {
	const target, metric = "remote.cpu", "vista.remote.cpu"
	points, remoteFolder := history(3), t.TempDir()
	servers.WriteWhisper(t, remoteFolder, target, "60s:5d", points)
	remote := servers.Graphite(t, remoteFolder)
	carbon, ledger := servers.Carbon(t, ownArchives), servers.Redis(t)
	own := servers.Graphite(t, carbon.Whisper, carbon)
	p := launch(t, fmt.Sprintf("keys: [{key: %s}]\nredis: {address: %q}\nsinks: {carbon: {plugin: fluxgate-sink-pickle, config: {address: %q}}}\n"+
		"populate: {allow: [%q], graphite: %q, schema: {retentions: %q}}\n", aKey, ledger.Address, carbon.Pickle, hostPort(t, remote.URL), own.URL, ownArchives))
	render := remote.URL + "/render/?from=-"
	p.postVista(t, "graphite", target, metric, render+"24hours&until=-6hours&format=json&target="+target,
		render+"7days&until=-24hours&format=json&target="+target, render+"6hours&format=json&target="+target)
	live := sdk.Point{Timestamp: time.Now().Unix() / 60 * 60, Value: 4242}
	if status := p.get(t, fmt.Sprintf("metric=%s&value=%v&timestamp=%d&key=%s", metric, live.Value, live.Timestamp, aKey)); status != http.StatusNoContent {
		t.Fatalf("status %d of the live value", status)
	}
	p.awaitJob(t, metric)

	wanted := t.TempDir()
	servers.WriteWhisper(t, wanted, metric, ownArchives, append(points, live))
	for k, a := range servers.ReadWhisper(t, servers.File(wanted, metric)) {
		compared := 0
		eventually(t, fmt.Sprintf("archive %d", k), func() (diff string) {
			compared, diff = compareArchive(k, a, own.Archive(t, metric, archives[k].span))
			return diff
		})
		if least := []int{1430, 420, 64}[k]; compared < least {
			t.Errorf("only %d intervals of archive %d were compared", compared, k)
		}
	}
	compareRecorded(t, ledger, metric, target, live)
}

// archives are those of ownArchives.
var archives = [...]struct {
	step int64
	span time.Duration
}{{60, 24 * time.Hour}, {600, 7 * 24 * time.Hour}, {3600, 90 * 24 * time.Hour}}

// compareArchive compares the intervals that are further than two steps from the end
// of every archive.
func compareArchive(k int, want, got []sdk.Point) (compared int, diff string) {
	now, have := time.Now().Unix(), map[int64]float64{}
	for _, p := range got {
		have[p.Timestamp] = p.Value
	}
	for _, p := range want {
		edge := false
		for _, a := range archives {
			off := float64(now-p.Timestamp) - a.span.Seconds()
			edge = edge || math.Abs(off) <= float64(2*archives[k].step)
		}
		// What is still being filled is not yet what it will be.
		if edge || k > 0 && p.Timestamp > now-2*archives[k].step {
			continue
		}
		if v, ok := have[p.Timestamp]; !ok || v != p.Value {
			return compared, fmt.Sprintf("at %d, %d s ago: %v (%v), want %v", p.Timestamp, now-p.Timestamp, v, ok, p.Value)
		}
		compared++
	}
	return compared, ""
}

// compareRecorded looks whether Redis knows of the newest datapoint, and Vista's
// entries of the job.
func compareRecorded(t *testing.T, ledger *servers.RedisServer, metric, target string, live sdk.Point) {
	t.Helper()
	r := redis.NewClient(&redis.Options{Addr: ledger.Address})
	t.Cleanup(func() { _ = r.Close() })
	ctx := context.Background()
	want := fmt.Sprintf("[%d, 4242.0]", live.Timestamp)
	await(t, "the ledger has the live value", func() bool { return r.Get(ctx, "flux.last."+metric).Val() == want })
	if !r.SIsMember(ctx, "vista.fetcher.unique_metrics", target).Val() {
		t.Error("Vista does not know that the metric is filled")
	}
	if got := r.Get(ctx, "vista.last.resolution."+metric).Val(); got != "60" {
		t.Errorf("the resolution is %q, want 60", got)
	}
}

// TestHistoryFromPrometheus has Vista ask a real Prometheus for four days of raw
// samples.
func TestHistoryFromPrometheus(t *testing.T) {
	const metric = "vista.load"
	minute := time.Now().Unix() / 60 * 60
	series := sdk.Series{Metric: `load{host="a"}`}
	means := map[int64]float64{}
	for at := minute - 4*86400; at < minute; at += 15 {
		v := float64(at / 15 % 101)
		series.Points = append(series.Points, sdk.Point{Timestamp: at, Value: v})
		means[at/60*60] += v / 4
	}
	remote := servers.Prometheus(t, servers.OpenMetrics(series))
	stored := filepath.Join(t.TempDir(), "stored.txt")
	p := launch(t, pluginsYAML("path: "+stored, fmt.Sprintf("populate: {allow: [%q], sink: actor}\n", hostPort(t, remote.URL))))
	p.postVista(t, "prometheus", `load{host="a"}`, metric, remote.URL+"/api/v1/query?query=load%7Bhost%3D%22a%22%7D[5d]")
	p.awaitJob(t, metric)
	got := map[int64]float64{}
	lines, err := readLines(stored)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		var name string
		var value float64
		var at int64
		if _, err := fmt.Sscan(line, &name, &value, &at); err != nil || name != metric {
			t.Fatalf("stored %q: %v", line, err)
		}
		got[at] = value
	}
	if len(got) < len(means)-2 {
		t.Errorf("%d minutes are stored, want %d", len(got), len(means))
	}
	for at, v := range got {
		if want := means[at]; v != want {
			t.Fatalf("minute %d is %v, want %v", at, v, want)
		}
	}
}
