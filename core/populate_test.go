package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fluxgate/core/populate"
	"fluxgate/sdk"
)

// A typed is a command line that was carried out.
type typed struct {
	out, err string // what it wrote
	failure  error
	flags    string // which mean the same server
}

// typeIn carries out `fluxgate populate` against a server with jobs, as whoever may
// read its token.
func typeIn(ctx context.Context, t *testing.T, jobs *counter, args ...string) typed {
	t.Helper()
	_, operator := testDesk(t, jobs)
	server := httptest.NewServer(operator)
	t.Cleanup(server.Close)
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "token"), []byte("token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, told bytes.Buffer
	root := rootCommand()
	root.SetOut(&out)
	root.SetErr(&told)
	root.SetArgs(append([]string{"populate", "--config", "", "--data", data, "--admin", server.Listener.Addr().String()}, args...))
	err := root.ExecuteContext(ctx)
	return typed{out.String(), told.String(), err, " --data " + data + " --admin " + server.Listener.Addr().String()}
}

var runArgs = []string{"run", "--graphite", "http://old:8080", "--target", "x.y", "--metric", "a..b"}

func TestPopulateRunShowsAJobToItsEnd(t *testing.T) {
	tests := []struct {
		name      string
		next      []populate.State
		args      []string
		out, told string // are part of it
		failure   string
	}{
		{name: "done", next: []populate.State{populate.Fetching, populate.Done},
			out: "job 4 for a.b: done\n", told: "job 4: queued\njob 4: fetching\njob 4: done\n"},
		{name: "failed", next: []populate.State{populate.Failed}, out: "job 4 for a.b: failed\n",
			failure: "job 4 has failed: see fluxgate populate show 4"},
		{name: "cancelled", next: []populate.State{populate.Cancelled}, out: "job 4 for a.b: cancelled\n", failure: "job 4 was cancelled"},
		{name: "detached", args: []string{"--detach"}, out: "job 4 for a.b: queued\n"},
		{name: "as JSON", next: []populate.State{populate.Done}, args: []string{"--output", "json"}, out: `"state": "done",`, told: "job 4: done\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			jobs := threeJobs()
			jobs.next = tt.next
			got := typeIn(t.Context(), t, jobs, append(runArgs, tt.args...)...)
			if !strings.Contains(got.out, tt.out) || !strings.Contains(got.err, tt.told) {
				t.Errorf("wrote %q and %q, want %q and %q", got.out, got.err, tt.out, tt.told)
			}
			want := strings.ReplaceAll(tt.failure, "show 4", "show 4"+got.flags)
			if text := errorText(got.failure); text != want {
				t.Errorf("ended with %q, want %q", text, want)
			}
			if failed := (*failure)(nil); tt.failure != "" && !errors.As(got.failure, &failed) {
				t.Errorf("%q would exit as wrong usage", got.failure)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestPopulateRunLeavesTheJobRunningWhenInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	jobs := threeJobs()
	jobs.seen = interrupt
	got := typeIn(ctx, t, jobs, runArgs...)
	want := "not looking any more: job 4 goes on: look at it with: fluxgate populate show 4" + got.flags +
		", and end it with: fluxgate populate cancel 4" + got.flags
	if errorText(got.failure) != want {
		t.Errorf("ended with %v, want %s", got.failure, want)
	}
	if jobs.jobs[3].State != populate.Queued {
		t.Errorf("the job is %s", jobs.jobs[3].State)
	}
}

func TestPopulateCommands(t *testing.T) {
	tests := []struct {
		args    string
		out     string // is part of it
		failure string
	}{
		{"list", "id  metric", ""},
		{"list --state done", "1   acme.a  done   0/0      0/0         -             -\n", ""},
		{"list --metric nobody.has.it", "no jobs\n", ""},
		{"list --limit 1 --output json", `"id": "3",`, ""},
		{"list --state odd", "", `state "odd": it is one of queued, fetching, resampling, delivering, done, failed, cancelled`},
		{"show 2", "job 2 for other.b: fetching\n", ""},
		{"show 2 --output json", `"metric": "other.b",`, ""},
		{"show 9", "", `there is no job "9"`},
		{"show x", "", `there is no job "x"`},
		{"cancel 2", "job 2 for other.b: cancelled\n", ""},
		{"cancel 1", "", `job "1" is done already`},
		{"retry 2", "job 2 for other.b: queued\n", ""},
		{"plan --prometheus http://prom:9090 --target up --metric a", "a has no points yet", ""},
		{"plan --prometheus http://prom:9090 --target up --metric a --from -7d --until now --step 10m", "a has no points yet", ""},
		{"plan --prometheus prom:9090 --target up --metric a", "", "source.url begins with neither http:// nor https://: nothing else is fetched"},
		{"plan --prometheus http://prom:9090 --target up --metric a --from monday", "", `from "monday" is no time: use Unix seconds, RFC 3339 such as "2026-01-31T00:00:00Z", or a distance from now such as "-7d"`},
		{"plan --prometheus http://prom:9090 --target up --metric ;", "", "invalid metric - ; - invalid characters in name"},
	}
	for _, tt := range tests {
		got := typeIn(t.Context(), t, threeJobs(), strings.Fields(tt.args)...)
		if !strings.Contains(got.out, tt.out) || errorText(got.failure) != tt.failure {
			t.Errorf("%s: wrote %q, %v; want %q, %q", tt.args, got.out, got.failure, tt.out, tt.failure)
		}
	}
}

func TestPopulateUsage(t *testing.T) {
	for args, want := range map[string]string{
		"run --graphite http://a --target x":                                  `required flag(s) "metric" not set`,
		"run --target x --metric a":                                           "at least one of the flags in the group [graphite prometheus] is required",
		"run --graphite http://a --prometheus http://b --target x --metric a": "if any flags in the group [graphite prometheus] are set none of the others can be; [graphite prometheus] were all set",
		"plan --graphite http://a --target x --metric a --output xml":         `invalid argument "xml" for "--output" flag: must be text or json`,
		"show": "accepts 1 arg(s), received 0",
	} {
		got := typeIn(t.Context(), t, threeJobs(), strings.Fields(args)...)
		if failed := (*failure)(nil); errorText(got.failure) != want || errors.As(got.failure, &failed) {
			t.Errorf("%s: ended with %v, want wrong usage: %s", args, got.failure, want)
		}
	}
}

func TestRequestOfACommandLine(t *testing.T) {
	o := order{graphite: "http://old", target: "x", metric: "m", from: "-7d", until: "1700000000", step: "60s", resampler: "sum", sink: "carbon"}
	got, err := json.Marshal(o.body(true))
	want := `{"dry_run":true,"from":"-7d","metric":"m","resampler":"sum","sink":"carbon","source":{"target":"x","type":"graphite","url":"http://old"},"step":"60s","until":"1700000000"}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	o = order{prometheus: "http://prom", target: "up", metric: "m"}
	if got, _ := json.Marshal(o.body(false)); string(got) != `{"dry_run":false,"metric":"m","source":{"target":"up","type":"prometheus","url":"http://prom"}}` {
		t.Errorf("got %s", got)
	}
}

func TestPopulateTellsWhenTheServerIsNotThere(t *testing.T) {
	var out bytes.Buffer
	root := rootCommand()
	root.SetOut(&out)
	root.SetArgs([]string{"populate", "list", "--config", "", "--data", t.TempDir()})
	if err := root.ExecuteContext(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "is it running with this configuration?") {
		t.Errorf("ended with %v", err)
	}
	jobs := threeJobs()
	jobs.fail = sdk.Unavailablef("no room")
	if got := typeIn(t.Context(), t, jobs, runArgs...); errorText(got.failure) != "no room" {
		t.Errorf("ended with %v", got.failure)
	}
}
