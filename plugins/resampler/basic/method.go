package main

import (
	"math"
	"math/bits"
	"slices"

	"fluxgate/sdk"
)

// A method makes one value of the points of an interval, of which there is at
// least one and each is finite. The value is never NaN.
type method func([]sdk.Point) float64

var methods = [...]struct {
	name  string
	value method
}{
	{"mean", mean}, {"last", last}, {"first", first}, {"sum", sum},
	{"min", lowest}, {"max", highest}, {"median", median}, {"count", count},
}

// find returns the method of a name, or nil.
func find(name string) method {
	for _, m := range methods {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

func names() (all []string) {
	for _, m := range methods {
		all = append(all, m.name)
	}
	return all
}

// mean is that of pandas 1.5.3, to the bit. Where the sum is beyond the range of
// a float64, for which pandas has no mean, it is between the lowest and the
// highest value all the same.
func mean(points []sdk.Point) float64 {
	s, exponent := total(points)
	m := math.Ldexp(s/float64(len(points)), exponent)
	if exponent == 0 {
		return m
	}
	return min(max(m, lowest(points)), highest(points))
}

// sum is infinite when it is beyond the range of a float64.
func sum(points []sdk.Point) float64 {
	s, exponent := total(points)
	return math.Ldexp(s, exponent)
}

// total returns the sum of the values as s times two to the exponent, which is
// not 0 only where a sum on the way is beyond the range of a float64.
func total(points []sdk.Point) (s float64, exponent int) {
	if s := compensated(points, 1); !math.IsInf(s, 0) && !math.IsNaN(s) {
		return s, 0
	}
	exponent = bits.Len(uint(len(points)))
	return compensated(points, math.Ldexp(1, -exponent)), exponent
}

// compensated returns the sum of the values, each times scale, by Kahan's
// summation: what each addition rounds off is made up for in the next. Of -0
// alone it is 0.
func compensated(points []sdk.Point, scale float64) (s float64) {
	var excess float64
	for _, p := range points {
		y := p.Value*scale - excess
		next := s + y
		excess = next - s - y
		s = next
	}
	return s
}

func first(points []sdk.Point) float64 { return points[0].Value }
func last(points []sdk.Point) float64  { return points[len(points)-1].Value }
func count(points []sdk.Point) float64 { return float64(len(points)) }

// lowest returns the first of several zeros, whatever their signs.
func lowest(points []sdk.Point) float64 {
	low := points[0].Value
	for _, p := range points[1:] {
		if p.Value < low {
			low = p.Value
		}
	}
	return low
}

// highest returns the first of several zeros, whatever their signs.
func highest(points []sdk.Point) float64 {
	high := points[0].Value
	for _, p := range points[1:] {
		if p.Value > high {
			high = p.Value
		}
	}
	return high
}

// median returns the mean of the two values in the middle when their number is
// even.
func median(points []sdk.Point) float64 {
	values := make([]float64, len(points))
	for i, p := range points {
		values[i] = p.Value
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	a, b := values[middle-1], values[middle]
	if m := (a + b) / 2; !math.IsInf(m, 0) {
		return m
	}
	return a/2 + b/2
}
