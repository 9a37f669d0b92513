package carbon

import (
	"math"
	"unicode/utf8"

	"fluxgate/sdk"
)

// MaxMetric is the longest metric that Carbon can keep, in bytes: it becomes the
// path of a file. Carbon acknowledges a longer one and loses it.
const MaxMetric = 4096

// maxTimestamp is the last second that a whisper file can hold.
const maxTimestamp = math.MaxUint32

// Valid reports why Carbon could not keep d as it is. The error wraps
// [sdk.ErrInvalid] and names the metric.
//
// Carbon itself takes such datapoints without a word. It reads a name with a
// blank or a line end in it as something else, drops NaN, stores -1 as the
// present time, and a timestamp of more than 32 bits makes it drop whatever else
// it was about to write for that metric.
func Valid(d sdk.Datapoint) error {
	switch {
	case d.Metric == "":
		return sdk.Invalidf("metric \"\": the name is empty")
	case len(d.Metric) > MaxMetric:
		return sdk.Invalidf("metric %.60q...: the name is %d bytes long, and Carbon keeps at most %d", d.Metric, len(d.Metric), MaxMetric)
	case hasBlank(d.Metric):
		return sdk.Invalidf("metric %q: the name has a blank or a control character in it", d.Metric)
	case !utf8.ValidString(d.Metric):
		return sdk.Invalidf("metric %q: the name is not UTF-8", d.Metric)
	case math.IsNaN(d.Value) || math.IsInf(d.Value, 0):
		return sdk.Invalidf("metric %q: the value is %v, and must be finite", d.Metric, d.Value)
	case d.Timestamp < 0 || d.Timestamp > maxTimestamp:
		return sdk.Invalidf("metric %q: the timestamp is %d, and must be from 0 to %d", d.Metric, d.Timestamp, int64(maxTimestamp))
	}
	return nil
}

func hasBlank(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return true
		}
	}
	return false
}
