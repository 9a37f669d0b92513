package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"fluxgate/core/populate"
)

// anOldGraphite answers a render with a point of value 1.5 each minute. A target
// that is called slow it never answers.
func anOldGraphite(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("target") == "slow" {
			<-r.Context().Done()
			return
		}
		from, err := strconv.ParseInt(r.FormValue("from"), 10, 64)
		until, err2 := strconv.ParseInt(r.FormValue("until"), 10, 64)
		if err != nil || err2 != nil {
			http.Error(w, "from and until are seconds", http.StatusBadRequest)
			return
		}
		var points [][2]any
		for at := from - from%60 + 60; at <= until; at += 60 {
			points = append(points, [2]any{1.5, at})
		}
		_ = json.NewEncoder(w).Encode([]any{map[string]any{"target": "it", "datapoints": points}}) // who asked may be gone
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	return server
}

// jobsYAML has jobs deliver into a file.
func jobsYAML(lines, allow string) string {
	return fmt.Sprintf("keys: [{key: %s}, {key: %s, prefix: acme}]\nsinks: {lines: {plugin: %q, config: {path: %q}}}\npopulate: {allow: [%q]}\n",
		rootKey, boundKey, os.Args[0], lines, allow)
}

func TestJobsOfARunningServer(t *testing.T) {
	old, lines := anOldGraphite(t), filepath.Join(t.TempDir(), "lines")
	address := strings.TrimPrefix(old.URL, "http://")
	p := launch(t, jobsYAML(lines, "192.0.2.1"))
	run := func(target, metric string, more ...string) []string {
		return p.flags(append([]string{"populate", "run", "--graphite", old.URL, "--target", target, "--metric", metric, "--from", "-2h"}, more...)...)
	}

	if _, told, code := fluxgate(t, run("x", "acme.a")...); code != exitFailed || !strings.Contains(told, "host "+address+" is not allowed") {
		t.Fatalf("from a host that is not allowed: exit %d, %s", code, told)
	}
	p.rewrite(t, jobsYAML(lines, address))
	p.awaitLog(t, `"msg":"reloaded"`, 1)

	out, told, code := fluxgate(t, run("x", "acme..a")...)
	if code != 0 || !strings.Contains(out, "job 1 for acme.a: done, ") || !strings.Contains(told, "job 1: done, ") {
		t.Fatalf("exit %d, wrote %s and %s", code, out, told)
	}
	stored, err := os.ReadFile(lines)
	if n := strings.Count(string(stored), "acme.a 1.5 "); err != nil || n < 119 || n > 121 {
		t.Errorf("stored %d points of two hours, %v", n, err)
	}

	out, told, code = fluxgate(t, run("slow", "other.b", "--detach", "--output", "json")...)
	var slow populate.Job
	if err := json.Unmarshal([]byte(out), &slow); err != nil || code != 0 || slow.Metric != "other.b" {
		t.Fatalf("exit %d, %s, %v: %s", code, out, err, told)
	}
	p.seesJobs(t)
	p.cancelsJob(t, slow.ID)
}

// seesJobs looks at the jobs in every way there is.
func (p *process) seesJobs(t *testing.T) {
	t.Helper()
	if out, _, code := fluxgate(t, p.flags("populate", "list")...); code != 0 || strings.Count(out, "\n") != 3 || !strings.Contains(out, "2   other.b  ") {
		t.Errorf("list: exit %d, %s", code, out)
	}
	if out, _, code := fluxgate(t, p.flags("populate", "list", "--state", "done")...); code != 0 || strings.Count(out, "\n") != 2 || !strings.Contains(out, "1   acme.a  done ") {
		t.Errorf("list of those done: exit %d, %s", code, out)
	}
	if out, _, code := fluxgate(t, p.flags("populate", "show", "1")...); code != 0 || !strings.Contains(out, "\nwindow 1: resampled, ") {
		t.Errorf("show: exit %d, %s", code, out)
	}
	for key, want := range map[string]string{rootKey: "21", boundKey: "1"} {
		status, body := fetch(t, "http://"+p.listen+"/flux/populate_metric/jobs?key="+key)
		if status != http.StatusOK || idsOf(t, body) != want {
			t.Errorf("a key sees %d %s, want the jobs %s", status, body, want)
		}
	}
	if status, body := fetch(t, "http://"+p.admin+"/populate/jobs"); status != http.StatusUnauthorized {
		t.Errorf("without the token: %d %s", status, body)
	}
}

// cancelsJob ends a job that nothing else would end, and has it go on.
func (p *process) cancelsJob(t *testing.T, id string) {
	t.Helper()
	await(t, "the job fetches", func() bool {
		out, _, _ := fluxgate(t, p.flags("populate", "show", id)...)
		return strings.Contains(out, ": fetching, ")
	})
	if out, told, code := fluxgate(t, p.flags("populate", "cancel", id)...); code != 0 || !strings.Contains(out, ": cancelled") {
		t.Errorf("cancel: exit %d, %s%s", code, out, told)
	}
	if _, told, code := fluxgate(t, p.flags("populate", "cancel", id)...); code != exitFailed || !strings.Contains(told, "is cancelled already") {
		t.Errorf("cancel again: exit %d, %s", code, told)
	}
	if out, told, code := fluxgate(t, p.flags("populate", "retry", id)...); code != 0 || !strings.Contains(out, ": queued") {
		t.Errorf("retry: exit %d, %s%s", code, out, told)
	}
	began := time.Now()
	p.stop(t) // with a fetch under way
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v to stop", took)
	}
}

func TestNoSecretOfAPostIsToldOrLogged(t *testing.T) {
	old := anOldGraphite(t)
	p := launch(t, jobsYAML(filepath.Join(t.TempDir(), "lines"), strings.TrimPrefix(old.URL, "http://"))+"log: {level: debug}\n")
	body := vistaBody(t, rootKey, "remote_target", `"slow"`, "fetch_resolution_urls", fmt.Sprintf(`["%s/render/?from=-7days&format=json&target=slow"]`, old.URL))
	response, err := http.Post("http://"+p.listen+"/populate_metric", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		t.Fatalf("answered %d", response.StatusCode)
	}
	status, jobs := fetch(t, "http://"+p.listen+"/populate_metric/jobs?key="+rootKey)
	p.stop(t)
	if status != http.StatusOK || idsOf(t, jobs) != "1" {
		t.Errorf("answered %d %s", status, jobs)
	}
	for _, text := range []string{"secret-", rootKey} {
		if bytes.Contains([]byte(jobs+p.logged()), []byte(text)) {
			t.Errorf("%q is told:\n%s\n%s", text, jobs, p.logged())
		}
	}
}
