package whispertest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"fluxgate/sdk"
)

// maxPointsShown is how many points of a list a failure shows.
const maxPointsShown = 20

// Want waits until the finest archive of the metric's file holds these points,
// and maybe others. A point stands for the interval that its timestamp is in; of
// several in one interval only the last is wanted, as whisper keeps it. Values
// are equal or they are not: nothing is rounded.
func (g *Gate) Want(metric string, points ...sdk.Point) {
	g.t.Helper()
	g.want(metric, 0, points, false)
}

// WantOnly is [Gate.Want] for all that the archive holds: no points are wanted
// besides. Without any it wants that nothing is there, and does not wait for
// something to come.
func (g *Gate) WantOnly(metric string, points ...sdk.Point) {
	g.t.Helper()
	g.want(metric, 0, points, true)
}

// WantArchive is [Gate.Want] for the archive with this step.
func (g *Gate) WantArchive(metric string, step time.Duration, points ...sdk.Point) {
	g.t.Helper()
	g.want(metric, step, points, false)
}

func (g *Gate) want(metric string, step time.Duration, points []sdk.Point, only bool) {
	g.t.Helper()
	if len(points) == 0 && !only {
		g.t.Fatalf("metric %s: no points are wanted: name some, or call WantOnly", metric)
	}
	var found archive
	var err error
	var got, want []sdk.Point
	met := g.poll(func() bool {
		if found, err = g.read(metric, step); err != nil {
			return !errors.Is(err, errBusy)
		}
		got, want = found.points(time.Now().Unix()), found.intervals(points)
		return meets(got, want, only)
	})
	if err != nil {
		g.t.Fatalf("metric %s: %v%s", metric, err, g.process.obituary())
	}
	if !met {
		g.t.Fatal(g.complaint(metric, found, got, want, only))
	}
}

// intervals returns points as the archive would keep them, in ascending order of
// time.
func (a archive) intervals(points []sdk.Point) []sdk.Point {
	last := make(map[int64]float64, len(points))
	for _, p := range points {
		last[a.interval(p.Timestamp)] = p.Value
	}
	all := make([]sdk.Point, 0, len(last))
	for at, value := range last {
		all = append(all, sdk.Point{Timestamp: at, Value: value})
	}
	slices.SortFunc(all, func(a, b sdk.Point) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	return all
}

// meets reports whether got has all of want, and only that if so told.
func meets(got, want []sdk.Point, only bool) bool {
	if only {
		return slices.Equal(got, want)
	}
	return !slices.ContainsFunc(want, func(p sdk.Point) bool { return !slices.Contains(got, p) })
}

// complaint tells what is wrong with an archive: metric, archive, got, want.
func (g *Gate) complaint(metric string, a archive, got, want []sdk.Point, only bool) string {
	var text strings.Builder
	fmt.Fprintf(&text, "not as wanted after %v\nmetric  %s\narchive %v\ngot     ", g.config.Patience, metric, a.Retention)
	if len(got) == 0 {
		text.WriteString(g.nothing(metric))
	}
	list(&text, got, func(p sdk.Point) string {
		if only && !slices.ContainsFunc(want, at(p.Timestamp)) {
			return "not wanted"
		}
		return ""
	})
	text.WriteString("\nwant    ")
	if only {
		text.WriteString("only ")
	}
	if len(want) == 0 {
		text.WriteString("nothing")
	}
	list(&text, want, func(p sdk.Point) string {
		i := slices.IndexFunc(got, at(p.Timestamp))
		switch {
		case i < 0:
			return "missing"
		case got[i].Value != p.Value:
			return "got " + number(got[i].Value)
		}
		return ""
	})
	text.WriteString(g.process.obituary())
	return text.String()
}

// nothing says what there is besides an archive that is empty.
func (g *Gate) nothing(metric string) string {
	metrics, err := g.metrics()
	switch {
	case err != nil:
		return fmt.Sprintf("nothing (whisper files: %v)", err)
	case slices.Contains(metrics, metric):
		return "nothing, though the metric has a file"
	case len(metrics) == 0:
		return "nothing, and no other metric has come either"
	}
	more := ""
	if len(metrics) > maxPointsShown {
		more = fmt.Sprintf(" and %d more", len(metrics)-maxPointsShown)
		metrics = metrics[:maxPointsShown]
	}
	return "nothing; what has come is " + strings.Join(metrics, ", ") + more
}

// list writes the newest of points, one to a line, and what remark says of each.
func list(text *strings.Builder, points []sdk.Point, remark func(sdk.Point) string) {
	older := max(0, len(points)-maxPointsShown)
	if older > 0 {
		fmt.Fprintf(text, "%d older, then", older)
	}
	for i, p := range points[older:] {
		if i > 0 || older > 0 {
			text.WriteString("\n        ")
		}
		fmt.Fprintf(text, "%d %s", p.Timestamp, number(p.Value))
		if r := remark(p); r != "" {
			fmt.Fprintf(text, "  <- %s", r)
		}
	}
}

// at returns whether a point has the timestamp.
func at(timestamp int64) func(sdk.Point) bool {
	return func(p sdk.Point) bool { return p.Timestamp == timestamp }
}

// number writes a value with as many digits as tell it from every other.
func number(value float64) string { return strconv.FormatFloat(value, 'g', -1, 64) }
