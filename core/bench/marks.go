package main

import (
	"fmt"
	"math"
	"slices"
)

// A bound is what a value has to keep to.
type bound struct {
	least, most float64 // NaN: none
	unit        string
}

func atLeast(x float64, unit string) bound { return bound{x, math.NaN(), unit} }
func atMost(x float64, unit string) bound  { return bound{math.NaN(), x, unit} }
func between(least, most float64, unit string) bound {
	return bound{least, most, unit}
}

func (b bound) String() string {
	switch {
	case math.IsNaN(b.most):
		return "at least " + number(b.least) + b.unit
	case math.IsNaN(b.least):
		return "at most " + number(b.most) + b.unit
	}
	return number(b.least) + " to " + number(b.most) + b.unit
}

func (b bound) met(x float64) bool { return !(x < b.least) && !(x > b.most) && !math.IsNaN(x) }

// A mark is what was measured, beside what it has to keep to.
type mark struct {
	what   string
	bound  bound
	values []float64 // of each round
	why    string    // there is none

	unchecked float64 // the greatest share of a round's datapoints that were judged without the ledger's store
}

// verdict is one word, or two.
func (m mark) verdict() string {
	switch {
	case len(m.values) == 0:
		return "not measured"
	case m.unchecked > 0:
		return "**missed**: not all are de-duplicated"
	case m.bound.met(median(m.values)):
		return "met"
	}
	return "**missed**"
}

// String tells the value, and between what it lay.
func (m mark) String() string {
	if len(m.values) == 0 {
		return m.why
	}
	text := number(median(m.values)) + m.bound.unit
	if len(m.values) > 1 {
		text += fmt.Sprintf(" (%s to %s)", number(slices.Min(m.values)), number(slices.Max(m.values)))
	}
	return text
}

// median returns the one in the middle; NaN of none. Of an even number it is the mean of
// the two in the middle.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[half-1] + sorted[half]) / 2
	}
	return sorted[half]
}

// number prints three digits, or all before the point.
func number(x float64) string {
	switch size := math.Abs(x); {
	case math.IsNaN(x):
		return "-"
	case size == 0:
		return "0"
	case size >= 100:
		return fmt.Sprintf("%.0f", x)
	case size >= 10:
		return fmt.Sprintf("%.1f", x)
	case size >= 1:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.3f", x)
}

// A section is what came of a row.
type section struct {
	title   string
	text    string   // what is compared, in words
	rounds  string   // how often it was measured, and for how long
	load    []string // the flags of `fluxgate bench`
	order   []string // roads
	samples map[string][]sample
	lines   []string // more that was measured
	marks   []mark
	failed  []string // what could not be measured, and why
}

func (s *section) add(road string, one sample) {
	if !slices.Contains(s.order, road) {
		s.order = append(s.order, road)
	}
	if s.samples == nil {
		s.samples = make(map[string][]sample)
	}
	s.samples[road] = append(s.samples[road], one)
}

// fail notes that a road, or anything else, could not be measured.
func (s *section) fail(what string, err error) {
	if err == nil {
		return
	}
	s.failed = append(s.failed, what+": "+err.Error())
	s.drop(what)
}

// drop leaves out what was measured of a road until it failed.
func (s *section) drop(road string) {
	delete(s.samples, road)
	s.order = slices.DeleteFunc(s.order, func(name string) bool { return name == road })
}

// values returns a figure of each round of a road.
func (s *section) values(road string, of func(sample) float64) (all []float64) {
	for _, one := range s.samples[road] {
		all = append(all, of(one))
	}
	return all
}

// judge notes a mark about a road: a figure of each round.
func (s *section) judge(what string, b bound, road string, of func(sample) float64) {
	s.mark(what, b, s.values(road, of))
	s.marks[len(s.marks)-1].unchecked = s.unchecked(road)
}

// judgeBeside notes a mark about two roads, of which join makes one value a round.
func (s *section) judgeBeside(what string, b bound, road, other string, of func(sample) float64, join func(a, b float64) float64) {
	s.mark(what, b, joined(s.values(road, of), s.values(other, of), join))
	s.marks[len(s.marks)-1].unchecked = max(s.unchecked(road), s.unchecked(other))
}

// tellBeside notes what join makes of two roads, without a mark.
func (s *section) tellBeside(what, road, other string, of func(sample) float64, join func(a, b float64) float64) {
	s.lines = append(s.lines, what+": "+mark{values: joined(s.values(road, of), s.values(other, of), join), why: "-"}.String())
}

// unchecked returns the greatest share of a round's datapoints that a road has judged
// without the ledger's store.
func (s *section) unchecked(road string) (most float64) {
	for _, one := range s.samples[road] {
		if one.unchecked > 0 {
			most = max(most, one.unchecked/float64(one.Datapoints))
		}
	}
	return most
}

// joined returns what join makes of each pair; nothing where they are not as many.
func joined(a, b []float64, join func(a, b float64) float64) (all []float64) {
	if len(a) != len(b) {
		return nil
	}
	for i := range a {
		all = append(all, join(a[i], b[i]))
	}
	return all
}

func (s *section) mark(what string, b bound, values []float64) {
	s.marks = append(s.marks, mark{what: what, bound: b, values: values, why: "-"})
}

func ratio(a, b float64) float64      { return a / b }
func difference(a, b float64) float64 { return a - b }
