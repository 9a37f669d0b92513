package populate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"fluxgate/sdk"
)

const (
	// pieceSize is how many points are resampled at once, and somewhat more to the
	// end of an interval.
	pieceSize = 16_384

	// maxInterval is how many points one interval may hold.
	maxInterval = 500_000

	// maxUnordered is how many points are brought into order.
	maxUnordered = 2_000_000

	// resampleTimeout is how long a resampler may take over a piece.
	resampleTimeout = 30 * time.Second
)

// resample has the intervals of a window on disk.
func (t *turn) resample(i int) error {
	r, err := t.terms.Resampler(t.job.Request.Resampler, t.job.Metric)
	if err != nil {
		return err
	}
	in, err := openPoints(pointsFile(t.p.folder, t.job.ID, i, fetchedFile))
	if err != nil {
		return err
	}
	defer in.close()
	next := in.next
	if t.job.Windows[i].Unordered {
		if next, err = ordered(in); err != nil {
			return err
		}
	}
	out, err := createPoints(pointsFile(t.p.folder, t.job.ID, i, resampledFile))
	if err != nil {
		return err
	}
	if err := t.pieces(next, r, out); err != nil {
		out.abandon()
		return err
	}
	if err := out.finish(); err != nil {
		return err
	}
	return t.change(func(s *saved) {
		w := &s.Windows[i]
		w.State, w.Intervals, w.Error, w.Next, w.Failing = Resampled, out.n, "", nil, nil
		s.Intervals += out.n
	})
}

// pieces resamples a series piece by piece, each of whole intervals.
func (t *turn) pieces(next func() (sdk.Point, bool, error), r Resampler, out *pointsWriter) error {
	step := t.job.Request.Step
	var piece []sdk.Point
	for {
		p, ok, err := next()
		if err != nil {
			return err
		}
		whole := !ok || len(piece) >= pieceSize && floor(p.Timestamp, step) != floor(piece[len(piece)-1].Timestamp, step)
		if whole && len(piece) > 0 {
			if err := t.piece(piece, r, out); err != nil {
				return err
			}
			piece = piece[:0]
		}
		if !ok {
			return nil
		}
		if len(piece) == maxInterval {
			return sdk.Invalidf("an interval of %d seconds has more than %d points: ask for a smaller step", step, maxInterval)
		}
		piece = append(piece, p)
	}
}

func (t *turn) piece(piece []sdk.Point, r Resampler, out *pointsWriter) error {
	ctx, cancel := context.WithTimeout(t.ctx, resampleTimeout)
	defer cancel()
	step := time.Duration(t.job.Request.Step) * time.Second
	series, err := r.Resample(ctx, sdk.Series{Metric: t.job.Metric, Points: piece}, step)
	if err != nil {
		return fmt.Errorf("resampler %q: %w", r.Name, err)
	}
	for _, p := range series.Points {
		if err := out.add(p); err != nil {
			return err
		}
	}
	return nil
}

// ordered returns the points of a file in ascending order of time.
func ordered(in *pointsReader) (next func() (sdk.Point, bool, error), err error) {
	if in.left > maxUnordered {
		return nil, sdk.Invalidf("the remote sends %d points out of order: at most %d are brought into order", in.left, maxUnordered)
	}
	points := make([]sdk.Point, 0, in.left)
	for {
		p, ok, err := in.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		points = append(points, p)
	}
	slices.SortStableFunc(points, func(a, b sdk.Point) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	return func() (p sdk.Point, ok bool, err error) {
		if len(points) == 0 {
			return p, false, nil
		}
		p, points = points[0], points[1:]
		return p, true, nil
	}, nil
}
