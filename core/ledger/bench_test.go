package ledger

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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
	h := &herd{time: now}
	h.shuffle(metrics, 1)
	return h
}

// shuffle has the next requests be others, of the same metrics.
func (h *herd) shuffle(metrics int, seed uint64) {
	order := rand.New(rand.NewPCG(seed, 2)).Perm(metrics)
	h.batches, h.next = nil, 0
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
