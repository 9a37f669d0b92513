package main

import (
	"fmt"
	"strings"
	"time"

	"fluxgate/sdk"
)

// lines has a line for each datapoint: metric, value and time.
func lines(b sdk.Batch) string {
	var text strings.Builder
	for _, d := range b {
		fmt.Fprintf(&text, "  %s %v %s\n", d.Metric, d.Value, when(d.Timestamp))
	}
	return text.String()
}

func when(timestamp int64) string { return time.Unix(timestamp, 0).Format(time.DateTime) }

// submitted says what there is in a submission.
func submitted(s sdk.Submission, err error) string {
	if err != nil {
		return fmt.Sprintf("  an error: %v\n", err)
	}
	var text strings.Builder
	part := func(is bool, format string, args ...any) {
		if is {
			fmt.Fprintf(&text, "  "+format+"\n", args...)
		}
	}
	part(s.Reply == nil, "key %q", s.Key)
	part(s.Reply != nil, "an answer: %+v", s.Reply)
	part(s.KeyCheck, "to check the key alone")
	part(s.DryRun, "to be judged, and not stored")
	part(len(s.Batch) > 0, "to be stored if fresh:\n%s", indented(s.Batch))
	part(len(s.Backfill) > 0, "to be stored whatever its age:\n%s", indented(s.Backfill))
	part(len(s.Dropped) > 0, "dropped: %s", strings.Join(s.Dropped, ", "))
	part(s.Invalid != "", "refused: %s", s.Invalid)
	return text.String()
}

func indented(b sdk.Batch) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(lines(b), "\n"), "\n", "\n  ")
}

// resampled has a line for each interval: its points, and what they became.
func resampled(in, out sdk.Series, step time.Duration, err error) string {
	if err != nil {
		return fmt.Sprintf("  an error: %v\n", err)
	}
	became := make(map[int64]float64, len(out.Points))
	for _, p := range out.Points {
		became[p.Timestamp] = p.Value
	}
	var text strings.Builder
	for start, points := range in.Intervals(step) {
		values := make([]string, len(points))
		for i, p := range points {
			values[i] = fmt.Sprint(p.Value)
		}
		result := "left out"
		if value, ok := became[start]; ok {
			result = fmt.Sprint(value)
		}
		fmt.Fprintf(&text, "  %s  %s  ->  %s\n", when(start), strings.Join(values, " "), result)
	}
	return text.String()
}

// sample is a series to resample: a point each ten seconds for five minutes, of
// which the third has none.
func sample() sdk.Series {
	s := sdk.Series{Metric: firstMetric}
	begin := time.Now().Add(-5 * time.Minute).Truncate(time.Minute).Unix()
	for i := range int64(30) {
		if at := i * 10; at/60 != 2 {
			s.Points = append(s.Points, sdk.Point{Timestamp: begin + at, Value: float64(i)})
		}
	}
	return s
}
