package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// byName is an embedded store as it would be without slots: entries lie by name.
type byName struct{ *Embedded }

func (byName) Last(_ context.Context, metrics []string) ([]Recorded, error) {
	return make([]Recorded, len(metrics)), nil
}

func (s byName) Record(_ context.Context, dues []Due, ahead int64) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists(lastBucket)
		entries := make([]byte, 0, entrySize*len(dues))
		for _, d := range dues {
			key := []byte(d.Metric)
			if last := bucket.Get(key); last != nil && d.Timestamp <= timestampIn(last) && timestampIn(last) <= ahead {
				continue
			}
			entries = binary.BigEndian.AppendUint64(entries, uint64(d.Timestamp))
			entries = binary.BigEndian.AppendUint64(entries, math.Float64bits(d.Value))
			err = errors.Join(err, bucket.Put(key, entries[len(entries)-entrySize:]))
		}
		return err
	})
}

// measured is a store that measures what Record costs.
type measured struct {
	Store
	spent time.Duration
}

func (s *measured) Record(ctx context.Context, dues []Due, ahead int64) error {
	began := cpu()
	err := s.Store.Record(ctx, dues, ahead)
	s.spent += cpu() - began
	return err
}

// cpu returns what the process has used of it.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A flusher has a herd's requests recorded.
type flusher struct {
	l     *Ledger
	store *measured
	names bool // entries lie by name, and a flush is brought into that order
	herd  *herd
	spent time.Duration // by whole flushes
	n     int           // metrics in them
}

func newFlusher(b *testing.B, metrics int, names bool) *flusher {
	e, err := OpenEmbedded(filepath.Join(b.TempDir(), "ledger.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { e.Close() })
	f := &flusher{store: &measured{Store: e}, names: names, herd: newHerd(metrics)}
	if names {
		f.store.Store = byName{e}
	}
	f.l = newBenchLedger(f.store)
	if !names {
		f.l.most = e.atOnce()
	}
	return f
}

// flush has a flush of n metrics made.
func (f *flusher) flush(b *testing.B, n int) {
	for range n / batchSize {
		pass(b, f.l, f.herd.batch())
	}
	began := cpu()
	record := f.l.Collect()
	if f.names {
		slices.SortFunc(f.l.snapshot.dues, func(x, y Due) int { return strings.Compare(x.Metric, y.Metric) })
	}
	if err := record(b.Context()); err != nil {
		b.Fatal(err)
	}
	f.spent += cpu() - began
	f.n += n / batchSize * batchSize
}

// BenchmarkEmbeddedRecord compares, in turn, the CPU that a metric of a flush costs with
// what it would cost by name: recording alone, and all of the flush.
func BenchmarkEmbeddedRecord(b *testing.B) {
	for _, c := range []struct {
		metrics, flush int
		shuffled       bool // the requests are others than those that were recorded first
	}{{900, 900, false}, {14_400, 14_400, false}, {14_400, 14_400, true}, {1_000_000, 50_000, false}, {1_000_000, 50_000, true}} {
		b.Run(fmt.Sprintf("%d of %d, shuffled %v", c.flush, c.metrics, c.shuffled), func(b *testing.B) {
			slots, names := newFlusher(b, c.metrics, false), newFlusher(b, c.metrics, true)
			both := []*flusher{slots, names}
			for _, f := range both {
				for range c.metrics/c.flush + 1 {
					f.flush(b, c.flush)
				}
				if c.shuffled {
					f.herd.shuffle(c.metrics, 3)
				}
				f.n, f.spent, f.store.spent = 0, 0, 0
			}
			for b.Loop() {
				for _, f := range both {
					f.flush(b, c.flush)
				}
			}
			each := func(spent time.Duration) float64 { return float64(spent.Nanoseconds()) / float64(slots.n) }
			b.ReportMetric(each(slots.store.spent), "record-ns/metric")
			b.ReportMetric(each(slots.spent), "flush-ns/metric")
			b.ReportMetric(float64(names.store.spent)/float64(slots.store.spent), "x-record")
			b.ReportMetric(float64(names.spent)/float64(slots.spent), "x-flush")
			b.ReportMetric(0, "ns/op")
		})
	}
}
