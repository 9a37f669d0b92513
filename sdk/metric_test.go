package sdk_test

import (
	"fmt"
	"testing"
	"time"

	"fluxgate/sdk"
)

func TestSeriesBatch(t *testing.T) {
	s := sdk.Series{Metric: "a.b", Points: []sdk.Point{{-1, 0.5}, {2, 3}}}
	want := sdk.Batch{{"a.b", -1, 0.5}, {"a.b", 2, 3}}
	if got := s.Batch(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("batch %v, want %v", got, want)
	}
	if got := (sdk.Series{Metric: "a.b"}).Batch(); len(got) != 0 {
		t.Errorf("batch of no points: %v", got)
	}
}

func TestSeriesIntervals(t *testing.T) {
	at := func(timestamps ...int64) (points []sdk.Point) {
		for _, ts := range timestamps {
			points = append(points, sdk.Point{Timestamp: ts, Value: float64(ts)})
		}
		return points
	}
	type interval struct {
		start  int64
		points []sdk.Point
	}
	tests := []struct {
		name   string
		points []sdk.Point
		step   time.Duration
		want   []interval
	}{
		{"no points", nil, time.Minute, nil},
		{"on the borders", at(0, 60, 120), time.Minute, []interval{{0, at(0)}, {60, at(60)}, {120, at(120)}}},
		{"beside the borders", at(59, 61, 119), time.Minute, []interval{{0, at(59)}, {60, at(61, 119)}}},
		{"a gap yields nothing", at(1, 301), time.Minute, []interval{{0, at(1)}, {300, at(301)}}},
		{"the same second twice", at(5, 5), time.Minute, []interval{{0, at(5, 5)}}},
		{"all in one", at(1, 2, 3), time.Hour, []interval{{0, at(1, 2, 3)}}},
		{"a step below a second is one second", at(1, 2), time.Millisecond, []interval{{1, at(1)}, {2, at(2)}}},
		{"no step is one second", at(1, 2), 0, []interval{{1, at(1)}, {2, at(2)}}},
		{"a step is whole seconds", at(1, 2, 3), 2500 * time.Millisecond, []interval{{0, at(1)}, {2, at(2, 3)}}},
		{"before the epoch", at(-61, -60, -1, 0), time.Minute, []interval{{-120, at(-61)}, {-60, at(-60, -1)}, {0, at(0)}}},
	}
	for _, tt := range tests {
		var got []interval
		for start, points := range (sdk.Series{Points: tt.points}).Intervals(tt.step) {
			got = append(got, interval{start, points})
		}
		if fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestSeriesIntervalsMayBeLeftEarly(t *testing.T) {
	n := 0
	for range (sdk.Series{Points: []sdk.Point{{0, 0}, {60, 0}, {120, 0}}}).Intervals(time.Minute) {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d intervals", n)
	}
}
