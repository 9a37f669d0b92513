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

// A counted store counts the entries that it has recorded.
type counted struct {
	*Redis
	entries atomic.Int64
}

func (c *counted) Record(ctx context.Context, dues []Due, ahead int64) error {
	err := c.Redis.Record(ctx, dues, ahead)
	if err == nil {
		c.entries.Add(int64(len(dues)))
	}
	return err
}

// BenchmarkRedis compares, in turn, the ledger with what else may be done to a Redis
// for each request of 450 metrics: the GET and SET of each that Flux makes, and the
// bare writing of the same entries, by MSET, that gives no answer and asks nothing. One
// figure counts the entries that flushes record, where each metric comes once between
// two of them; the other the datapoints that are judged beside flushes, most of which
// are never written, since a newer one of the same metric comes before the next flush.
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
			herds := split(newHerd(metrics))
			var each, bare, entries, coalesced []float64
			into := &counted{Redis: store}
			l := newBenchLedger(into)
			for b.Loop() {
				each = append(each, busy(300*time.Millisecond, func(i int) int { return getSet(b, store.client, herds[i].batch()[:10]) }, func() {}))
				bare = append(bare, busy(500*time.Millisecond, func(i int) int { return write(b, store.client, herds[i].batch(), hash) }, func() {}))
				entries = append(entries, recording(b, l, into, herds))
				stop := flushing(b, l)
				coalesced = append(coalesced, busy(time.Second, func(i int) int {
					request := herds[i].batch()
					pass(b, l, request)
					return len(request)
				}, stop))
			}
			b.ReportMetric(0, "ns/op")
			middle := func(rates []float64) float64 { return slices.Sorted(slices.Values(rates))[len(rates)/2] }
			b.ReportMetric(middle(entries), "entries/s")
			b.ReportMetric(middle(coalesced), "coalesced-datapoints/s")
			for other, rates := range map[string][]float64{"GET-SET": each, "bare": bare} {
				b.ReportMetric(middle(entries)/middle(rates), "entries-x-"+other)
				b.ReportMetric(middle(coalesced)/middle(rates), "coalesced-x-"+other)
			}
		})
	}
}

// split returns a herd for each worker.
func split(whole *herd) (herds []*herd) {
	for i := range workers {
		from, to := i*len(whole.batches)/workers, (i+1)*len(whole.batches)/workers
		herds = append(herds, &herd{batches: whole.batches[from:to], time: now})
	}
	return herds
}

// recording has every metric of herds come once and be recorded, again and again for a
// second, and returns how many entries a second that makes.
func recording(b *testing.B, l *Ledger, into *counted, herds []*herd) float64 {
	settle(b, l)
	before, began := into.entries.Load(), time.Now()
	for time.Since(began) < time.Second {
		var all sync.WaitGroup
		for _, h := range herds {
			all.Go(func() {
				for range h.batches {
					pass(b, l, h.batch())
				}
			})
		}
		all.Wait()
		settle(b, l)
	}
	return float64(into.entries.Load()-before) / time.Since(began).Seconds()
}

// settle has all recorded that is not yet.
func settle(b *testing.B, l *Ledger) {
	if record := l.Collect(); record != nil {
		if err := record(context.Background()); err != nil {
			b.Error(err)
		}
	}
}

// flushing has l record as it does beside requests. The function that it returns
// ends that, with all recorded.
func flushing(b *testing.B, l *Ledger) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		for ctx.Err() == nil {
			settle(b, l)
			pause(ctx, 50*time.Millisecond)
		}
	})
	return func() {
		cancel()
		run.Wait()
		settle(b, l)
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

// write writes what a flush writes, and asks nothing: the strings, and with hash the
// fields.
func write(b *testing.B, c redis.Cmdable, request sdk.Batch, hash bool) int {
	texts := entryTexts(dues(request))
	strings, fields := make([]any, 0, 2*len(request)), make([]any, 0, 2*len(request))
	for i := range request {
		strings = append(strings, &texts[3*i], &texts[3*i+1])
		fields = append(fields, &request[i].Metric, &texts[3*i+2])
	}
	_, err := c.Pipelined(context.Background(), func(p redis.Pipeliner) error {
		p.MSet(context.Background(), strings...)
		if hash {
			p.HSet(context.Background(), hashEntry, fields...)
		}
		return nil
	})
	if err != nil {
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
