package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/bbolt"

	"fluxgate/sdk"
)

// batchSize is the metrics of one request.
const batchSize = 450

// A herd is requests of batchSize that name every metric in turn, in no order.
type herd struct {
	batches []sdk.Batch
	next    int
	time    int64

	names   []byte
	request sdk.Batch
}

func newHerd(metrics int) *herd {
	order := rand.New(rand.NewPCG(1, 2)).Perm(metrics)
	h := &herd{time: now}
	var b sdk.Batch
	for _, i := range order {
		b = append(b, sdk.Datapoint{Metric: fmt.Sprintf("vista.nodes.host-%07d.cpu.load", i), Value: 4567.775})
		if len(b) == batchSize || len(b) == metrics {
			h.batches, b = append(h.batches, b), nil
		}
	}
	if len(b) > 0 {
		h.batches = append(h.batches, b)
	}
	return h
}

// batch returns the next request, which is newer than all before, as it comes from an
// input: just written. The one before is no more.
func (h *herd) batch() sdk.Batch {
	h.names, h.request = h.names[:0], append(h.request[:0], h.batches[h.next]...)
	b := h.request
	for _, d := range b {
		h.names = append(h.names, d.Metric...)
	}
	text := string(h.names)
	for i, d := range b {
		b[i].Metric, text = text[:len(d.Metric)], text[len(d.Metric):]
	}
	if h.next++; h.next == len(h.batches) {
		h.next = 0
	}
	if h.next == 1%len(h.batches) {
		h.time++
	}
	for i := range b {
		b[i].Timestamp = h.time
	}
	return b
}

// empty is a store that has nothing and takes everything.
type empty struct{ *memory }

func (empty) Last(_ context.Context, metrics []string) ([]Recorded, error) {
	return make([]Recorded, len(metrics)), nil
}
func (empty) Record(context.Context, []Due, int64) error { return nil }

func newBenchLedger(s Store) *Ledger {
	return New(s, Options{MaxAhead: 1 << 62, Metrics: 1 << 21}, prometheus.NewRegistry())
}

// pass has l judge and keep a request, all of which is fresh.
func pass(b *testing.B, l *Ledger, request sdk.Batch) {
	fresh, settle := l.Look(request)()
	if err := settle(nil); err != nil || len(fresh) != len(request) {
		b.Fatalf("%d of %d are fresh, %v", len(fresh), len(request), err)
	}
}

// BenchmarkJudge is what the ledger costs a request of 450 metrics that it knows,
// without recording, for each datapoint.
func BenchmarkJudge(b *testing.B) {
	for _, metrics := range []int{1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(metrics), func(b *testing.B) {
			h := newHerd(metrics)
			before := heap()
			l := newBenchLedger(empty{})
			for range h.batches {
				pass(b, l, h.batch())
			}
			if err := l.Collect()(b.Context()); err != nil {
				b.Fatal(err)
			}
			used := heap() - before
			var took time.Duration
			n := 0
			for b.Loop() {
				request := h.batch()
				n += len(request)
				began := time.Now()
				pass(b, l, request)
				took += time.Since(began)
			}
			b.ReportMetric(float64(took.Nanoseconds())/float64(n), "ns/datapoint")
			b.ReportMetric(testing.AllocsPerRun(1000, func() { pass(b, l, h.batch()) })-1, "allocs/request")
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(used)/float64(metrics), "B/metric")
			runtime.KeepAlive(l)
		})
	}
}

// heap returns the bytes in use.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// byName is an embedded store as it would be without slots: entries lie by name.
type byName struct{ *Embedded }

func (s byName) Last(context.Context, []string) ([]Recorded, error) { return nil, errDown }

func (s byName) Record(_ context.Context, dues []Due, ahead int64) error {
	slices.SortFunc(dues, func(x, y Due) int { return strings.Compare(x.Metric, y.Metric) })
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

// A flusher has a herd's requests recorded, so many metrics in a flush.
type flusher struct {
	l     *Ledger
	store *measured
	herd  *herd
	spent time.Duration // by whole flushes
	n     int           // metrics in them
}

func newFlusher(b *testing.B, metrics int, wrap func(*Embedded) Store) *flusher {
	e, err := OpenEmbedded(filepath.Join(b.TempDir(), "ledger.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { e.Close() })
	f := &flusher{store: &measured{Store: wrap(e)}, herd: newHerd(metrics)}
	f.l = newBenchLedger(f.store)
	return f
}

// flush has a flush of n metrics made.
func (f *flusher) flush(b *testing.B, n int) {
	for range n / batchSize {
		pass(b, f.l, f.herd.batch())
	}
	began := cpu()
	if err := f.l.Collect()(b.Context()); err != nil {
		b.Fatal(err)
	}
	f.spent += cpu() - began
	f.n += n / batchSize * batchSize
}

// BenchmarkEmbeddedRecord compares, in turn, the CPU that a metric of a flush costs with
// what it would cost by name: recording alone, and all of the flush.
func BenchmarkEmbeddedRecord(b *testing.B) {
	for _, c := range []struct{ metrics, flush int }{{900, 900}, {14_400, 14_400}, {1_000_000, 50_000}} {
		b.Run(fmt.Sprintf("%d of %d", c.flush, c.metrics), func(b *testing.B) {
			slots := newFlusher(b, c.metrics, func(e *Embedded) Store { return e })
			names := newFlusher(b, c.metrics, func(e *Embedded) Store { return byName{e} })
			both := []*flusher{slots, names}
			for _, f := range both {
				for range c.metrics/c.flush + 1 {
					f.flush(b, c.flush)
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
