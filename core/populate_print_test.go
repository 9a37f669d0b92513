package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"fluxgate/core/populate"
	"fluxgate/sdk"
)

// someJobs are one that waits and one that has failed.
func someJobs() []populate.Job {
	at := func(seconds int64) *time.Time {
		t := time.Unix(seconds, 0)
		return &t
	}
	request := populate.Request{Form: populate.Plain, Kind: populate.Graphite, Remote: "http://old:8080", Target: "x.y", Step: 60, Resampler: "mean", Sink: "carbon"}
	return []populate.Job{
		{
			ID: "12", State: populate.Fetching, Metric: "acme.a.b", Request: request, Prefix: "acme", Created: *at(1_700_000_000), Due: at(1_700_000_100),
			Error: "no answer", Warnings: []string{"the own Graphite did not say what it has"},
			AsOf: 1_700_000_000, From: 1_699_000_020, Cut: 1_700_000_000, Last: 1_698_999_960,
			Windows: []populate.Window{
				{URL: "http://old:8080/render/?target=x.y&from=1", State: populate.Resampled, Begin: 1_699_500_000, End: 1_700_000_000, Points: 100, Intervals: 90},
				{URL: "http://old:8080/render/?target=x.y&from=2", State: populate.Pending, Begin: 1_699_000_020, Attempts: 3, Next: at(1_700_000_100), Error: "no answer"},
			},
			Points: 100, Intervals: 90, Total: 90, Delivered: 80, Refused: 1,
		},
		{ID: "11", State: populate.Failed, Metric: "c", Request: request, Ended: at(1_700_000_050), Error: "gone"},
	}
}

// printed returns what print writes in the time zone UTC.
func printed(t *testing.T, print func(io.Writer) error) string {
	t.Helper()
	local := time.Local
	time.Local = time.UTC
	defer func() { time.Local = local }()
	var out bytes.Buffer
	if err := print(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTableOfJobs(t *testing.T) {
	want := `id  metric    state     windows  datapoints  due or ended         error
12  acme.a.b  fetching  1/2      80/90       2023-11-14 22:15:00  no answer
11  c         failed    0/0      0/0         2023-11-14 22:14:10  gone
`
	if got := printed(t, func(w io.Writer) error { return printJobs(w, someJobs()) }); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	if got := printed(t, func(w io.Writer) error { return printJobs(w, nil) }); got != "no jobs\n" {
		t.Errorf("of none: %q", got)
	}
}

func TestAllOfAJob(t *testing.T) {
	want := `job 12 for acme.a.b: fetching, 1 of 2 windows, 80 of 90 datapoints, 1 refused: no answer
warning: the own Graphite did not say what it has
from               graphite http://old:8080
target             x.y
to the sink        carbon
resampled          mean, to 1m0s
asked for          2023-11-14 22:13:20
prefix of the key  acme
due                2023-11-14 22:15:00
newest before      2023-11-03 08:26:00
wanted             2023-11-03 08:27:00 to 2023-11-14 22:13:20
points             100 fetched, 90 resampled
datapoints         80 delivered, 1 refused, of 90

window 1: resampled, 2023-11-09 03:20:00 to 2023-11-14 22:13:20, 100 points, 90 resampled
  http://old:8080/render/?target=x.y&from=1

window 2: pending, 2023-11-03 08:27:00 to -, 0 points, 0 resampled, failed attempts: 3, tried again 2023-11-14 22:15:00
  http://old:8080/render/?target=x.y&from=2
  no answer
`
	if got := printed(t, func(w io.Writer) error { return printJob(w, someJobs()[0]) }); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

func TestPlanAsText(t *testing.T) {
	plan := populate.Plan{
		Metric: "a.b", From: 1_699_000_020, Cut: 1_700_000_000, Warnings: []string{"it is coarse"}, Windows: someJobs()[0].Windows,
		Points: []sdk.Point{{Timestamp: 1_699_000_020, Value: 1.5}},
	}
	want := `a.b has no points yet; a job would bring 2023-11-03 08:27:00 to 2023-11-14 22:13:20
warning: it is coarse
window 1: 2023-11-09 03:20:00 to 2023-11-14 22:13:20
  http://old:8080/render/?target=x.y&from=1
window 2: 2023-11-03 08:27:00 to -
  http://old:8080/render/?target=x.y&from=2
first points:
2023-11-03 08:27:00  1.5
`
	if got := printed(t, func(w io.Writer) error { return printPlan(w, plan) }); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	plan.Last, plan.Points = 1_699_000_000, nil
	if got := printed(t, func(w io.Writer) error { return printPlan(w, plan) }); !strings.HasPrefix(got, "a.b has points until 2023-11-03 08:26:40; ") || !strings.HasSuffix(got, "\nno points\n") {
		t.Errorf("got:\n%s", got)
	}
}
