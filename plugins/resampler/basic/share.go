package main

import (
	"time"

	"fluxgate/sdk"
)

// expected returns how many points an interval of step should have, at least 1:
// as many of the series' own steps as fit into it.
func expected(s sdk.Series, step time.Duration) int64 {
	own := ownStep(s)
	if own == 0 {
		return 1
	}
	return max(1, int64(step/time.Second)/own)
}

// ownStep returns the most common distance between consecutive points of a
// series, in seconds, without regard to points of the same timestamp. Of several
// as common it is the shortest; 0 when there is none.
func ownStep(s sdk.Series) (own int64) {
	times := make(map[int64]int)
	for i := 1; i < len(s.Points); i++ {
		if distance := s.Points[i].Timestamp - s.Points[i-1].Timestamp; distance > 0 {
			times[distance]++
		}
	}
	for distance, n := range times {
		if most := times[own]; n > most || n == most && distance < own {
			own = distance
		}
	}
	return own
}

// moments returns how many timestamps there are among points, one at least.
func moments(points []sdk.Point) int {
	n := 1
	for i := 1; i < len(points); i++ {
		if points[i].Timestamp != points[i-1].Timestamp {
			n++
		}
	}
	return n
}
