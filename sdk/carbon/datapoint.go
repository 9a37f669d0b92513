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
	if plain(&d) {
		return nil
	}
	return complaint(d)
}

// ValidBatch returns what [Valid] does for the first datapoint of b that Carbon
// could not keep.
func ValidBatch(b sdk.Batch) error {
	for i := range b {
		if !plain(&b[i]) {
			if err := complaint(b[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// ValidLines is [ValidBatch] for a line receiver. Carbon's splits a line at
// whatever Unicode calls a blank, so only ASCII is safe in a metric there.
func ValidLines(b sdk.Batch) error {
	for i := range b {
		if !plain(&b[i]) {
			if err := complaint(b[i]); err != nil {
				return err
			}
			return sdk.Invalidf("metric %q: the name is not ASCII, which Carbon's line receiver needs", b[i].Metric)
		}
	}
	return nil
}

// plain reports whether d is valid and its name is ASCII, as nearly all are. It
// walks the name once, eight bytes at a time, and over the last eight of them
// first.
func plain(d *sdk.Datapoint) bool {
	const (
		exponent = 0x7ff << 52        // all ones: infinite or not a number
		highest  = 0x8080808080808080 // the highest bit of each byte
	)
	name := d.Metric
	if len(name) > MaxMetric || uint64(d.Timestamp) > maxTimestamp || math.Float64bits(d.Value)&exponent == exponent {
		return false
	}
	if len(name) < 8 {
		return visible(name)
	}
	end := len(name) - 8
	all := visible8(name[end:])
	for i := 0; i < end; i += 8 {
		all &= visible8(name[i:])
	}
	return all&highest == highest
}

// visible8 looks at the first eight bytes of s, and sets the highest bit of each
// that is ASCII and neither a blank nor a control character, as long as none is
// beyond ASCII. Of the two sums, which carry into no other byte then, one has that
// bit above the blank, the other at DEL alone.
func visible8(s string) uint64 {
	const each = 0x0101010101010101
	w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	return ((w + each*(0x80-'!')) ^ (w + each*(0x80-0x7f))) &^ w
}

// visible reports whether s is not empty, and all of it ASCII that is neither a
// blank nor a control character.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}

// complaint returns what [Valid] does, at leisure.
func complaint(d sdk.Datapoint) error {
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
