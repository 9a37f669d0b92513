package delivery

import (
	"bytes"
	"slices"

	"fluxgate/core/journal"
	"fluxgate/sdk"
)

// What a sink is sent at once, and what one record of a journal holds.
const (
	maxBatch = 5000      // datapoints
	maxBytes = 512 << 10 // bytes on the wire, about
)

// A record of a journal is a batch as columns, as [sdk.AppendBatch] writes it.

// records returns b as records within the bounds of a sink's batch. Their bytes are
// those of room, which it returns longer.
func records(room []byte, b sdk.Batch) (all []journal.Record, bytes []byte) {
	size := 0
	for i := range b {
		size += datapointSize(b[i])
	}
	room = slices.Grow(room, size+(1+len(b)/maxBatch+2*size/maxBytes)*4)
	for len(b) > 0 {
		n, begin := piece(b), len(room)
		room = sdk.AppendBatch(room, b[:n])
		all = append(all, journal.Record{Data: room[begin:len(room):len(room)], Count: n})
		b = b[n:]
	}
	return all, room
}

// cut returns b as batches within the bounds of a sink's.
func cut(b sdk.Batch) (batches []sdk.Batch) {
	for len(b) > 0 {
		n := piece(b)
		batches = append(batches, b[:n:n])
		b = b[n:]
	}
	return batches
}

// piece returns how many datapoints of b are within bounds; at least one.
func piece(b sdk.Batch) int {
	bytes := 0
	for i := range b {
		if bytes += datapointSize(b[i]); i > 0 && (i >= maxBatch || bytes > maxBytes) {
			return i
		}
	}
	return len(b)
}

// datapointSize is the size in a record.
func datapointSize(d sdk.Datapoint) int { return len(d.Metric) + 20 }

func appendBatch(to []byte, b sdk.Batch) []byte { return sdk.AppendBatch(to, b) }

// readBatch adds the datapoints of a record to b. Their metrics share one copy of
// data.
func readBatch(b sdk.Batch, data []byte) (sdk.Batch, error) {
	return sdk.ReadBatch(b, bytes.Clone(data))
}
