package ledger

import (
	"log/slog"
	"strings"

	"github.com/redis/go-redis/v9"
)

// plain reports whether d is written without a look at what is there. That takes
// Redis a quarter of the time, and knows no expiry.
func (r *Redis) plain(d *Due) bool { return d.Newest && !r.cluster && r.o.Expire == 0 }

// written returns the calls that write those n of dues that are plain: their strings, and
// their fields of the hash if it is kept.
func (r *Redis) written(dues []Due, texts []string, n int) []call {
	entries := append(make(call, 0, 1+2*n), "mset")
	for i := range dues {
		if r.plain(&dues[i]) {
			entries = append(entries, &texts[3*i], &texts[3*i+1])
		}
	}
	calls := []call{entries}
	if r.each.Load() {
		calls = apiece(entries)
	}
	if !r.o.Hash {
		return calls
	}
	fields := append(make(call, 0, 2+2*n), "hset", hashEntry)
	for i := range dues {
		if r.plain(&dues[i]) {
			fields = append(fields, &dues[i].Metric, &texts[3*i+2])
		}
	}
	return append(calls, fields)
}

// apiece returns the calls that write each string of a call of MSET by itself.
func apiece(entries call) []call {
	n := len(entries) / 2
	calls, all := make([]call, n), make(call, 3*n)
	for i := range calls {
		c := all[3*i : 3*i+3 : 3*i+3]
		c[0], c[1], c[2] = "set", entries[1+2*i], entries[2+2*i]
		calls[i] = c
	}
	return calls
}

// refusesMSet reports whether err, if any, says that MSET may not be used, and has it
// left alone until there is a new connection.
func (r *Redis) refusesMSet(err error) bool {
	if !redis.HasErrorPrefix(err, "unknown command") && (err == nil || !strings.Contains(err.Error(), "'mset' command")) {
		return false
	}
	r.each.Store(true)
	r.told.Do(func() {
		slog.Warn("entries are written to Redis one by one, which takes longer: give its user the right to write them at once", "right", "+mset", "err", err)
	})
	return true
}
