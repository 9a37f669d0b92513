package remote

import (
	"fmt"
	"regexp"
	"strings"

	"fluxgate/sdk"
)

// A Window is a part of a long request.
type Window struct {
	URL         string
	From, Until int64 // it is for points at From and later, before Until
	Shift       int64 // seconds to take from the timestamps of its samples
}

const (
	hour       = 3600
	day        = 86400
	maxSteps   = 10_000 // of a query_range; Prometheus answers 11,000
	maxWindows = 10_000
	early      = 600 // seconds before an archive's end in which it is not relied on
)

// ages are those at which archives commonly end.
var ages = [...]int64{365 * day, 90 * day, 30 * day, 7 * day, day, 6 * hour}

// Windows returns the requests for the points of target from from on and before
// until, oldest first. The URLs are as they are asked. base is the URL of the
// remote, up to where /render or /api begins. step is the interval that the
// points are meant for, in seconds; from and until should lie on it.
//
// A render has one step, that of the finest archive that covers its begin, so
// Graphite is asked for windows that begin within common retentions, by an hour or
// so. Of a plain selector Prometheus is asked for the raw samples, a day at a time.
// Any other expression is evaluated by query_range: with overTime, such as
// avg_over_time, once for each interval, at its end (so Shift is step) over all of
// it; without, about four times within each. No interval lies in two windows.
//
// The only error is [sdk.ErrInvalid].
func Windows(kind Kind, base, target string, from, until, now, step int64, overTime string) ([]Window, error) {
	p, err := locate(base)
	if err != nil {
		return nil, err
	}
	switch {
	case p.url.RawQuery != "":
		return nil, sdk.Invalidf("%s has parameters: write it up to where /render or /api begins", p)
	case strings.TrimSpace(target) == "":
		return nil, sdk.Invalidf("the target is empty")
	case step < 1 || from < 1 || until > maxTimestamp+1 || from >= until:
		return nil, sdk.Invalidf("no points from %d on and before %d at a step of %d seconds: a range lies within 1 to %d", from, until, step, maxTimestamp)
	case overTime != "" && !overTimes.MatchString(overTime):
		return nil, sdk.Invalidf("%q is no function over time: write one like avg_over_time", overTime)
	}
	base, _, _ = strings.Cut(base, "#")
	base = strings.TrimRight(base, "/?")
	w := windows{base: base, from: from, until: until}
	switch {
	case kind == Graphite:
		w.renders(target, now, step)
	case kind != Prometheus:
		return nil, sdk.Invalidf("a query of kind %q: it is %s or %s", kind, Graphite, Prometheus)
	case isSelector(target):
		w.ranges(strings.TrimSpace(target), step)
	case overTime != "":
		w.over(target, overTime, step)
	default:
		w.evaluated(target, step)
	}
	if len(w.all) == 0 {
		return nil, sdk.Invalidf("the range takes more than %d requests at a step of %d seconds: split it, or take a longer step", maxWindows, step)
	}
	return w.all, nil
}

var overTimes = regexp.MustCompile(`^(avg|min|max|sum|count|first|last|stddev|stdvar|present|mad)_over_time$`)

type windows struct {
	base        string
	from, until int64
	all         []Window
}

// each calls ask with windows of at most width seconds, unless they are too many.
func (w *windows) each(from, width int64, ask func(from, until int64)) {
	if (w.until-from)/width >= maxWindows {
		return
	}
	for ; from < w.until; from += width {
		ask(from, min(from+width, w.until))
	}
}

// add appends a window.
func (w *windows) add(from, until, shift int64, format string, args ...any) {
	w.all = append(w.all, Window{w.base + fmt.Sprintf(format, args...), from, until, shift})
}

// renders cuts a range where archives end, at intervals of an hour and of step, so
// that none has points of two archives. Graphite answers with the points behind
// from and up to until.
func (w *windows) renders(target string, now, step int64) {
	grid := step
	for grid%hour != 0 && grid < maxTimestamp {
		grid += step
	}
	cuts := []int64{w.from}
	for _, age := range ages {
		at := now - age + early + grid - 1
		at -= at % grid
		if at > cuts[len(cuts)-1] && at < w.until {
			cuts = append(cuts, at)
		}
	}
	cuts = append(cuts, w.until)
	for i, from := range cuts[:len(cuts)-1] {
		w.add(from, cuts[i+1], 0, "/render/?from=%d&until=%d&format=json&target=%s", from-1, cuts[i+1]-1, encoded(target))
	}
}

// ranges asks for raw samples. A range ends a millisecond, the finest that
// Prometheus knows, before the next begins.
func (w *windows) ranges(selector string, step int64) {
	w.each(w.from, max(day, step)/step*step, func(from, until int64) {
		w.add(from, until, 0, "/api/v1/query?query=%s%%5B%ds%%5D&time=%d.999", encoded(selector), until-from, until-1)
	})
}

// over has Prometheus evaluate an expression once for each interval.
func (w *windows) over(expression, function string, step int64) {
	query := encoded(fmt.Sprintf("%s((%s)[%ds:%ds])", function, expression, step, max(1, step/4)))
	w.each(w.from-w.from%step, maxSteps*step, func(from, until int64) {
		w.add(max(from, w.from), until, step, "/api/v1/query_range?query=%s&start=%d&end=%d&step=%d", query, from+step, until-1+step, step)
	})
}

// evaluated has Prometheus evaluate an expression four times in step seconds, if
// these are that many.
func (w *windows) evaluated(expression string, step int64) {
	quarter := max(1, step/4)
	w.each(w.from, maxSteps*quarter/step*step, func(from, until int64) {
		w.add(from, until, 0, "/api/v1/query_range?query=%s&start=%d&end=%d&step=%d", encoded(expression), from, until-1, quarter)
	})
}
