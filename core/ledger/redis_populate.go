package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	leasePrefix      = "fluxgate.populate."           // + metric: a string, the owner of the lease
	vistaTargets     = "vista.fetcher.unique_metrics" // a set of remote targets
	vistaResolution  = "vista.last.resolution."       // + metric: a string, seconds
	resolutionExpiry = time.Hour                      // as Vista has it
)

// Note implements [Store].
func (r *Redis) Note(ctx context.Context, metric, remoteTarget string, resolution time.Duration) error {
	pipe := r.client.Pipeline()
	if remoteTarget != "" {
		pipe.SAdd(ctx, vistaTargets, remoteTarget)
	}
	if resolution > 0 {
		pipe.Set(ctx, vistaResolution+metric, max(1, int64(resolution/time.Second)), resolutionExpiry)
	}
	if pipe.Len() == 0 {
		return nil
	}
	_, err := pipe.Exec(ctx)
	return r.refused(ctx, err)
}

// Lease implements [Store].
func (r *Redis) Lease(ctx context.Context, metric, owner string, d time.Duration) (given bool, err error) {
	err = r.client.SetArgs(ctx, leasePrefix+metric, owner, redis.SetArgs{Mode: "NX", TTL: d}).Err()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	return err == nil, r.refused(ctx, err)
}

// renewal has a lease last longer, or end. KEYS: the lease. ARGV: who may do so,
// and milliseconds.
var renewal = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`)

// Renew implements [Store].
func (r *Redis) Renew(ctx context.Context, metric, owner string, d time.Duration) (ours bool, err error) {
	n, err := renewal.Run(ctx, r.client, []string{leasePrefix + metric}, owner, d.Milliseconds()).Int()
	return n == 1, r.refused(ctx, err)
}
