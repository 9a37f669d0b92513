package sdk

import (
	"iter"
	"time"
)

// A Datapoint is one value of one metric at one time.
type Datapoint struct {
	Metric    string  // dotted Graphite name
	Timestamp int64   // Unix seconds
	Value     float64 // never NaN or infinite
}

// A Batch is a list of datapoints in the order they arrived. Writing a batch
// twice is the same as writing it once: Graphite keeps the last value of an
// interval.
type Batch []Datapoint

// A Point is a [Datapoint] whose metric is known from context.
type Point struct {
	Timestamp int64
	Value     float64
}

// A Series is the points of one metric, in ascending order of time.
type Series struct {
	Metric string
	Points []Point
}

// Batch returns the series as datapoints.
func (s Series) Batch() Batch {
	b := make(Batch, len(s.Points))
	for i, p := range s.Points {
		b[i] = Datapoint{s.Metric, p.Timestamp, p.Value}
	}
	return b
}

// Intervals yields the start of each step that has points, and those points.
// Steps are counted from the Unix epoch; a step is at least a second.
func (s Series) Intervals(step time.Duration) iter.Seq2[int64, []Point] {
	seconds := max(1, int64(step/time.Second))
	return func(yield func(int64, []Point) bool) {
		for rest := s.Points; len(rest) > 0; {
			into := rest[0].Timestamp % seconds
			if into < 0 { // before the epoch
				into += seconds
			}
			start := rest[0].Timestamp - into
			n := 1
			for n < len(rest) && rest[n].Timestamp < start+seconds {
				n++
			}
			if !yield(start, rest[:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}
