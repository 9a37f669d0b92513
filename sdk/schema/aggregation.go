package schema

import (
	"fmt"
	"math"
	"strings"
)

// An Aggregation is how whisper fills a coarser archive, as numbered in the
// file. The zero value is none.
type Aggregation uint32

// The aggregations of whisper 1.1.4, which are all that Carbon 1.1.7 knows.
const (
	Average Aggregation = 1 + iota
	Sum
	Last
	Max
	Min
	AverageZero // unknown points count as 0
	AbsoluteMax
	AbsoluteMin
)

var aggregationNames = [...]string{
	Average: "average", Sum: "sum", Last: "last", Max: "max", Min: "min",
	AverageZero: "avg_zero", AbsoluteMax: "absmax", AbsoluteMin: "absmin",
}

// ParseAggregation reads an aggregation as storage-aggregation.conf names it:
// average, sum, last, max, min, avg_zero, absmax or absmin.
func ParseAggregation(name string) (Aggregation, error) {
	for i, n := range aggregationNames {
		if n == name && n != "" {
			return Aggregation(i), nil
		}
	}
	return 0, fmt.Errorf("aggregation %q: must be one of %s", name, strings.Join(aggregationNames[Average:], ", "))
}

// Known reports whether whisper knows the aggregation.
func (a Aggregation) Known() bool { return a >= Average && a <= AbsoluteMin }

// String returns the name that [ParseAggregation] reads.
func (a Aggregation) String() string {
	if !a.Known() {
		return fmt.Sprintf("aggregation %d", uint32(a))
	}
	return aggregationNames[a]
}

// Of returns the value for an interval of count points, of which values are
// known, at least one, in the order of time. The result is that of whisper to
// the bit.
func (a Aggregation) Of(values []float64, count int64) float64 {
	total, pick := 0.0, values[0]
	for _, v := range values {
		total += v
		if a == Last || a == Max && v > pick || a == Min && v < pick ||
			a == AbsoluteMax && math.Abs(v) > math.Abs(pick) || a == AbsoluteMin && math.Abs(v) < math.Abs(pick) {
			pick = v
		}
	}
	switch a {
	case Average:
		return total / float64(len(values))
	case AverageZero:
		return total / float64(count)
	case Sum:
		return total
	}
	return pick
}
