package main

import (
	"math"
	"slices"
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
	if err := carbon.ValidLines(b); err != nil {
		return nil, err
	}
	var room [maxNumbers]byte
	end, of := room[:0], int64(-1) // how a line of that timestamp ends
	for i := range b {
		d := &b[i]
		if d.Timestamp != of {
			end, of = appendEnd(room[:0], d.Timestamp), d.Timestamp
		}
		dst = slices.Grow(dst, len(d.Metric)+maxNumbers)
		dst = append(dst, d.Metric...)
		dst = append(dst, ' ')
		dst = appendValue(dst, d.Value)
		dst = append(dst, end...)
	}
	return dst, nil
}

func appendEnd(dst []byte, timestamp int64) []byte {
	dst = strconv.AppendInt(append(dst, ' '), timestamp, 10)
	return append(dst, '\n')
}

// appendValue appends v with the fewest digits that read back the same, as
// [strconv.AppendFloat] does with 'g' and -1. Most values are whole
// or have few decimals, and need no search for these digits.
func appendValue(dst []byte, v float64) []byte {
	if n := int64(v); float64(n) == v && -exact <= n && n <= exact && math.Float64bits(v) != 1<<63 {
		return appendWhole(dst, n)
	}
	if n := int64(math.Abs(v)*1000 + 0.5); 0 < n && n < 1e9 && float64(n)/1000 == math.Abs(v) {
		if v < 0 {
			dst = append(dst, '-')
		}
		return appendThousandths(dst, n)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}

// exact is the end of the whole numbers that are floats without a gap.
const exact = 1 << 53

// appendWhole is appendValue for whole numbers up to exact. Their own digits,
// without zeros at the end, are the fewest: fewer make another whole number.
func appendWhole(dst []byte, n int64) []byte {
	if -1e6 < n && n < 1e6 {
		return strconv.AppendInt(dst, n, 10)
	}
	if n < 0 {
		dst = append(dst, '-')
		n = -n
	}
	dst = append(dst, 0) // for the first digit, where that gets its point
	first := len(dst)
	dst = strconv.AppendInt(dst, n, 10)
	exponent := len(dst) - first - 1
	dst[first-1], dst[first] = dst[first], '.'
	dst = trimmed(dst)
	if len(dst) == first+1 {
		dst = dst[:first]
	}
	return append(dst, 'e', '+', byte('0'+exponent/10), byte('0'+exponent%10))
}

// appendThousandths is appendValue for n/1000, of at most fifteen digits: floats
// keep so many apart, so that its own digits are the fewest.
func appendThousandths(dst []byte, n int64) []byte {
	dst = strconv.AppendInt(dst, n/1000, 10)
	r := n % 1000
	dst = append(dst, '.', byte('0'+r/100), byte('0'+r/10%10), byte('0'+r%10))
	return trimmed(dst)
}

// trimmed returns digits without the zeros at their end.
func trimmed(digits []byte) []byte {
	for digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
	}
	return digits
}
