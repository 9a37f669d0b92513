package populate

import (
	"fmt"
	"slices"
	"time"

	"fluxgate/core/populate/remote"
)

const (
	// recent is how young the ledger's timestamp of a metric is that Vista counts as
	// being filled.
	recent = 600 // seconds

	// reach is how far back a plain request goes that names no beginning, for a
	// metric that nobody has.
	reach = 90 * 24 * 3600 // seconds
)

// prepare finds out, once, what the target has already, and which windows are to be
// asked for. The answers are kept with the job: what arrives while it works does
// not hide a gap.
func (t *turn) prepare() error {
	if t.job.AsOf != 0 {
		return nil
	}
	now := t.p.now().Unix()
	last, err := t.p.ledger.Last(t.ctx, t.job.Metric)
	if err != nil {
		return err
	}
	young := last > now-recent
	var warnings []string
	if last == 0 && t.terms.Own != nil {
		if last, err = t.terms.Own.newest(t.ctx, t.job.Metric); err != nil {
			if t.ctx.Err() != nil {
				return err
			}
			warnings = append(warnings, fmt.Sprintf("the own Graphite did not say what it has: %v", err))
		}
	}
	aim := aimed(t.job.Request, last, now)
	windows, err := plan(t.job.Request, aim, t.overTime())
	if err != nil {
		return err
	}
	return t.change(func(s *saved) {
		s.AsOf, s.Last, s.Known, s.Recent = now, last, last > 0, young
		s.From, s.Cut, s.Windows = aim.from, aim.cut, windows
		s.Warnings = append(s.Warnings, warnings...)
		s.State = Fetching
	})
}

// overTime returns the function of Prometheus that the job's resampler is.
func (t *turn) overTime() string {
	r, err := t.terms.Resampler(t.job.Request.Resampler, t.job.Metric)
	if err != nil {
		return "" // resampling will tell
	}
	return r.OverTime
}

// An aim is which points of a metric are wanted: complete intervals only.
type aim struct {
	from, cut int64 // Unix seconds; cut is not included
	last, now int64
}

// aimed returns what r asks for of a metric whose newest timestamp is last. A
// request that names its beginning means exactly that; any other means what is
// newer than last. The interval in which last lies is done.
func aimed(r Request, last, now int64) aim {
	a := aim{from: 1, cut: floor(now, r.Step), last: last, now: now}
	if r.Until != 0 {
		a.cut = min(a.cut, floor(r.Until, r.Step))
	}
	switch {
	case r.From != 0:
		a.from = max(1, floor(r.From, r.Step))
	case last != 0:
		a.from = floor(last, r.Step) + r.Step
	case r.Form == Plain:
		a.from = floor(now-reach, r.Step)
	}
	return a
}

// floor returns the start of the interval of step seconds in which at lies.
func floor(at, step int64) int64 { return at - at%step }

// plan returns the windows of a request, in the order in which they are asked for:
// the newest first, so that nothing falls between two that meet at an age.
func plan(r Request, a aim, overTime string) ([]Window, error) {
	if r.Form == Plain {
		return planPlain(r, a, overTime)
	}
	var windows []Window
	seen := make(map[string]bool)
	for _, raw := range r.URLs {
		begin, end, _ := remote.Span(remote.Kind(r.Kind), raw, a.now)
		if end != 0 && end <= a.from {
			continue // it has nothing that is wanted
		}
		url, err := remote.Ask(remote.Kind(r.Kind), raw)
		if err != nil {
			return nil, err
		}
		if r.Kind == Prometheus && a.last > 0 {
			url = remote.Narrow(url, a.last, a.now)
		}
		if !seen[url] {
			windows = append(windows, Window{URL: url, State: Pending, Begin: begin, End: end})
		}
		seen[url] = true
	}
	newestFirst(windows)
	return windows, nil
}

func planPlain(r Request, a aim, overTime string) ([]Window, error) {
	if a.from >= a.cut {
		return nil, nil
	}
	asked, err := remote.Windows(remote.Kind(r.Kind), r.Remote, r.Target, a.from, a.cut, a.now, r.Step, overTime)
	if err != nil {
		return nil, err
	}
	var windows []Window
	for _, w := range asked {
		windows = append(windows, Window{URL: w.URL, State: Pending, Begin: w.From, End: w.Until, Shift: w.Shift})
	}
	newestFirst(windows)
	return windows, nil
}

func newestFirst(windows []Window) {
	slices.SortStableFunc(windows, func(a, b Window) int { return int(b.Begin - a.Begin) })
}

// patience returns until when a window that fails is tried again.
func (t *turn) patience(since time.Time) time.Time { return since.Add(t.terms.Patience) }
