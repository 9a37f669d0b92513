package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"fluxgate/sdk"
)

const (
	stringPrefix = "flux.last."            // + metric: a string
	hashEntry    = "flux.last.metric_data" // one field for each metric
	beatExpiry   = 120 * time.Second       // what Skyline's thunder waits for

)

// RedisOptions says where Redis is and how entries are kept.
type RedisOptions struct {
	Address  string // host:port, or the path of a socket
	Username string
	Password string
	Database int
	Expire   time.Duration // of the string entries, in whole seconds; 0: never
	Hash     bool          // keep the hash beside the strings
}

// Redis is the store that Flux has, entry for entry: other parts of Skyline
// read it.
type Redis struct {
	client *redis.Client
	expire time.Duration
	hash   bool
}

// OpenRedis returns a store in Redis. It does not connect.
func OpenRedis(o RedisOptions) *Redis {
	network := "tcp"
	if strings.HasPrefix(o.Address, "/") {
		network = "unix"
	}
	redis.SetLogger(silent{}) // what it would print is in the errors that it returns
	client := redis.NewClient(&redis.Options{
		Network: network, Addr: o.Address, Username: o.Username, Password: o.Password, DB: o.Database,
		// Without this a deadline is not looked at while a reply is awaited.
		ContextTimeoutEnabled: true,
		MaxRetries:            -1, // the ledger tries again by itself
		DialTimeout:           time.Second,
		ReadTimeout:           recordTimeout,
		WriteTimeout:          recordTimeout,
		PoolTimeout:           recordTimeout,
		DisableIdentity:       true,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	})
	return &Redis{client: client, expire: o.Expire, hash: o.Hash}
}

// silent is a logger that logs nothing.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// Last implements [Store].
func (r *Redis) Last(ctx context.Context, metrics []string) ([]int64, error) {
	pipe := r.client.Pipeline()
	var fields *redis.SliceCmd
	if r.hash {
		fields = pipe.HMGet(ctx, hashEntry, metrics...)
	}
	entries := make([]*redis.StringCmd, len(metrics))
	for i, metric := range metrics {
		entries[i] = pipe.Get(ctx, stringPrefix+metric)
	}
	if _, err := pipe.Exec(ctx); err != nil && !isReply(err) {
		return nil, fmt.Errorf("redis: %w", err)
	}
	last := make([]int64, len(metrics))
	for i := range metrics {
		if err := entries[i].Err(); err != nil && !isAbsent(err) {
			return nil, fmt.Errorf("redis: %w", err)
		}
		last[i] = timestampOf(entries[i].Val())
	}
	if r.hash {
		if err := fields.Err(); err != nil {
			return nil, fmt.Errorf("redis: %w", err)
		}
		for i, field := range fields.Val() {
			text, _ := field.(string)
			last[i] = max(last[i], timestampOf(text))
		}
	}
	return last, nil
}

// isReply reports whether err is an answer of Redis to one command, so that
// the others of a pipeline have theirs.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

// isAbsent reports whether err says that there is no entry, or one of another
// type, which is none either and will be replaced.
func isAbsent(err error) bool {
	return errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "WRONGTYPE")
}

// advance moves entries forward, each by itself. KEYS: the hash, then the
// strings. ARGV: the newest timestamp that is believed, the expiry in seconds
// or 0, 1 for keeping the hash; then for each string its metric, timestamp,
// text, and text in the hash.
var advance = redis.NewScript(`
local ahead, expire, hash = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'

local function advances(entry, pattern, timestamp)
  local digits = type(entry) == 'string' and string.match(entry, pattern)
  local last = digits and tonumber(digits)
  return not last or last < timestamp or last > ahead
end

for i = 2, #KEYS do
  local a = 4 * i - 5
  local metric, timestamp = ARGV[a + 1], tonumber(ARGV[a + 2])
  if advances(redis.pcall('GET', KEYS[i]), '^%[ *(%d+)', timestamp) then
    if expire > 0 then
      redis.call('SET', KEYS[i], ARGV[a + 3], 'EX', expire)
    else
      redis.call('SET', KEYS[i], ARGV[a + 3])
    end
  end
  if hash and advances(redis.call('HGET', KEYS[1], metric), "'timestamp': *(%d+)", timestamp) then
    redis.call('HSET', KEYS[1], metric, ARGV[a + 4])
  end
end
return #KEYS - 1
`)

// Record implements [Store].
func (r *Redis) Record(ctx context.Context, b sdk.Batch, ahead int64) error {
	for len(b) > 0 {
		n := min(len(b), pieceLimit)
		entries := append(make([]string, 0, n+1), hashEntry)
		args := append(make([]any, 0, 4*n+3), ahead, int64(r.expire/time.Second), r.hash)
		for _, d := range b[:n] {
			entries = append(entries, stringPrefix+d.Metric)
			args = append(args, d.Metric, d.Timestamp, listText(d.Timestamp, d.Value), dictText(d.Timestamp, d.Value))
		}
		if err := advance.Run(ctx, r.client, entries, args...).Err(); err != nil {
			return fmt.Errorf("redis: %w", err)
		}
		b = b[n:]
	}
	return nil
}

// Beat implements [Store].
func (r *Redis) Beat(ctx context.Context, name string, now time.Time) error {
	return r.client.Set(ctx, name, now.Unix(), beatExpiry).Err()
}

// Check reports whether Redis can be reached.
func (r *Redis) Check(ctx context.Context) error {
	if err := r.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

// Close implements [Store].
func (r *Redis) Close() error { return r.client.Close() }
