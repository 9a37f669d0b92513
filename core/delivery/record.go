package delivery

import (
	"bytes"
	"slices"
	"sync"

	"fluxgate/core/journal"
	"fluxgate/sdk"
)

// What a sink is sent at once, and what one record of a journal holds.
const (
	maxBatch = 5000      // datapoints
	maxBytes = 512 << 10 // bytes on the wire, about
)

// A record of a journal is a batch as columns, as [sdk.AppendBatch] writes it.

// A room is for records on their way to the disk.
type room struct {
	records []journal.Record
	bytes   []byte
}

// maxRoom bounds the bytes of a room that is used again.
const maxRoom = 1 << 20

var rooms = sync.Pool{New: func() any { return new(room) }}

// hold returns b as records within the bounds of a sink's batch, which are good until
// the room is free.
func (r *room) hold(b sdk.Batch) []journal.Record {
	size := 0
	for i := range b {
		size += datapointSize(b[i])
	}
	bytes := slices.Grow(r.bytes[:0], size+(1+len(b)/maxBatch+2*size/maxBytes)*4)
	r.records = r.records[:0]
	for len(b) > 0 {
		n, begin := piece(b), len(bytes)
		bytes = sdk.AppendBatch(bytes, b[:n])
		r.records = append(r.records, journal.Record{Data: bytes[begin:len(bytes):len(bytes)], Count: n})
		b = b[n:]
	}
	r.bytes = bytes
	return r.records
}

// free has the room used again, unless it is large.
func (r *room) free() {
	if cap(r.bytes) <= maxRoom {
		rooms.Put(r)
	}
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

// readBatch adds the datapoints of a record to b. Their metrics share one copy of
// data.
func readBatch(b sdk.Batch, data []byte) (sdk.Batch, error) {
	return sdk.ReadBatch(b, bytes.Clone(data))
}
