package delivery

import (
	"encoding/binary"
	"errors"
	"math"

	"fluxgate/core/journal"
	"fluxgate/sdk"
)

// What a sink is sent at once, and what one record of a journal holds.
const (
	maxBatch = 5000      // datapoints
	maxBytes = 512 << 10 // bytes on the wire, about
)

// A record of a journal holds a batch as columns: the number of datapoints, the
// timestamps, the values, the lengths of the metrics, and the metrics. Numbers
// are little-endian, of eight bytes, but for the first and the lengths, of four.

// records returns b as records within the bounds of a sink's batch.
func records(b sdk.Batch) []journal.Record {
	var all []journal.Record
	for len(b) > 0 {
		n := piece(b)
		all = append(all, journal.Record{Data: appendBatch(nil, b[:n]), Count: n})
		b = b[n:]
	}
	return all
}

// piece returns how many datapoints of b are within bounds; at least one.
func piece(b sdk.Batch) int {
	bytes := 0
	for i, d := range b {
		if bytes += datapointSize(d); i > 0 && (i >= maxBatch || bytes > maxBytes) {
			return i
		}
	}
	return len(b)
}

// datapointSize is the size in a record. On the wire to a sink a datapoint of
// today is smaller.
func datapointSize(d sdk.Datapoint) int { return len(d.Metric) + 20 }

func appendBatch(to []byte, b sdk.Batch) []byte {
	order := binary.LittleEndian
	to = order.AppendUint32(to, uint32(len(b)))
	for _, d := range b {
		to = order.AppendUint64(to, uint64(d.Timestamp))
	}
	for _, d := range b {
		to = order.AppendUint64(to, math.Float64bits(d.Value))
	}
	for _, d := range b {
		to = order.AppendUint32(to, uint32(len(d.Metric)))
	}
	for _, d := range b {
		to = append(to, d.Metric...)
	}
	return to
}

var errRecord = errors.New("a record of the journal is no batch")

// readBatch adds the datapoints of a record to b. Their metrics share one copy
// of those in data.
func readBatch(b sdk.Batch, data []byte) (sdk.Batch, error) {
	if len(data) < 4 {
		return b, errRecord
	}
	order := binary.LittleEndian
	n, data := int(order.Uint32(data)), data[4:]
	if len(data)/20 < n {
		return b, errRecord
	}
	timestamps, values, lengths := data[:8*n], data[8*n:16*n], data[16*n:20*n]
	names := string(data[20*n:])
	for i := range n {
		length := int(order.Uint32(lengths[4*i:]))
		if length > len(names) {
			return b, errRecord
		}
		b = append(b, sdk.Datapoint{
			Metric:    names[:length],
			Timestamp: int64(order.Uint64(timestamps[8*i:])),
			Value:     math.Float64frombits(order.Uint64(values[8*i:])),
		})
		names = names[length:]
	}
	if names != "" {
		return b, errRecord
	}
	return b, nil
}
