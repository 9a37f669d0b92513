package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"fluxgate/core/populate"
)

// A printer prints a job as text.
type printer func(io.Writer, populate.Job) error

func (f *format) printJob(out io.Writer, j populate.Job) error {
	if f.json {
		return printJSON(out, j)
	}
	return printState(out, j)
}

// printState prints a job in a line, and what is to be known of it in more.
func printState(out io.Writer, j populate.Job) error {
	fmt.Fprintf(out, "job %s for %s: %s\n", j.ID, j.Metric, status(j, pace{}, time.Now()))
	return printLines(out, "warning: ", j.Warnings)
}

func printLines(out io.Writer, before string, lines []string) (err error) {
	for _, line := range lines {
		_, err = fmt.Fprintln(out, before+line)
	}
	return err
}

// printJobs prints a table of jobs.
func printJobs(out io.Writer, jobs []populate.Job) error {
	if len(jobs) == 0 {
		_, err := fmt.Fprintln(out, "no jobs")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "id\tmetric\tstate\twindows\tdatapoints\tdue or ended\terror")
	for _, j := range jobs {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d/%d\t%d/%d\t%s\t%s\n",
			j.ID, j.Metric, j.State, settled(j), len(j.Windows), j.Delivered, j.Total, clock(cmp.Or(j.Ended, j.Due)), cmp.Or(j.Error, "-"))
	}
	return w.Flush()
}

// clock prints a time as this machine's clock shows it.
func clock(at *time.Time) string {
	if at == nil || at.IsZero() {
		return "-"
	}
	return at.Local().Format(time.DateTime)
}

// clockAt prints a timestamp; 0 is none.
func clockAt(timestamp int64) string {
	if timestamp == 0 {
		return "-"
	}
	at := time.Unix(timestamp, 0)
	return clock(&at)
}

// printJob prints all of a job.
func printJob(out io.Writer, j populate.Job) error {
	if err := printState(out, j); err != nil {
		return err
	}
	r := j.Request
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, line := range [][2]string{
		{"from", strings.TrimSpace(r.Kind + " " + r.Remote)}, {"target", r.Target}, {"to the sink", r.Sink},
		{"resampled", fmt.Sprintf("%s, to %v", r.Resampler, time.Duration(r.Step)*time.Second)},
		{"asked for", clock(&j.Created)}, {"prefix of the key", j.Prefix},
		{"due", clock(j.Due)}, {"ended", clock(j.Ended)},
		{"newest before", clockAt(j.Last)}, {"wanted", clockAt(j.From) + " to " + clockAt(j.Cut)},
		{"points", fmt.Sprintf("%d fetched, %d resampled", j.Points, j.Intervals)},
		{"datapoints", fmt.Sprintf("%d delivered, %d refused, of %d", j.Delivered, j.Refused, j.Total)},
	} {
		if line[1] != "" && line[1] != "-" {
			fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return printWindows(out, j.Windows)
}

// printWindows prints a table of windows, each with its URL below it.
func printWindows(out io.Writer, windows []populate.Window) error {
	for i, n := range windows {
		fmt.Fprintf(out, "\nwindow %d: %s, %s to %s, %d points, %d resampled", i+1, n.State, clockAt(n.Begin), clockAt(n.End), n.Points, n.Intervals)
		if n.Attempts > 0 {
			fmt.Fprintf(out, ", failed attempts: %d", n.Attempts)
		}
		if n.Next != nil {
			fmt.Fprintf(out, ", tried again %s", clock(n.Next))
		}
		fmt.Fprintf(out, "\n  %s\n", n.URL)
		if n.Error != "" {
			fmt.Fprintf(out, "  %s\n", n.Error)
		}
	}
	return nil
}

// printPlan prints what a job would do.
func printPlan(out io.Writer, p populate.Plan) error {
	fmt.Fprintf(out, "%s has %s; a job would bring %s to %s\n", p.Metric, newestOf(p.Last), clockAt(p.From), clockAt(p.Cut))
	if err := printLines(out, "warning: ", p.Warnings); err != nil {
		return err
	}
	for i, n := range p.Windows {
		fmt.Fprintf(out, "window %d: %s to %s\n  %s\n", i+1, clockAt(n.Begin), clockAt(n.End), n.URL)
	}
	if len(p.Points) == 0 {
		_, err := fmt.Fprintln(out, "no points")
		return err
	}
	fmt.Fprintln(out, "first points:")
	return printPointLines(out, p.Points)
}

func newestOf(last int64) string {
	if last == 0 {
		return "no points yet"
	}
	return "points until " + clockAt(last)
}
