package populate

import (
	"fmt"
	"iter"
	"math"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/schema"
)

// A span is a point with the seconds of history that it stands for, from its
// timestamp on.
type span struct {
	Timestamp int64
	Value     float64
	Cover     int64 // at least 1; more than a step where the source is coarser
}

// A plan decides which points to send so that history ends where whisper would
// have it, had it arrived live. Whisper puts a point of the past into the finest
// archive that reaches back to it, and fills only the coarser ones from there; of
// several points in an interval it keeps the last. So the plan makes three
// sequences, which must be written in this order, each from its beginning to its
// end: [plan.fine], [plan.coarse], [plan.boundary].
//
// The same plan makes the same sequences again, so that writing may go on where
// it stopped: see [from]. A sequence holds no more in memory than the points of
// one open interval for each archive.
type plan struct {
	// points returns the points of the job, ascending, all newer than last. Each
	// pass over the plan's sequences makes one or several passes over them.
	points func() iter.Seq[span]
	// schema is that of the target's file. Without retentions the plan is plain:
	// the points are sent as they are.
	schema schema.Schema
	now    int64 // when the plan was made, in Unix seconds
	last   int64 // timestamp of the newest point that the target has, 0 for none
}

// plain reports whether nothing is known of the target's archives.
func (p plan) plain() bool { return len(p.schema.Retentions) == 0 }

// fine yields the points for the finest archive, oldest first: one for each of
// its intervals, at the interval's beginning. Points that lie in one interval are
// made one as the schema's aggregation has it.
func (p plan) fine() iter.Seq[sdk.Point] {
	if p.plain() {
		return func(yield func(sdk.Point) bool) {
			for s := range p.points() {
				if !yield(sdk.Point{Timestamp: s.Timestamp, Value: s.Value}) {
					return
				}
			}
		}
	}
	return p.intervals(0, math.MinInt64, math.MaxInt64)
}

// coarse yields a point for each interval of the coarser archives that the finer
// one does not reach back to, the finer archive first, oldest first.
func (p plan) coarse() iter.Seq[sdk.Point] {
	return func(yield func(sdk.Point) bool) {
		for i := 1; i < len(p.schema.Retentions); i++ {
			for point := range p.intervals(i, math.MinInt64, p.now-p.schema.Retentions[i-1].Span()) {
				if !yield(point) {
					return
				}
			}
		}
	}
}

// boundary yields once more the intervals at the end of each finer archive,
// which its own points may have filled in part. They are written at the time
// now, which may be later than that of the plan: then these are all the intervals
// that the finer archive reached back to only when the plan was made.
func (p plan) boundary(now int64) iter.Seq[sdk.Point] {
	return func(yield func(sdk.Point) bool) {
		later := p
		later.now = now
		for i := 1; i < len(p.schema.Retentions); i++ {
			reach := p.schema.Retentions[i-1].Span()
			touching := p.now - reach - p.schema.Retentions[i].Step
			for point := range later.intervals(i, touching, now-reach) {
				if !yield(point) {
					return
				}
			}
		}
	}
}

// holds reports whether a point of fine or coarse, when it is written at the time
// now, still comes into the archive it was made for. One that does not must not
// be written: it would take the place of the newest point, or of a mean. What it
// stands for is in the boundary of that time.
func (p plan) holds(timestamp, now int64) bool {
	if p.plain() {
		return true
	}
	finer, age := int64(math.MinInt64), now-timestamp
	for _, r := range p.schema.Retentions {
		if p.now-timestamp <= r.Span() {
			return age > finer && age < reach(r)
		}
		finer = r.Span()
	}
	return false
}

// reach returns the age below which an interval is safe in its archive. At the
// archive's end whisper puts a point in the place of the newest one, for which
// two steps are kept free.
func reach(r schema.Retention) int64 { return r.Span() - 2*r.Step }

// intervals yields the intervals of an archive that begin at oldest or later and
// before newest, without those that the archive does not keep, and those that
// may hold what the target already has.
func (p plan) intervals(archive int, oldest, newest int64) iter.Seq[sdk.Point] {
	oldest = max(oldest, p.last+1, p.now-reach(p.schema.Retentions[archive])+1)
	return func(yield func(sdk.Point) bool) {
		for s := range p.consolidated(archive, oldest) {
			if s.Timestamp >= newest {
				return
			}
			if s.Timestamp >= oldest && !yield(sdk.Point{Timestamp: s.Timestamp, Value: s.Value}) {
				return
			}
		}
	}
}

// consolidated yields the intervals of an archive, each filled from those of the
// archive before, the first from the points. Of what is before oldest it
// knows nothing.
func (p plan) consolidated(archive int, oldest int64) iter.Seq[span] {
	all := func(yield func(span) bool) {
		for s := range p.points() {
			if s.Timestamp >= oldest && !yield(s) {
				return
			}
		}
	}
	levels := iter.Seq[span](all)
	for i, r := range p.schema.Retentions[:archive+1] {
		levels = fill(levels, r.Step, func(v interval) (span, bool) {
			return v.span(p.schema, i == 0)
		})
	}
	return levels
}

// fill gathers spans by intervals of step seconds, and yields what value makes of
// each.
func fill(spans iter.Seq[span], step int64, value func(interval) (span, bool)) iter.Seq[span] {
	return func(yield func(span) bool) {
		open := interval{step: step}
		for s := range spans {
			start := s.Timestamp - s.Timestamp%step
			if len(open.values) > 0 && start != open.start {
				if filled, ok := value(open); ok && !yield(filled) {
					return
				}
				open.values, open.covers = open.values[:0], open.covers[:0]
			}
			open.start = start
			open.values = append(open.values, s.Value)
			open.covers = append(open.covers, max(1, s.Cover))
		}
		if len(open.values) > 0 {
			if filled, ok := value(open); ok {
				yield(filled)
			}
		}
	}
}

// An interval is one of an archive, with the spans that begin in it.
type interval struct {
	start, step int64
	values      []float64
	covers      []int64 // of each value
}

// span returns what the interval holds, and false when it holds nothing: when
// too little of it is known, unless it is of the finest archive, or the value is
// beyond what a float can hold.
func (v interval) span(s schema.Schema, finest bool) (span, bool) {
	known := int64(0)
	for _, c := range v.covers {
		known += c
	}
	share := float64(min(known, v.step)) / float64(v.step)
	if !finest && !s.Enough(share) {
		return span{}, false
	}
	value := v.value(s.Aggregation)
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return span{}, false
	}
	return span{v.start, value, max(known, v.step)}, true
}

// value returns the interval's value. A span that covers all of it decides alone,
// the newest of several. In a mean, spans count as much as they cover; when all
// cover the same, the result is that of whisper to the bit.
func (v interval) value(a schema.Aggregation) float64 {
	cover, equal, known, weighted := v.covers[0], true, int64(0), 0.0
	whole := -1
	for i, c := range v.covers {
		if c >= v.step {
			whole = i
		}
		equal = equal && c == cover
		known += c
		weighted += v.values[i] * float64(c)
	}
	switch {
	case whole >= 0:
		return v.values[whole]
	case a == schema.Average && !equal:
		return weighted / float64(known)
	case a == schema.AverageZero && (!equal || v.step%cover != 0):
		return weighted / float64(max(known, v.step))
	}
	return a.Of(v.values, v.step/cover)
}

// from returns a sequence without its first n points, which were written before.
func from(points iter.Seq[sdk.Point], n int64) iter.Seq[sdk.Point] {
	return func(yield func(sdk.Point) bool) {
		left := n
		for point := range points {
			if left > 0 {
				left--
				continue
			}
			if !yield(point) {
				return
			}
		}
	}
}

// warning returns what a person should know before history is sent whose oldest
// point is of the timestamp oldest, and of whose points one covers up to cover
// seconds. It is empty when there is nothing.
func (p plan) warning(oldest, cover int64) string {
	age := time.Duration(p.now-oldest) * time.Second
	if p.plain() {
		if age <= 24*time.Hour {
			return ""
		}
		return fmt.Sprintf("points are up to %v old and the target's archives are not known: where a coarser archive begins,"+
			" it keeps one point of each interval in place of a mean; name the target's storage-schemas.conf", age)
	}
	for i, coarse := range p.schema.Retentions {
		if i == 0 {
			continue
		}
		fine := p.schema.Retentions[i-1]
		share := float64(fine.Step) / float64(min(max(cover, fine.Step), coarse.Step))
		if !p.schema.Enough(share) {
			return fmt.Sprintf("a point for each %d seconds fills %.2g of the intervals of %v, less than the xFilesFactor %v:"+
				" %v gets nothing from it, and what is younger than that will vanish with age; fill it again then",
				cover, share, fine, p.schema.XFilesFactor, coarse)
		}
	}
	return ""
}
