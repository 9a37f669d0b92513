package populate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"fluxgate/core/populate/remote"
)

const (
	// recent is how young the ledger's timestamp of a metric is that Vista counts as
	// being filled.
	recent = 600 // seconds

	// farBack is how far back a plain request goes that names no beginning, for a
	// metric that nobody has.
	farBack = 90 * 24 * 3600 // seconds
)

// A start is what a job finds before it fetches anything.
type start struct {
	aim
	young    bool // the ledger's timestamp is
	windows  []Window
	warnings []string
}

// prepare finds out, once, what the target has already, and which windows are to be
// asked for. The answers are kept with the job: what arrives while it works does
// not hide a gap.
func (t *turn) prepare() error {
	if t.job.AsOf != 0 {
		return nil
	}
	b, err := t.p.look(t.ctx, t.terms, t.job.Request)
	if err != nil {
		return err
	}
	return t.change(func(s *saved) {
		s.AsOf, s.Last, s.Known, s.Recent = b.now, b.last, b.last > 0, b.young
		s.From, s.Cut, s.Windows = b.from, b.cut, b.windows
		s.warn(b.warnings...)
	})
}

// look asks what the target of r has, and plans what to ask the remote for.
func (p *Populate) look(ctx context.Context, terms *Terms, r Request) (s start, err error) {
	now := p.now().Unix()
	last, err := p.ledger.Last(ctx, r.Metric)
	if err != nil {
		return s, err
	}
	s.young = last > now-recent
	if last == 0 && terms.Own != nil {
		if last, err = terms.Own.newest(ctx, r.Metric); err != nil && ctx.Err() == nil {
			s.warnings = append(s.warnings, fmt.Sprintf("the own Graphite did not say all that it has: %v", err))
		}
		if ctx.Err() != nil {
			return s, ctx.Err()
		}
	}
	overTime := ""
	if resampler, err := terms.Resampler(r.Resampler, r.Metric); err == nil { // else resampling will tell
		overTime = resampler.OverTime
	}
	s.aim = aimed(r, last, now)
	s.windows, err = windowsOf(r, s.aim, overTime)
	return s, err
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
		a.from = floor(now-farBack, r.Step)
	}
	return a
}

// floor returns the start of the interval of step seconds in which at lies.
func floor(at, step int64) int64 { return at - at%step }

// windowsOf returns the windows of a request, in the order in which they are asked for:
// the newest first, so that nothing falls between two that meet at an age.
func windowsOf(r Request, a aim, overTime string) ([]Window, error) {
	if r.Form == Plain {
		return plainWindows(r, a, overTime)
	}
	var windows []Window
	seen := make(map[string]bool)
	for _, raw := range r.URLs {
		begin, end, ok := remote.Span(remote.Kind(r.Kind), raw, a.now)
		if !ok {
			begin, end = 0, 0 // unknown
		}
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

func plainWindows(r Request, a aim, overTime string) ([]Window, error) {
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
