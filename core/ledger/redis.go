package ledger

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

const (
	stringPrefix = "flux.last."            // + metric: a string
	hashEntry    = "flux.last.metric_data" // one field for each metric
	beatExpiry   = 120 * time.Second       // what Skyline's thunder waits for
)

// Redis is the store that Flux has, entry for entry: other parts of Skyline
// read it. An error of it holds Redis's own words, and the remedy where there
// is one.
type Redis struct {
	client  redis.UniversalClient
	o       RedisOptions
	cluster bool
	each    atomic.Bool // strings are written one by one, as MSET is refused
	told    sync.Once   // in the log
}

// Last implements [Store].
func (r *Redis) Last(ctx context.Context, metrics []string) ([]Recorded, error) {
	pipe := r.client.Pipeline()
	var fields *redis.SliceCmd
	if r.o.Hash {
		fields = pipe.HMGet(ctx, hashEntry, metrics...)
	}
	entries := make([]*redis.StringCmd, len(metrics))
	for i, metric := range metrics {
		entries[i] = pipe.Get(ctx, stringPrefix+metric)
	}
	if _, err := pipe.Exec(ctx); err != nil && !isReply(err) {
		return nil, r.trouble(err)
	}
	last := make([]Recorded, len(metrics))
	for i := range metrics {
		if err := entries[i].Err(); err != nil && !isAbsent(err) {
			return nil, r.trouble(err)
		}
		last[i].Timestamp = timestampOf(entries[i].Val())
	}
	if r.o.Hash {
		if err := fields.Err(); err != nil {
			return nil, r.trouble(err)
		}
		for i, field := range fields.Val() {
			text, _ := field.(string)
			last[i].Timestamp = max(last[i].Timestamp, timestampOf(text))
		}
	}
	return last, nil
}

// recordTrips is how many pieces are recorded at a time.
const recordTrips = 2

// Record implements [Store]. In a cluster what one node refuses does not keep
// the others from what is theirs.
func (r *Redis) Record(ctx context.Context, dues []Due, ahead int64) error {
	var (
		pieces errgroup.Group
		failed atomic.Bool
	)
	pieces.SetLimit(recordTrips)
	for piece := range slices.Chunk(dues, pieceLimit) {
		if failed.Load() && (!r.cluster || ctx.Err() != nil) {
			break
		}
		pieces.Go(func() error {
			err := r.run(ctx, r.calls(piece, ahead))
			if err != nil {
				failed.Store(true)
			}
			return err
		})
	}
	return r.refused(ctx, pieces.Wait())
}

// Beat implements [Store].
func (r *Redis) Beat(ctx context.Context, name string, now time.Time) error {
	return r.refused(ctx, r.client.Set(ctx, name, now.Unix(), beatExpiry).Err())
}

// Close implements [Store].
func (r *Redis) Close() error { return r.client.Close() }
