package ledger

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"fluxgate/sdk"
)

var (
	// slotsBucket has the slot of each metric, four bytes big-endian, by name. Slots
	// are given from 1 on; the bucket's sequence is the last one.
	slotsBucket = []byte("slots")

	// lastBucket has the entries of an older file, by name.
	lastBucket = []byte("last")
)

// errFull is what a metric is told for which no slot is left.
var errFull = fmt.Errorf("record: the embedded ledger has given all of its %d slots: stop Fluxgate and move the file away, then a new one is begun", uint32(math.MaxUint32))

// slotOf returns the slot of a metric, or 0. One that was never given is none: it
// would be given to another.
func slotOf(slots *bbolt.Bucket, metric string) uint32 {
	text := slots.Get([]byte(metric))
	if len(text) != 4 {
		return 0
	}
	slot := binary.BigEndian.Uint32(text)
	if uint64(slot) > slots.Sequence() {
		return 0
	}
	return slot
}

// findSlots returns the slot of each due that has none, in their order. A metric that
// is new is given one: metrics that come together lie together. The bucket is gone
// through in the order of its keys, which costs far less than any other.
func findSlots(slots *bbolt.Bucket, dues []Due) (found []uint32, err error) {
	type stranger struct {
		metric string
		at     int // in found
	}
	var sorted []stranger
	for i := range dues {
		if dues[i].Slot == 0 {
			sorted = append(sorted, stranger{dues[i].Metric, len(sorted)})
		}
	}
	slices.SortFunc(sorted, func(a, b stranger) int { return strings.Compare(a.metric, b.metric) })
	found = make([]uint32, len(sorted))
	for _, d := range sorted {
		found[d.at] = slotOf(slots, d.metric)
	}
	before := slots.Sequence()
	given := give(found, before)
	if given > math.MaxUint32 {
		return nil, errFull
	}
	text := make([]byte, 0, 4*(given-before)) // which bbolt reads until the end
	for _, d := range sorted {
		if slot := found[d.at]; uint64(slot) > before {
			text = binary.BigEndian.AppendUint32(text, slot)
			if err := slots.Put([]byte(d.metric), text[len(text)-4:]); err != nil {
				return nil, fmt.Errorf("record %q: %w", d.metric, err)
			}
		}
	}
	if given == before {
		return found, nil
	}
	return found, slots.SetSequence(given)
}

// give sets those of found that are 0 to the next slots, and returns the last.
func give(found []uint32, last uint64) uint64 {
	for i := range found {
		if found[i] == 0 {
			last++
			found[i] = uint32(last)
		}
	}
	return last
}

// carryLimit is how many entries of an older file are carried over in one transaction.
const carryLimit = 50_000

// carry records what an older file has by name, and drops that. It may be interrupted
// at any time: then it is done again.
func (e *Embedded) carry() error {
	for after, more := "", true; more; {
		var err error
		if after, more, err = e.carryPiece(after); err != nil {
			return err
		}
	}
	return e.db.Update(func(tx *bbolt.Tx) error {
		if tx.Bucket(lastBucket) == nil {
			return nil
		}
		return tx.DeleteBucket(lastBucket)
	})
}

// carryPiece carries over the entries that come after a metric's, and returns the
// metric of the last.
func (e *Embedded) carryPiece(after string) (last string, more bool, err error) {
	dues, err := e.older(after)
	if err != nil || len(dues) == 0 {
		return after, false, err
	}
	return dues[len(dues)-1].Metric, true, e.Record(context.Background(), dues, math.MaxInt64)
}

// older returns the first entries of an older file that come after a metric's.
func (e *Embedded) older(after string) (dues []Due, err error) {
	err = e.db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(lastBucket)
		if bucket == nil {
			return nil
		}
		c := bucket.Cursor()
		key, entry := c.Seek([]byte(after))
		if string(key) == after {
			key, entry = c.Next()
		}
		for ; key != nil && len(dues) < carryLimit; key, entry = c.Next() {
			if len(entry) == entrySize {
				d := sdk.Datapoint{Metric: string(key), Timestamp: timestampIn(entry), Value: valueIn(entry)}
				dues = append(dues, Due{Datapoint: d})
			}
		}
		return nil
	})
	return dues, err
}
