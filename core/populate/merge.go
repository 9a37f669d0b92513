package populate

import (
	"errors"
	"slices"

	"fluxgate/sdk"
)

// view returns which of the job's windows can be delivered now.
func (j *Job) view() (v view) {
	for i, w := range j.Windows {
		switch w.State {
		case Resampled:
			v.Windows = append(v.Windows, i)
		case Pending, Fetched:
			v.Pending = append(v.Pending, i)
		}
	}
	return v
}

func (v view) equal(other view) bool {
	return slices.Equal(v.Windows, other.Windows) && slices.Equal(v.Pending, other.Pending)
}

// A merge yields the points of several windows as one series: in each interval the
// point of the finest window that has one.
type merge struct {
	job     *Job
	view    view
	before  view
	sources []*source
	heads   []chosen // the points of one time
}

// A source is a window's points, of which the next is known.
type source struct {
	window int
	in     *pointsReader
	point  sdk.Point
	ok     bool
}

func (s *source) advance() (err error) {
	s.point, s.ok, err = s.in.next()
	return err
}

// openMerge opens the files of a view's windows. It tells which points the view
// before did not have.
func openMerge(folder string, j *Job, v, before view) (*merge, error) {
	m := &merge{job: j, view: v, before: before}
	for _, i := range v.Windows {
		in, err := openPoints(pointsFile(folder, j.ID, i, resampledFile))
		if err != nil {
			return nil, errors.Join(err, m.close())
		}
		s := &source{window: i, in: in}
		m.sources = append(m.sources, s)
		if err := s.advance(); err != nil {
			return nil, errors.Join(err, m.close())
		}
	}
	return m, nil
}

func (m *merge) close() error {
	var errs []error
	for _, s := range m.sources {
		errs = append(errs, s.in.close())
	}
	return errors.Join(errs...)
}

// A chosen is a point of a merge.
type chosen struct {
	sdk.Point
	window int
	news   bool // the view before did not have it
}

// next returns the next point. ok is false at the end.
func (m *merge) next() (c chosen, ok bool, err error) {
	for {
		at, any := m.earliest()
		if !any {
			return c, false, nil
		}
		if err := m.gather(at); err != nil {
			return c, false, err
		}
		winner := m.winner(m.view, at)
		if winner == nil {
			continue
		}
		before := m.winner(m.before, at)
		return chosen{winner.Point, winner.window, before == nil || before.window != winner.window}, true, nil
	}
}

// gather takes the points of a time from all windows.
func (m *merge) gather(at int64) error {
	m.heads = m.heads[:0]
	for _, s := range m.sources {
		if !s.ok || s.point.Timestamp != at {
			continue
		}
		m.heads = append(m.heads, chosen{Point: s.point, window: s.window})
		if err := s.advance(); err != nil {
			return err
		}
	}
	return nil
}

func (m *merge) earliest() (at int64, any bool) {
	for _, s := range m.sources {
		if s.ok && (!any || s.point.Timestamp < at) {
			at, any = s.point.Timestamp, true
		}
	}
	return at, any
}

// winner returns which of the points gathered counts in a view, or nil if none does
// or one that is still to come may.
func (m *merge) winner(v view, at int64) (best *chosen) {
	for i := range m.heads {
		c := &m.heads[i]
		if slices.Contains(v.Windows, c.window) && (best == nil || m.job.Windows[c.window].finer(m.job.Windows[best.window])) {
			best = c
		}
	}
	if best == nil {
		return nil
	}
	for _, i := range v.Pending {
		w := m.job.Windows[i]
		if w.Begin > m.job.Windows[best.window].Begin && w.covers(at, at+m.job.Request.Step) {
			return nil
		}
	}
	return best
}

// finer reports whether w's points are to be preferred to other's: those with the
// smaller step, and where that does not tell those of the window that begins later.
func (w Window) finer(other Window) bool {
	if w.Step != 0 && other.Step != 0 && w.Step != other.Step {
		return w.Step < other.Step
	}
	return w.Begin > other.Begin
}

// covers reports whether w may have points from begin on and before end.
func (w Window) covers(begin, end int64) bool { return w.Begin < end && (w.End == 0 || begin < w.End) }
