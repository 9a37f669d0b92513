package fleet

import (
	"iter"
	"math"
	"time"

	"fluxgate/sdk"
)

// checked reports how a resampler's answer breaks the contract of
// [sdk.Resampler]: its metric is that of the series; its timestamps ascend, are
// multiples of step and those of intervals that have points; its values are
// finite. The error wraps [sdk.ErrInvalid].
func checked(in sdk.Series, step time.Duration, out sdk.Series) error {
	if out.Metric != in.Metric {
		return sdk.Invalidf("the answer is about metric %q, not %q", out.Metric, in.Metric)
	}
	next, stop := iter.Pull2(in.Intervals(step))
	defer stop()
	start, _, more := next()
	for i, p := range out.Points {
		switch {
		case math.IsNaN(p.Value) || math.IsInf(p.Value, 0):
			return sdk.Invalidf("the answer has the value %v at %d, which is not finite", p.Value, p.Timestamp)
		case p.Timestamp%int64(step/time.Second) != 0:
			return sdk.Invalidf("the answer has a timestamp, %d, that is no multiple of the step of %v", p.Timestamp, step)
		case i > 0 && p.Timestamp <= out.Points[i-1].Timestamp:
			return sdk.Invalidf("the answer has timestamp %d after %d, and must ascend", p.Timestamp, out.Points[i-1].Timestamp)
		}
		for more && start < p.Timestamp {
			start, _, more = next()
		}
		if !more || start != p.Timestamp {
			return sdk.Invalidf("the answer has an interval, %d, without points in the series", p.Timestamp)
		}
	}
	return nil
}
