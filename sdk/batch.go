package sdk

import (
	"encoding/binary"
	"math"
	"slices"
)

// A batch outside a program is columns, little endian: the number of datapoints as
// uint32, the timestamps as int64, the values as float64, the lengths of the metrics
// as uint32, and the metrics. This is how it travels on a data socket, and what the
// host's journal keeps.
const (
	countSize     = 4
	datapointSize = 8 + 8 + 4 // without the metric
)

// AppendBatch appends b as columns.
func AppendBatch(dst []byte, b Batch) []byte {
	n, names, at := len(b), 0, len(dst)
	dst = slices.Grow(dst, countSize+n*datapointSize)[:at+countSize+n*datapointSize]
	order := binary.LittleEndian
	order.PutUint32(dst[at:], uint32(n))
	timestamps, values, lengths := columns(dst[at+countSize:], n)
	for i := range b {
		d := &b[i]
		order.PutUint64(timestamps[8*i:8*i+8], uint64(d.Timestamp))
		order.PutUint64(values[8*i:8*i+8], math.Float64bits(d.Value))
		order.PutUint32(lengths[4*i:4*i+4], uint32(len(d.Metric)))
		names += len(d.Metric)
	}
	begin, end := len(dst), 0
	dst = slices.Grow(dst, names)[:begin+names]
	texts := dst[begin:]
	for i := range b {
		metric := b[i].Metric
		copy(texts[end:end+len(metric)], metric)
		end += len(metric)
	}
	return dst
}

// columns are those of n datapoints at the beginning of data, but for the metrics.
func columns(data []byte, n int) (timestamps, values, lengths []byte) {
	return data[:8*n], data[8*n : 16*n], data[16*n : 20*n]
}

// ReadBatch appends the datapoints that are columns in data to b. Their metrics
// share data, which must not change any more. It returns an error wrapping
// [ErrInvalid], and b, for anything that is no batch, or has bytes to spare.
func ReadBatch(b Batch, data []byte) (Batch, error) {
	n, rest, ok := splitColumns(data)
	if !ok {
		return b, Invalidf("%d bytes that are no batch", len(data))
	}
	order := binary.LittleEndian
	timestamps, values, lengths := columns(rest, n)
	names := text(rest[n*datapointSize:])
	longer := slices.Grow(b, n)[:len(b)+n]
	more := longer[len(b):]
	for i := range more {
		length := uint(order.Uint32(lengths[4*i : 4*i+4]))
		if length > uint(len(names)) {
			return b, Invalidf("a batch whose metrics are longer than its %d bytes", len(data))
		}
		d := &more[i]
		d.Metric, names = names[:length], names[length:]
		d.Timestamp = int64(order.Uint64(timestamps[8*i : 8*i+8]))
		d.Value = math.Float64frombits(order.Uint64(values[8*i : 8*i+8]))
	}
	if names != "" {
		return b, Invalidf("a batch with %d bytes to spare", len(names))
	}
	return longer, nil
}

// countBatch returns how many datapoints the columns in data say that they hold, as
// far as data has room for them; 0 for what is no batch.
func countBatch(data []byte) int {
	n, _, _ := splitColumns(data)
	return n
}

func splitColumns(data []byte) (n int, rest []byte, ok bool) {
	if len(data) < countSize {
		return 0, nil, false
	}
	count, rest := uint64(binary.LittleEndian.Uint32(data)), data[countSize:]
	if count*datapointSize > uint64(len(rest)) {
		return 0, nil, false
	}
	return int(count), rest, true
}
