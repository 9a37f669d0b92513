package main

import (
	"math"
	"slices"
	"testing"
	"time"

	"fluxgate/sdk"
)

// of returns points of these values, a second apart.
func of(values ...float64) (points []sdk.Point) {
	for i, v := range values {
		points = append(points, sdk.Point{Timestamp: 1_700_000_000 + int64(i), Value: v})
	}
	return points
}

func TestMethods(t *testing.T) {
	const huge = math.MaxFloat64
	minusZero := math.Copysign(0, -1)
	for _, tt := range []struct {
		name   string
		method string
		in     []float64
		want   float64
	}{
		{"mean", "mean", []float64{1, 2, 6}, 3},
		{"what is rounded off is made up for", "sum", []float64{1e16, 1, 1, 1, 1}, 1e16 + 4},
		{"mean of minus zero", "mean", []float64{minusZero}, 0},
		{"sum of minus zero", "sum", []float64{minusZero, minusZero}, 0},
		{"mean of what has no sum", "mean", []float64{huge, huge, huge}, huge},
		{"mean of what has no sum, below zero", "mean", []float64{-huge, -huge, -huge, -huge, -huge}, -huge},
		{"mean of what has no sum on the way", "mean", []float64{huge, huge, -huge, -huge, 5}, 1},
		{"sum of what has no sum on the way", "sum", []float64{huge, huge, -huge}, huge},
		{"no sum", "sum", []float64{huge, huge}, math.Inf(1)},
		{"last", "last", []float64{3, 1, 2}, 2},
		{"first", "first", []float64{3, 1, 2}, 3},
		{"last keeps minus zero", "last", []float64{1, minusZero}, minusZero},
		{"min", "min", []float64{3, 1, 2}, 1},
		{"min of zeros", "min", []float64{0, minusZero}, 0},
		{"max", "max", []float64{-3, -1, -2}, -1},
		{"max of zeros", "max", []float64{minusZero, 0}, minusZero},
		{"median of three", "median", []float64{9, 1, 2}, 2},
		{"median of four", "median", []float64{9, 1, 2, 4}, 3},
		{"median of the greatest", "median", []float64{huge, huge}, huge},
		{"median of one", "median", []float64{7}, 7},
		{"count", "count", []float64{5, 5, 5}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := find(tt.method)(of(tt.in...)); math.Float64bits(got) != math.Float64bits(tt.want) {
				t.Errorf("%s of %v: %v, want %v", tt.method, tt.in, got, tt.want)
			}
		})
	}
}

func TestMedianLeavesThePointsAlone(t *testing.T) {
	points := of(3, 1, 2)
	if median(points); !slices.Equal(points, of(3, 1, 2)) {
		t.Errorf("they are %v", points)
	}
}

func TestASumBeyondAFloatIsLeftOut(t *testing.T) {
	r := resampler{value: sum}
	in := sdk.Series{Points: []sdk.Point{{Timestamp: 0, Value: math.MaxFloat64}, {Timestamp: 1, Value: math.MaxFloat64}, {Timestamp: 60, Value: 1}}}
	got, err := r.Resample(t.Context(), in, time.Minute)
	if err != nil || !slices.Equal(got.Points, []sdk.Point{{Timestamp: 60, Value: 1}}) {
		t.Errorf("%v, %v", got, err)
	}
}

// at returns a series of points at these timestamps.
func at(timestamps ...int64) (s sdk.Series) {
	for _, timestamp := range timestamps {
		s.Points = append(s.Points, sdk.Point{Timestamp: timestamp, Value: 1})
	}
	return s
}

// every returns the timestamps from first on, each distance after the one before.
func every(distance, first int64, n int) (timestamps []int64) {
	for i := range n {
		timestamps = append(timestamps, first+int64(i)*distance)
	}
	return timestamps
}

func TestOwnStep(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   sdk.Series
		want int64
	}{
		{"no point", at(), 0},
		{"one point", at(7), 0},
		{"one timestamp", at(7, 7, 7), 0},
		{"regular", at(every(10, 60, 6)...), 10},
		{"with a gap", at(0, 10, 20, 600, 610), 10},
		{"most have a double", at(0, 0, 10, 10, 20, 20, 30), 10},
		{"of two as common the shorter", at(0, 60, 70, 130, 140), 10},
		{"the more common, though longer", at(0, 1, 61, 121), 60},
	} {
		if got := ownStep(tt.in); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestShare(t *testing.T) {
	// Six points in minute 0, three in minute 1, two in minute 2, of which one has a double.
	thinning := at(0, 10, 20, 30, 40, 50, 60, 70, 80, 120, 130, 130)
	for _, tt := range []struct {
		name     string
		in       sdk.Series
		minShare float64
		want     []int64
	}{
		{"none needed", thinning, 0, []int64{0, 60, 120}},
		{"a third", thinning, 2.0 / 6, []int64{0, 60, 120}},
		{"half", thinning, 0.5, []int64{0, 60}},
		{"more than half", thinning, 0.51, []int64{0}},
		{"all", thinning, 1, []int64{0}},
		{"a step that does not divide the interval", at(every(7, 0, 17)...), 1, []int64{0, 60}}, // 9 points and 8
		{"a share that is not exact in binary", at(every(3, 0, 11)...), 0.55, []int64{0}},       // 11 of 20
		{"coarser than the interval", at(every(300, 0, 3)...), 1, []int64{0, 300, 600}},
		{"a single point", at(61), 1, []int64{60}},
		{"nothing", at(), 1, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := resampler{count, tt.minShare}.Resample(t.Context(), tt.in, time.Minute)
			var starts []int64
			for _, p := range got.Points {
				starts = append(starts, p.Timestamp)
			}
			if err != nil || !slices.Equal(starts, tt.want) {
				t.Errorf("intervals %v, %v, want %v", starts, err, tt.want)
			}
		})
	}
}
