package ledger

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

// workers is how many requests are at work at a time.
const workers = 4

// busy has workers call work until d is over, and returns what they did, for each
// second until the last one and end have returned.
func busy(d time.Duration, work func(worker int) int, end func()) float64 {
	var (
		all sync.WaitGroup
		n   atomic.Int64
	)
	began := time.Now()
	for worker := range workers {
		all.Go(func() {
			for time.Since(began) < d {
				n.Add(int64(work(worker)))
			}
		})
	}
	all.Wait()
	end()
	return float64(n.Load()) / time.Since(began).Seconds()
}

// BenchmarkRedis compares, in turn, the ledger with what else may be done to a Redis
// for each request of 450 metrics: the GET and SET of each that Flux makes, and the
// MSET of all that gives no answer and asks nothing.
func BenchmarkRedis(b *testing.B) {
	const metrics = 100_000
	server := servers.Redis(b)
	for _, hash := range []bool{false, true} {
		b.Run(fmt.Sprintf("hash %v", hash), func(b *testing.B) {
			store, err := OpenRedis(RedisOptions{Addresses: []string{server.Socket}, Hash: hash})
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			if err := store.client.FlushAll(b.Context()).Err(); err != nil { // what the run before has left is newer
				b.Fatal(err)
			}
			herds := make([]*herd, workers)
			whole := newHerd(metrics)
			for i := range herds {
				from, to := i*len(whole.batches)/workers, (i+1)*len(whole.batches)/workers
				herds[i] = &herd{batches: whole.batches[from:to], time: now}
			}
			var each, together, ledger []float64
			l := newBenchLedger(store)
			for b.Loop() {
				each = append(each, busy(300*time.Millisecond, func(i int) int { return getSet(b, store.client, herds[i].batch()[:10]) }, func() {}))
				together = append(together, busy(500*time.Millisecond, func(i int) int { return mset(b, store.client, herds[i].batch()) }, func() {}))
				stop := flushing(b, l)
				ledger = append(ledger, busy(3*time.Second, func(i int) int {
					request := herds[i].batch()
					pass(b, l, request)
					return len(request)
				}, stop))
			}
			for _, rates := range [][]float64{each, together, ledger} {
				slices.Sort(rates)
			}
			middle := len(ledger) / 2
			b.ReportMetric(ledger[middle], "datapoints/s")
			b.ReportMetric(ledger[middle]/each[middle], "x-GET-SET")
			b.ReportMetric(ledger[middle]/together[middle], "x-MSET")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// flushing has l record as it does beside requests. The function that it returns
// ends that, with all recorded.
func flushing(b *testing.B, l *Ledger) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	flush := func() {
		if record := l.Collect(); record != nil {
			if err := record(context.Background()); err != nil {
				b.Error(err)
			}
		}
	}
	run.Go(func() {
		for ctx.Err() == nil {
			flush()
			pause(ctx, 50*time.Millisecond)
		}
	})
	return func() {
		cancel()
		run.Wait()
		flush()
	}
}

func getSet(b *testing.B, c redis.Cmdable, request sdk.Batch) int {
	ctx := context.Background()
	for _, d := range request {
		if err := c.Get(ctx, stringPrefix+d.Metric).Err(); err != nil && err != redis.Nil {
			b.Error(err)
		}
		if err := c.Set(ctx, stringPrefix+d.Metric, listText(d.Timestamp, d.Value), 0).Err(); err != nil {
			b.Error(err)
		}
	}
	return len(request)
}

func mset(b *testing.B, c redis.Cmdable, request sdk.Batch) int {
	texts := entryTexts(dues(request))
	args := make([]any, 0, 2*len(request))
	for i := range request {
		args = append(args, &texts[3*i], &texts[3*i+1])
	}
	if err := c.MSet(context.Background(), args...).Err(); err != nil {
		b.Error(err)
	}
	return len(request)
}

// BenchmarkRedisRecord is what recording costs, for each metric of a piece.
func BenchmarkRedisRecord(b *testing.B) {
	store, err := OpenRedis(RedisOptions{Addresses: []string{servers.Redis(b).Socket}, Hash: true})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	var piece []Due
	for i := range pieceLimit {
		piece = append(piece, Due{Datapoint: sdk.Datapoint{Metric: fmt.Sprintf("vista.nodes.host-%07d.cpu.load", i), Value: 4567.775}})
	}
	b.ReportAllocs()
	for b.Loop() {
		for i := range piece {
			piece[i].Timestamp++
		}
		if err := store.Record(b.Context(), piece, 1<<62); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(piece)), "ns/metric")
}
