package ledger

import (
	"bytes"
	"math"
	"strconv"
)

// Entries are written as Skyline's Python reads them, with literal_eval: the
// string as a list, the field of the hash as a dict. It cannot read nan and inf, so
// a value that is not finite is written as None.

func appendList(b []byte, timestamp int64, value float64) []byte {
	b = strconv.AppendInt(append(b, '['), timestamp, 10)
	b = appendFloat(append(b, ", "...), value)
	return append(b, ']')
}

func appendDict(b []byte, timestamp int64, value float64) []byte {
	b = strconv.AppendInt(append(b, "{'timestamp': "...), timestamp, 10)
	b = appendFloat(append(b, ", 'value': "...), value)
	return append(b, '}')
}

// appendFloat appends v as Python prints a float: the shortest digits that read
// back the same, with an exponent below 1e-4 and from 1e16 on, else with a
// decimal point.
func appendFloat(b []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(b, "None"...)
	}
	if abs := math.Abs(v); abs != 0 && (abs < 1e-4 || abs >= 1e16) {
		return strconv.AppendFloat(b, v, 'e', -1, 64)
	}
	start := len(b)
	b = strconv.AppendFloat(b, v, 'f', -1, 64)
	if bytes.IndexByte(b[start:], '.') < 0 {
		b = append(b, ".0"...)
	}
	return b
}
