package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"fluxgate/sdk"
)

func openTestEmbedded(t *testing.T, file string) *Embedded {
	t.Helper()
	e, err := OpenEmbedded(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func newTestEmbedded(t *testing.T) *Embedded {
	t.Helper()
	return openTestEmbedded(t, filepath.Join(t.TempDir(), "ledger.db"))
}

// reopened closes e and opens its file again.
func reopened(t *testing.T, e *Embedded) *Embedded {
	t.Helper()
	file := e.db.Path()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return openTestEmbedded(t, file)
}

// recordDues records dues and returns them, with their slots.
func recordDues(t *testing.T, s Store, dues ...Due) []Due {
	t.Helper()
	if err := s.Record(t.Context(), dues, now+60); err != nil {
		t.Fatal(err)
	}
	return dues
}

func due(metric string, timestamp int64, slot uint32) Due {
	return Due{Datapoint: sdk.Datapoint{Metric: metric, Timestamp: timestamp, Value: float64(timestamp)}, Slot: slot}
}

// has fails unless e has that of each metric, in a slot of its own, which it returns.
func has(t *testing.T, e *Embedded, want map[string]int64) map[string]uint32 {
	t.Helper()
	slots, owners := map[string]uint32{}, map[uint32]string{}
	for metric, timestamp := range want {
		got, err := e.Last(context.Background(), []string{metric})
		if err != nil || got[0].Timestamp != timestamp {
			t.Fatalf("newest of %s is %d, %v, want %d", metric, got[0].Timestamp, err, timestamp)
		}
		slot := got[0].Slot
		if slots[metric] = slot; slot == 0 {
			continue
		}
		if owners[slot] != "" {
			t.Fatalf("%s and %s have the slot %d", metric, owners[slot], slot)
		}
		owners[slot] = metric
		if value := e.value(t, slot); value != float64(timestamp) {
			t.Fatalf("%s has the value %v of another time, want %d", metric, value, timestamp)
		}
	}
	return slots
}

// value returns the value in a slot.
func (e *Embedded) value(t *testing.T, slot uint32) (value float64) {
	t.Helper()
	err := e.db.View(func(tx *bbolt.Tx) error {
		if block := blockAt(tx.Bucket(blocksBucket), slot/blockSlots); block != nil {
			value = valueIn(block[slot%blockSlots*entrySize:])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestSlotsAreForEver(t *testing.T) {
	e := newTestEmbedded(t)
	first := recordDues(t, e, due("b", now, 0), due("a", now, 0))
	want := map[string]int64{"a": now, "b": now}
	slots := has(t, e, want)
	if first[0].Slot != slots["b"] || first[1].Slot != slots["a"] {
		t.Errorf("Record gave the slots %v, and Last tells %v", first, slots)
	}
	if slots["a"] != slots["b"]+1 {
		t.Errorf("slots %v of metrics that came together do not follow on one another in the order in which they came", slots)
	}
	for i := range int64(3) {
		e = reopened(t, e)
		metric := fmt.Sprint("c", i)
		newest := now + 10*(i+1)
		recordDues(t, e, due("", newest, slots["a"]), due(metric, newest, 0), due("b", newest, 0))
		want["a"], want["b"], want[metric] = newest, newest, newest
		if got := has(t, e, want); got["a"] != slots["a"] || got["b"] != slots["b"] {
			t.Errorf("slots were %v and are %v", slots, got)
		}
	}
}

func TestSlotNeverMovesBack(t *testing.T) {
	e := newTestEmbedded(t)
	slot := recordDues(t, e, due("a", now, 0))[0].Slot
	for _, timestamp := range []int64{now - 60, now, 0} {
		recordDues(t, e, due("", timestamp, slot))
		recordDues(t, e, due("a", timestamp, 0))
		has(t, e, map[string]int64{"a": now})
	}
	if err := e.Record(t.Context(), []Due{due("", now+61, slot)}, now+61); err != nil {
		t.Fatal(err)
	}
	recordDues(t, e, due("", now-60, slot))
	has(t, e, map[string]int64{"a": now - 60})
}

// What a failed transaction gave is nobody's.
func TestSlotsOfAFailureAreNotTold(t *testing.T) {
	e := newTestEmbedded(t)
	known := recordDues(t, e, due("known", now, 0))[0].Slot
	fails := func(what string, dues ...Due) {
		t.Helper()
		if err := e.Record(t.Context(), dues, now+60); err == nil {
			t.Fatalf("recorded %s", what)
		}
		if i := slices.IndexFunc(dues, func(d Due) bool { return d.Slot != 0 && d.Slot != known }); i >= 0 {
			t.Errorf("%s: %q was told the slot %d", what, dues[i].Metric, dues[i].Slot)
		}
	}
	fails("a metric without a name", due("", now+10, known), due("a", now, 0), due("", now, 0))
	has(t, e, map[string]int64{"a": 0, "known": now})
	recordDues(t, e, due("b", now, 0), due("a", now-10, 0), due("", now+10, known))
	has(t, e, map[string]int64{"a": now - 10, "b": now, "known": now + 10})
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	fails("in a closed file", due("c", now, 0))
}

// A disk that refuses the pages of a transaction.
func TestSlotsOfAFailedWriteAreNotTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ledger.db")
	var opened *os.File
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{OpenFile: func(name string, flag int, mode os.FileMode) (_ *os.File, err error) {
		opened, err = os.OpenFile(name, flag, mode)
		return opened, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	e := &Embedded{db: db}
	if err := e.begin(); err != nil {
		t.Fatal(err)
	}
	known := recordDues(t, e, due("known", now, 0))[0].Slot
	if err := opened.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		dues := []Due{due("a", now, 0), due("", now+10, known), due("b", now, 0)}
		if err := e.Record(t.Context(), dues, now+60); err == nil {
			t.Fatal("recorded in a file that takes nothing")
		}
		if dues[0].Slot != 0 || dues[2].Slot != 0 {
			t.Errorf("slots of what failed are told: %v", dues)
		}
		has(t, e, map[string]int64{"a": 0, "known": now})
	}
	_ = db.Close() // it cannot unlock a closed file, whose lock ends with its mapping
	has(t, openTestEmbedded(t, file), map[string]int64{"a": 0, "b": 0, "known": now})
}

// spoil changes the file in which e is, while that is closed, and opens it again.
func spoil(t *testing.T, e *Embedded, change func(*bbolt.Tx) error) *Embedded {
	t.Helper()
	file := e.db.Path()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(file, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(change); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return openTestEmbedded(t, file)
}

func TestDamagedSlotsCountAsNone(t *testing.T) {
	number := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	for name, tt := range map[string]struct {
		spoils func(slots, blocks *bbolt.Bucket) error
		left   int64 // of the others
	}{
		"a slot of nobody":    {func(slots, _ *bbolt.Bucket) error { return slots.Put([]byte("a"), number(4)) }, now},
		"the last slot":       {func(slots, _ *bbolt.Bucket) error { return slots.Put([]byte("a"), number(math.MaxUint32)) }, now},
		"no slot":             {func(slots, _ *bbolt.Bucket) error { return slots.Put([]byte("a"), number(0)) }, now},
		"a short slot":        {func(slots, _ *bbolt.Bucket) error { return slots.Put([]byte("a"), []byte{0, 1}) }, now},
		"an empty slot":       {func(slots, _ *bbolt.Bucket) error { return slots.Put([]byte("a"), nil) }, now},
		"a block that is not": {func(_, blocks *bbolt.Bucket) error { return blocks.Delete(number(0)) }, 0},
		"a short block":       {func(_, blocks *bbolt.Bucket) error { return blocks.Put(number(0), make([]byte, 20)) }, 0},
		"an empty block":      {func(_, blocks *bbolt.Bucket) error { return blocks.Put(number(0), nil) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			e := newTestEmbedded(t)
			recordDues(t, e, due("a", now, 0), due("b", now, 0), due("c", now, 0))
			e = spoil(t, e, func(tx *bbolt.Tx) error { return tt.spoils(tx.Bucket(slotsBucket), tx.Bucket(blocksBucket)) })
			if got := last(t, e, "a", "b", "c"); got[0] != 0 || got[1] != tt.left || got[2] != tt.left {
				t.Errorf("newest are %v, want none and twice %d", got, tt.left)
			}
			recordDues(t, e, due("d", now-20, 0), due("a", now-10, 0), due("e", now-30, 0))
			has(t, e, map[string]int64{"a": now - 10, "b": tt.left, "c": tt.left, "d": now - 20, "e": now - 30})
		})
	}
}

func TestNoSlotIsGivenTwice(t *testing.T) {
	e := spoil(t, newTestEmbedded(t), func(tx *bbolt.Tx) error { return tx.Bucket(slotsBucket).SetSequence(math.MaxUint32 - 1) })
	if got := recordDues(t, e, due("a", now, 0)); got[0].Slot != math.MaxUint32 {
		t.Errorf("the last slot is %d", got[0].Slot)
	}
	if err := e.Record(t.Context(), []Due{due("b", now, 0)}, now); !errors.Is(err, errFull) {
		t.Errorf("told %v", err)
	}
	has(t, e, map[string]int64{"a": now, "b": 0})
}

func TestLastWhileRecording(t *testing.T) {
	e := newTestEmbedded(t)
	var all sync.WaitGroup
	ended := make(chan struct{})
	names, written := make([]string, 3*blockSlots), make([]Due, 3*blockSlots)
	for i := range written {
		names[i] = fmt.Sprint("m", i)
		written[i] = due(names[i], now, 0)
	}
	for range 3 {
		all.Go(func() { watch(t, e, names, ended) })
	}
	for i := range int64(200) {
		for j := range written {
			written[j].Timestamp = now + i
			if i%10 == 0 {
				written[j].Slot = 0
			}
		}
		recordDues(t, e, written...)
	}
	close(ended)
	all.Wait()
}

// watch fails when not all of names have the same, or what one has goes back.
func watch(t *testing.T, e *Embedded, names []string, ended <-chan struct{}) {
	before := make([]Recorded, len(names))
	for {
		got, err := e.Last(context.Background(), names)
		if err != nil {
			t.Error(err)
			return
		}
		for i, r := range got {
			if r.Timestamp != got[0].Timestamp || r.Timestamp < before[i].Timestamp || before[i].Slot != 0 && r.Slot != before[i].Slot {
				t.Errorf("%s has %v, after %v, and the first %v", names[i], r, before[i], got[0])
				return
			}
		}
		before = got
		select {
		case <-ended:
			return
		default:
		}
	}
}
