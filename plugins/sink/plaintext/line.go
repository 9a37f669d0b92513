package main

import (
	"strconv"

	"fluxgate/sdk"
	"fluxgate/sdk/carbon"
)

// maxNumbers is the most bytes that a line has besides its metric: two blanks, a
// value of up to 24 bytes, a timestamp of up to 10, and the line end.
const maxNumbers = 2 + 24 + 10 + 1

// appendLines appends b to dst, one line for each datapoint. The error wraps
// [sdk.ErrInvalid] and names the first metric that cannot be written so.
func appendLines(dst []byte, b sdk.Batch) ([]byte, error) {
	for _, d := range b {
		if err := valid(d); err != nil {
			return nil, err
		}
		dst = append(dst, d.Metric...)
		dst = append(dst, ' ')
		dst = strconv.AppendFloat(dst, d.Value, 'g', -1, 64) // the shortest that reads back the same
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, d.Timestamp, 10)
		dst = append(dst, '\n')
	}
	return dst, nil
}

// linesSize returns the length of what appendLines appends, or a little more.
func linesSize(b sdk.Batch) int {
	size := 0
	for _, d := range b {
		size += len(d.Metric) + maxNumbers
	}
	return size
}

// valid reports why d cannot be one line. Carbon splits a line at whatever
// Unicode calls a blank, so only ASCII is safe in a metric.
func valid(d sdk.Datapoint) error {
	if err := carbon.Valid(d); err != nil {
		return err
	}
	for i := range len(d.Metric) {
		if d.Metric[i] >= 0x80 {
			return sdk.Invalidf("metric %q: the name is not ASCII, which Carbon's line receiver needs", d.Metric)
		}
	}
	return nil
}
