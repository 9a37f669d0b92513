// Resampler is a plugin of protocol 1 that keeps the last point of each interval.
package main

import (
	"context"
	"time"

	"fluxgate/testdata/protocol1/sdk"
)

func main() {
	sdk.ServeResampler(sdk.NoConfig{}, func(context.Context, sdk.NoConfig) (sdk.Resampler, error) { return last{}, nil })
}

type last struct{}

// Resample implements [sdk.Resampler].
func (last) Resample(_ context.Context, s sdk.Series, step time.Duration) (sdk.Series, error) {
	out := sdk.Series{Metric: s.Metric}
	for start, points := range s.Intervals(step) {
		out.Points = append(out.Points, sdk.Point{Timestamp: start, Value: points[len(points)-1].Value})
	}
	return out, nil
}
