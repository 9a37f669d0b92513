package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// oldFile makes a file as it was before there were slots, with n entries by name.
func oldFile(t *testing.T, n int) (file string, want map[string]int64) {
	t.Helper()
	file, want = filepath.Join(t.TempDir(), "ledger.db"), map[string]int64{}
	db, err := bbolt.Open(file, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucket(lastBucket)
		for i := range n {
			metric, timestamp := fmt.Sprintf("m%07d", i), int64(now-i)
			want[metric] = timestamp
			err = errors.Join(err, bucket.Put([]byte(metric), oldEntry(timestamp)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return file, want
}

func oldEntry(timestamp int64) []byte {
	entry := binary.BigEndian.AppendUint64(nil, uint64(timestamp))
	return binary.BigEndian.AppendUint64(entry, math.Float64bits(float64(timestamp)))
}

// carried fails unless nothing is left of the old form in e.
func carried(t *testing.T, e *Embedded) {
	t.Helper()
	err := e.db.View(func(tx *bbolt.Tx) error {
		if tx.Bucket(lastBucket) != nil {
			t.Error("entries by name are kept")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestOldFileIsCarriedOver(t *testing.T) {
	for _, n := range []int{0, 1, carryLimit, carryLimit + 1} {
		file, want := oldFile(t, n)
		for range 2 {
			e := openTestEmbedded(t, file)
			carried(t, e)
			want["new"] = 0
			has(t, e, want)
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Between two transactions, whatever comes then, the file is complete.
func TestKillWhileAnOldFileIsCarriedOver(t *testing.T) {
	file, want := oldFile(t, 2*carryLimit+10)
	db, err := bbolt.Open(file, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	e := &Embedded{db: db}
	if err := e.begin(); err != nil {
		t.Fatal(err)
	}
	pieces := 0
	for after, more := "", true; more; pieces++ {
		left, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		killed := filepath.Join(t.TempDir(), "ledger.db")
		if err := os.WriteFile(killed, left, 0o600); err != nil {
			t.Fatal(err)
		}
		next := openTestEmbedded(t, killed)
		carried(t, next)
		has(t, next, want)
		if after, more, err = e.carryPiece(after); err != nil {
			t.Fatal(err)
		}
	}
	if pieces != 4 {
		t.Errorf("carried over in %d pieces, want 3 and an end", pieces-1)
	}
}

// Somebody has gone back to an older Fluxgate for a while.
func TestOldFormBesideTheNewOne(t *testing.T) {
	e := newTestEmbedded(t)
	slots := recordDues(t, e, due("a", now, 0), due("b", now, 0))
	e = spoil(t, e, func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucket(lastBucket)
		return errors.Join(err,
			bucket.Put([]byte("a"), oldEntry(now-60)), bucket.Put([]byte("b"), oldEntry(now+60)), bucket.Put([]byte("c"), oldEntry(now+30)),
			bucket.Put([]byte("d"), []byte("no entry")), bucket.Put([]byte("e"), nil))
	})
	carried(t, e)
	got := has(t, e, map[string]int64{"a": now, "b": now + 60, "c": now + 30, "d": 0, "e": 0})
	if got["a"] != slots[0].Slot || got["b"] != slots[1].Slot {
		t.Errorf("slots are %v, want those of %v", got, slots)
	}
}
