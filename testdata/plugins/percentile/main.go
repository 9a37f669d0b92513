// Fluxgate-resampler-percentile makes one value of the points of each interval: that which a given share
// of the points does not exceed.
package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"fluxgate/sdk"
)

func main() { sdk.ServeResampler(percentile{Percent: 95}, open) }

type percentile struct {
	Percent float64 `koanf:"percent" unit:"percent" help:"the share of the points that are not above the value, more than 0 and up to 100"`
}

func (p percentile) Validate() error {
	if !(p.Percent > 0 && p.Percent <= 100) {
		return fmt.Errorf("percent %v: must be more than 0 and up to 100", p.Percent)
	}
	return nil
}

func open(_ context.Context, configured percentile) (sdk.Resampler, error) { return configured, nil }

func (p percentile) Resample(_ context.Context, s sdk.Series, step time.Duration) (sdk.Series, error) {
	out := sdk.Series{Metric: s.Metric}
	for start, points := range s.Intervals(step) {
		values := make([]float64, len(points))
		for i, point := range points {
			values[i] = point.Value
		}
		slices.Sort(values)
		rank := int(math.Ceil(p.Percent * float64(len(values)) / 100))
		out.Points = append(out.Points, sdk.Point{Timestamp: start, Value: values[max(rank, 1)-1]})
	}
	return out, nil
}
