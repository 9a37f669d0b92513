package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Embedded is a store in a file of its own, for a Fluxgate without Redis. What
// it has recorded survives a restart. A metric is looked for by name once; from then
// on whoever knows its slot finds the entry there.
type Embedded struct {
	db   *bbolt.DB
	room room // of the transaction that records
}

// OpenEmbedded opens the store in file, or makes it. A file in which entries lie by
// name is carried over.
func OpenEmbedded(file string) (*Embedded, error) {
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{Timeout: time.Second, NoFreelistSync: true})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("ledger %s: another process has it open", file)
	}
	if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", file, err)
	}
	e := &Embedded{db: db}
	if err = e.begin(); err == nil {
		err = e.carry()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ledger %s: %w", file, err), db.Close())
	}
	return e, nil
}

// begin makes the buckets.
func (e *Embedded) begin() error {
	return e.db.Update(func(tx *bbolt.Tx) error {
		_, slots := tx.CreateBucketIfNotExists(slotsBucket)
		_, blocks := tx.CreateBucketIfNotExists(blocksBucket)
		return errors.Join(slots, blocks)
	})
}

// Last implements [Store].
func (e *Embedded) Last(_ context.Context, metrics []string) ([]Recorded, error) {
	last := make([]Recorded, len(metrics))
	err := e.db.View(func(tx *bbolt.Tx) error {
		slots, blocks := tx.Bucket(slotsBucket), tx.Bucket(blocksBucket)
		for i, metric := range metrics {
			if slot := slotOf(slots, metric); slot != 0 {
				last[i] = Recorded{recordedAt(blocks, slot), slot}
			}
		}
		return nil
	})
	return last, err
}

// Record implements [Store]. It is one transaction: all is entered, or nothing.
func (e *Embedded) Record(_ context.Context, dues []Due, ahead int64) error {
	var found []uint32 // of those that came without a slot
	err := e.db.Update(func(tx *bbolt.Tx) (err error) {
		if found, err = findSlots(tx.Bucket(slotsBucket), dues); err != nil {
			return err
		}
		blocks, next := e.room.begin(tx.Bucket(blocksBucket)), found
		for i := range dues {
			d, slot := &dues[i], dues[i].Slot
			if slot == 0 {
				slot, next = next[0], next[1:]
			}
			blocks.move(slot, d.Timestamp, d.Value, ahead)
		}
		return blocks.put()
	})
	if err != nil {
		return err
	}
	for i := range dues {
		if len(found) > 0 && dues[i].Slot == 0 {
			dues[i].Slot, found = found[0], found[1:]
		}
	}
	return nil
}

// atOnce says that a page which many metrics of a flush touch should be written once.
func (e *Embedded) atOnce() int { return 50_000 }

// Beat implements [Store]: nobody watches an embedded ledger.
func (e *Embedded) Beat(context.Context, string, time.Time) error { return nil }

// Note implements [Store]: no Vista reads an embedded ledger.
func (e *Embedded) Note(context.Context, string, string, time.Duration) error { return nil }

// Lease implements [Store]: nobody shares an embedded ledger.
func (e *Embedded) Lease(context.Context, string, string, time.Duration) (bool, error) {
	return true, nil
}

// Renew implements [Store].
func (e *Embedded) Renew(context.Context, string, string, time.Duration) (bool, error) {
	return true, nil
}

// Close implements [Store].
func (e *Embedded) Close() error { return e.db.Close() }
