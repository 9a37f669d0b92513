package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"fluxgate/core/populate"
)

func TestPace(t *testing.T) {
	at := func(seconds float64) time.Time {
		return time.Unix(1000, 0).Add(time.Duration(seconds * float64(time.Second)))
	}
	tests := []struct {
		name  string
		marks []mark
		rest  int64
		want  pace
	}{
		{"nothing is known", nil, 10, pace{}},
		{"one look tells nothing", []mark{{at(0), 5}}, 10, pace{}},
		{"even", []mark{{at(0), 100}, {at(2), 200}}, 200, pace{50, 4 * time.Second}},
		{"between the first and the last", []mark{{at(0), 0}, {at(1), 90}, {at(2), 100}}, 100, pace{50, 2 * time.Second}},
		{"begun seconds count whole", []mark{{at(0), 0}, {at(1), 100}}, 101, pace{100, 2 * time.Second}},
		{"nothing is left", []mark{{at(0), 0}, {at(1), 100}}, 0, pace{100, 0}},
		{"it stands", []mark{{at(0), 100}, {at(5), 100}}, 100, pace{}},
		{"no time has passed", []mark{{at(1), 0}, {at(1), 100}}, 100, pace{}},
		{"the clock went back", []mark{{at(2), 0}, {at(1), 100}}, 100, pace{}},
		{"too long to tell", []mark{{at(0), 0}, {at(10), 1}}, 1 << 60, pace{0.1, 0}},
	}
	for _, tt := range tests {
		if got := paceOf(tt.marks, tt.rest); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestMarksAreOfTheLastSeconds(t *testing.T) {
	begin := time.Unix(1000, 0)
	var marks []mark
	for i := range 100 {
		marks = noted(marks, mark{begin.Add(time.Duration(i) * time.Second), int64(100 * i)})
	}
	if span := marks[len(marks)-1].at.Sub(marks[0].at); span != paceTime {
		t.Errorf("they span %v, want %v", span, paceTime)
	}
	marks = noted(marks, mark{begin.Add(1000 * time.Second), 10_000})
	if len(marks) != 2 || marks[0].delivered != 9900 {
		t.Errorf("after a long pause they are %v", marks)
	}
	if marks = noted(marks, mark{begin.Add(1001 * time.Second), 5}); len(marks) != 1 {
		t.Errorf("of a job that began again they are %v", marks)
	}
}

// windowed returns the windows of a job, one in each state.
func windowed(states ...populate.WindowState) (windows []populate.Window) {
	for _, s := range states {
		windows = append(windows, populate.Window{State: s})
	}
	return windows
}

func TestShareAndStatus(t *testing.T) {
	now := time.Unix(1000, 0)
	later := now.Add(12 * time.Second)
	half := windowed(populate.Resampled, populate.Pending, populate.GivenUp, populate.Fetched)
	tests := []struct {
		job    populate.Job
		pace   pace
		share  float64
		status string
	}{
		{populate.Job{State: populate.Queued}, pace{}, 0, "queued"},
		{populate.Job{State: populate.Fetching, Windows: half}, pace{}, 0.25, "fetching, 2 of 4 windows"},
		{populate.Job{State: populate.Delivering, Windows: half, Total: 100, Delivered: 49, Refused: 1}, pace{7.4, 7 * time.Second}, 0.375,
			"delivering, 2 of 4 windows, 49 of 100 datapoints, 1 refused, 7/s, 7s left"},
		{populate.Job{State: populate.Fetching, Windows: half, Due: &later, Error: "no answer"}, pace{5, time.Second}, 0.25,
			"fetching, 2 of 4 windows, goes on in 12s: no answer"},
		{populate.Job{State: populate.Fetching, Windows: half, Due: &now}, pace{}, 0.25, "fetching, 2 of 4 windows"},
		{populate.Job{State: populate.Delivering, Windows: windowed(populate.Resampled), Total: 10, Delivered: 12}, pace{}, 1,
			"delivering, 12 of 10 datapoints"},
		{populate.Job{State: populate.Delivering, Windows: windowed(populate.Resampled)}, pace{}, 0.5, "delivering, 1 of 1 windows"},
		{populate.Job{State: populate.Done}, pace{5, time.Second}, 1, "done"},
		{populate.Job{State: populate.Failed, Windows: half, Error: "gone"}, pace{5, time.Second}, 0.25, "failed, 2 of 4 windows: gone"},
	}
	for _, tt := range tests {
		if got := share(tt.job); got != tt.share {
			t.Errorf("%s: share is %v, want %v", tt.status, got, tt.share)
		}
		if got := status(tt.job, tt.pace, now); got != tt.status {
			t.Errorf("got %q, want %q", got, tt.status)
		}
	}
}

func TestBar(t *testing.T) {
	for share, want := range map[float64]string{0: "[----]", 0.24: "[----]", 0.25: "[#---]", 0.99: "[###-]", 1: "[####]"} {
		if got := bar(share, 6); got != want {
			t.Errorf("%v: got %s, want %s", share, got, want)
		}
	}
}

// tellings are what a teller writes of a job: each step is a state, what is
// delivered, and when.
func tellings(width int) string {
	var out bytes.Buffer
	tell := &teller{out: &out, width: func() int { return width }}
	for _, step := range []struct {
		state     populate.State
		delivered int64
		at        float64 // seconds
	}{
		{populate.Queued, 0, 0}, {populate.Queued, 0, 1}, {populate.Delivering, 0, 2}, {populate.Delivering, 10, 3},
		{populate.Delivering, 50, 7}, {populate.Done, 100, 8},
	} {
		job := populate.Job{ID: "7", State: step.state, Windows: windowed(populate.Resampled), Total: 100, Delivered: step.delivered}
		if step.state == populate.Queued {
			job.Windows, job.Total = nil, 0
		}
		tell.tell(job, time.Unix(1000, 0).Add(time.Duration(step.at*float64(time.Second))))
	}
	tell.end()
	return out.String()
}

func TestTellerElsewhereTellsNewsAndEveryFewSeconds(t *testing.T) {
	want := `job 7: queued
job 7: delivering, 0 of 100 datapoints
job 7: delivering, 50 of 100 datapoints, 7/s, 7s left
job 7: done, 100 of 100 datapoints
`
	if got := tellings(0); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestTellerDrawsOneLineOnATerminal(t *testing.T) {
	got := tellings(60)
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\r")
	if strings.Count(got, "\n") != 1 || len(lines) != 7 { // the first is empty
		t.Fatalf("it draws %d lines: %q", len(lines)-1, got)
	}
	for _, line := range lines[1:] {
		if text, cleared := strings.CutSuffix(line, "\x1b[K"); !cleared || len([]rune(text)) >= 60 {
			t.Errorf("a line is %q", line)
		}
	}
	if want := "[#########---------]  50%  delivering, 0 of 100 datapoints\x1b[K"; lines[3] != want {
		t.Errorf("a line is %q, want %q", lines[3], want)
	}
}

func TestFitted(t *testing.T) {
	for line, want := range map[string]string{"abc": "abc", "abcdef": "abcd", "a\nb\x1bc": "a b ", "äöüßä": "äöüß", "": ""} {
		if got := fitted(line, 4); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
	if got := fitted("abc", -1); got != "" {
		t.Errorf("in no room: %q", got)
	}
}
