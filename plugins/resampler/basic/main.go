// Fluxgate-resampler-basic is a resampler plugin that makes one value of the
// points of each interval: their mean, or what else its settings name.
package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"fluxgate/sdk"
)

func main() { sdk.ServeResampler(config{Method: "mean"}, open) }

type config struct {
	Method   string  `koanf:"method" help:"what becomes of the points of an interval: mean, last, first, sum, min, max, median or count"`
	MinShare float64 `koanf:"min_share" help:"the share of the points that an interval should have, 0 to 1, below which it is left out"`
}

func (c config) Validate() error {
	if find(c.Method) == nil {
		return fmt.Errorf("method %q: must be one of %s", c.Method, strings.Join(names(), ", "))
	}
	if !(c.MinShare >= 0 && c.MinShare <= 1) {
		return fmt.Errorf("min_share %v: must be 0 to 1", c.MinShare)
	}
	return nil
}

func open(_ context.Context, c config) (sdk.Resampler, error) {
	return resampler{find(c.Method), c.MinShare}, nil
}

type resampler struct {
	value    method
	minShare float64
}

// Resample leaves out the intervals that have less than their share of points,
// and those whose value is out of the range of a float64.
func (r resampler) Resample(_ context.Context, s sdk.Series, step time.Duration) (sdk.Series, error) {
	out, most := sdk.Series{Metric: s.Metric}, expected(s, step)
	for start, points := range s.Intervals(step) {
		if share := float64(moments(points)) / float64(most); share < r.minShare {
			continue
		}
		if v := r.value(points); !math.IsInf(v, 0) {
			out.Points = append(out.Points, sdk.Point{Timestamp: start, Value: v})
		}
	}
	return out, nil
}
