package populate

import (
	"math"
	"slices"
	"time"

	"fluxgate/sdk"
)

// nullAge is how young the newest point of an answer without any value must be for
// the metric to count as one that has none just now.
const nullAge = 120 // seconds

// maxDistances is how many of the newest points tell a metric's resolution.
const maxDistances = 30

// conclude has the ledger and Vista know what is delivered, and ends the job.
func (t *turn) conclude() error {
	newest, err := t.newest()
	if err != nil {
		return t.mend(err)
	}
	if newest == nil && t.silent() {
		newest = &sdk.Point{Timestamp: t.job.Cut - t.job.Request.Step, Value: math.NaN()}
	}
	if newest != nil && t.usual() {
		b := sdk.Batch{{Metric: t.job.Metric, Timestamp: newest.Timestamp, Value: newest.Value}}
		if err := t.p.ledger.Record(t.ctx, b); err != nil {
			return err
		}
	}
	if t.job.Request.Form == Vista && (newest != nil || t.job.Recent) {
		if err := t.p.ledger.Note(t.ctx, t.job.Metric, t.job.Request.Target, t.resolution()); err != nil {
			return err
		}
	}
	t.outcome, t.reason = Done, ""
	if slices.ContainsFunc(t.job.Windows, func(w Window) bool { return w.State == GivenUp }) {
		t.outcome = Failed
	}
	return nil
}

// usual reports whether the job goes to the sink to which history usually goes: what
// is in another tells the ledger nothing.
func (t *turn) usual() bool {
	_, name, err := t.terms.Sink("")
	return err != nil || name == t.job.Request.Sink
}

// newest returns the newest point of what is delivered, or nil if the sink took
// nothing.
func (t *turn) newest() (newest *sdk.Point, err error) {
	if t.job.Delivered == 0 {
		return nil, nil
	}
	m, err := openMerge(t.p.folder, &t.job.Job, t.job.Pass.Before, view{})
	if err != nil {
		return nil, err
	}
	defer m.close()
	for {
		c, ok, err := m.next()
		if err != nil || !ok {
			return newest, err
		}
		newest = &c.Point
	}
}

// silent reports whether the remote has the metric, and no value of it just now.
func (t *turn) silent() bool {
	newest, null := int64(0), false
	for _, w := range t.job.Windows {
		if w.State != Resampled {
			return false
		}
		if w.Newest > newest {
			newest, null = w.Newest, w.NewestNull
		}
	}
	return null && newest > t.job.AsOf-nullAge
}

// resolution returns the usual distance of the newest points, or 0 if there are
// fewer than two that can be read.
func (t *turn) resolution() time.Duration {
	var at []int64
	for i, w := range t.job.Windows {
		if w.State != Resampled {
			continue
		}
		newest, err := lastTimestamps(pointsFile(t.p.folder, t.job.ID, i, fetchedFile), maxDistances+1)
		if err != nil {
			logTrouble("the resolution of a metric is not known", err)
			return 0
		}
		at = append(at, newest...)
	}
	slices.Sort(at)
	at = slices.Compact(at)
	at = at[max(0, len(at)-maxDistances-1):]
	var distances []int64
	for i := range len(at) - 1 {
		distances = append(distances, at[i+1]-at[i])
	}
	if len(distances) == 0 {
		return 0
	}
	slices.Sort(distances)
	return time.Duration(distances[len(distances)/2]) * time.Second
}

// lastTimestamps returns the timestamps of the last n points of a file.
func lastTimestamps(path string, n int) (at []int64, err error) {
	r, err := openPoints(path)
	if err != nil {
		return nil, err
	}
	defer r.close()
	for {
		p, ok, err := r.next()
		if err != nil || !ok {
			return at, err
		}
		if at = append(at, p.Timestamp); len(at) > 2*n {
			at = append(at[:0], at[len(at)-n:]...)
		}
	}
}
