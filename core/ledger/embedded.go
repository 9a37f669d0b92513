package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"fluxgate/sdk"
)

// Embedded is a store in a file of its own, for a Fluxgate without Redis. What
// it has recorded survives a restart.
type Embedded struct{ db *bbolt.DB }

var lastBucket = []byte("last")

// OpenEmbedded opens the store in file, or makes it.
func OpenEmbedded(file string) (*Embedded, error) {
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{Timeout: time.Second, NoFreelistSync: true})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("ledger %s: another process has it open", file)
	}
	if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", file, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(lastBucket)
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ledger %s: %w", file, err), db.Close())
	}
	return &Embedded{db}, nil
}

// Last implements [Store].
func (e *Embedded) Last(_ context.Context, metrics []string) ([]int64, error) {
	last := make([]int64, len(metrics))
	err := e.db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(lastBucket)
		for i, metric := range metrics {
			last[i] = embeddedTimestamp(bucket.Get([]byte(metric)))
		}
		return nil
	})
	return last, err
}

// Record implements [Store]. It goes through the file in the order of its keys, so
// that each page is touched once.
func (e *Embedded) Record(_ context.Context, b sdk.Batch, ahead int64) error {
	b = slices.Clone(b)
	slices.SortFunc(b, func(x, y sdk.Datapoint) int { return strings.Compare(x.Metric, y.Metric) })
	return e.db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(lastBucket)
		var key []byte
		entries := make([]byte, 0, entrySize*len(b)) // which bbolt reads until the end
		for _, d := range b {
			key = append(key[:0], d.Metric...)
			last := embeddedTimestamp(bucket.Get(key))
			if d.Timestamp <= last && last <= ahead {
				continue
			}
			from := len(entries)
			entries = binary.BigEndian.AppendUint64(entries, uint64(d.Timestamp))
			entries = binary.BigEndian.AppendUint64(entries, math.Float64bits(d.Value))
			if err := bucket.Put(key, entries[from:]); err != nil {
				return fmt.Errorf("record %q: %w", d.Metric, err)
			}
		}
		return nil
	})
}

// ordered says so: then each page is touched once in a flush.
func (e *Embedded) ordered() {}

// entrySize is the size of an entry: timestamp and value, each of eight bytes,
// big-endian.
const entrySize = 16

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

// embeddedTimestamp reads the first half of an entry.
func embeddedTimestamp(entry []byte) int64 {
	if len(entry) != entrySize {
		return 0
	}
	return int64(binary.BigEndian.Uint64(entry))
}
