package ledger

import (
	"context"
	"encoding/binary"
	"errors"
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
// is new is given one: metrics that come together lie together.
func findSlots(slots *bbolt.Bucket, dues []Due) (found []uint32, err error) {
	type newcomer struct {
		metric string
		slot   uint32
	}
	var newcomers []newcomer
	given := slots.Sequence()
	for i := range dues {
		if dues[i].Slot != 0 {
			continue
		}
		slot := slotOf(slots, dues[i].Metric)
		if slot == 0 {
			if given++; given > math.MaxUint32 {
				return nil, errors.New("the ledger has no slots left")
			}
			slot = uint32(given)
			newcomers = append(newcomers, newcomer{dues[i].Metric, slot})
		}
		found = append(found, slot)
	}
	if len(newcomers) == 0 {
		return found, nil
	}
	// In the order of the keys, which costs bbolt far less than any other.
	slices.SortFunc(newcomers, func(a, b newcomer) int { return strings.Compare(a.metric, b.metric) })
	text := make([]byte, 0, 4*len(newcomers)) // which bbolt reads until the end
	for i, n := range newcomers {
		text = binary.BigEndian.AppendUint32(text, n.slot)
		if err := slots.Put([]byte(n.metric), text[4*i:4*i+4]); err != nil {
			return nil, fmt.Errorf("record %q: %w", n.metric, err)
		}
	}
	return found, slots.SetSequence(given)
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
