package whispertest

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"fluxgate/sdk"
)

// Want waits until the finest archive of a metric's file holds these points, and
// no others. It fails the test when they are not there in time, and tells in
// what the two differ.
//
// A timestamp stands for the interval that it lies in, and of several points in
// one interval the last counts, as in the file. Without points Want wants that
// nothing is stored, and does not wait for what may come.
func (g *Gate) Want(metric string, points ...sdk.Point) {
	g.t.Helper()
	g.want(place{metric: metric}, points)
}

// WantArchive is like [Gate.Want], for the archive with the given step.
func (g *Gate) WantArchive(metric string, step time.Duration, points ...sdk.Point) {
	g.t.Helper()
	g.want(place{metric, step}, points)
}

func (g *Gate) want(p place, points []sdk.Point) {
	g.t.Helper()
	for deadline := time.Now().Add(g.patience); ; time.Sleep(pollInterval) {
		a, err := g.read(p)
		missing := errors.Is(err, fs.ErrNotExist)
		if err != nil && !missing {
			g.t.Fatalf("%s: %v", p, err)
		}
		if a.holds(points) {
			return
		}
		if g.over() {
			g.t.Fatalf("%s\nfluxgate left meanwhile: %v", g.report(p, a, missing, points), g.err)
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("%s", g.report(p, a, missing, points))
		}
	}
}

func (a archive) holds(points []sdk.Point) bool {
	return maps.Equal(byInterval(a.points, a.Step), byInterval(points, a.Step))
}

// byInterval returns the last value of each interval.
func byInterval(points []sdk.Point, step int64) map[int64]float64 {
	values := make(map[int64]float64, len(points))
	for _, p := range points {
		values[p.Timestamp-p.Timestamp%max(1, step)] = p.Value
	}
	return values
}

// maxLines bounds how many intervals or metrics a report names.
const maxLines = 20

// report tells what was got where points were wanted.
func (g *Gate) report(p place, a archive, missing bool, points []sdk.Point) string {
	if missing {
		return fmt.Sprintf("%s: got no file after %v, want\n%s%s", p, g.patience, list(points), g.others())
	}
	got, want := byInterval(a.points, a.Step), byInterval(points, a.Step)
	all := maps.Clone(got)
	maps.Copy(all, want)
	var lines []string
	for _, at := range slices.Sorted(maps.Keys(all)) {
		is, known := got[at]
		should, wanted := want[at]
		if is != should || known != wanted {
			lines = append(lines, fmt.Sprintf("\t%s: got %s, want %s\n", moment(at), told(is, known), told(should, wanted)))
		}
	}
	return fmt.Sprintf("%s, archive %v: after %v %d of %d intervals are not as wanted:\n%s",
		p.metric, a.Retention, g.patience, len(lines), len(all), first(lines))
}

// told returns the value of an interval in words.
func told(value float64, known bool) string {
	if !known {
		return "nothing"
	}
	return fmt.Sprint(value)
}

func moment(timestamp int64) string {
	return fmt.Sprintf("%d (%s)", timestamp, time.Unix(timestamp, 0).UTC().Format(time.RFC3339))
}

func list(points []sdk.Point) string {
	var lines []string
	for _, p := range points {
		lines = append(lines, fmt.Sprintf("\t%s: %v\n", moment(p.Timestamp), p.Value))
	}
	return first(lines)
}

// first joins lines, and counts those that are too many.
func first(lines []string) string {
	if more := len(lines) - maxLines; more > 0 {
		return strings.Join(lines[:maxLines], "") + fmt.Sprintf("\tand %d more\n", more)
	}
	return strings.Join(lines, "")
}

// others tells which metrics have a file.
func (g *Gate) others() string {
	names, err := g.stored()
	switch {
	case err != nil:
		return err.Error()
	case len(names) == 0:
		return "no metric has a file"
	}
	for i, name := range names {
		names[i] = "\t" + name + "\n"
	}
	return "these metrics have a file:\n" + first(names)
}
