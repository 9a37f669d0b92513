package ledger

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// advance moves entries forward, each by itself; one that cannot be read is
// replaced. KEYS: the hash if it is kept, then the strings if they are. ARGV: the
// newest timestamp that is believed, the expiry of strings in seconds or 0, 1 for
// keeping the hash, 1 for keeping strings; then for each metric its name,
// timestamp, text, and text in the hash.
const advanceText = readEntry + `
local ahead, expire, hash, strings = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1', ARGV[4] == '1'
local first = hash and 1 or 0

local function advances(entry, timestamp)
  local last = timestampOf(entry)
  return not last or last < timestamp or last > ahead
end

for i = 1, (#ARGV - 4) / 4 do
  local a = 4 * i
  local metric, timestamp = ARGV[a + 1], tonumber(ARGV[a + 2])
  if strings then
    local entry = redis.pcall('GET', KEYS[first + i])
    if type(entry) == 'table' and entry.err and not string.find(entry.err, '^WRONGTYPE') then
      return entry
    end
    if advances(entry, timestamp) then
      if expire > 0 then
        redis.call('SET', KEYS[first + i], ARGV[a + 3], 'EX', expire)
      else
        redis.call('SET', KEYS[first + i], ARGV[a + 3])
      end
    end
  end
  if hash and advances(redis.call('HGET', KEYS[1], metric), timestamp) then
    redis.call('HSET', KEYS[1], metric, ARGV[a + 4])
  end
end
return redis.status_reply('OK')
`

var advance = redis.NewScript(advanceText)

// readEntry is timestampOf for a script: it returns nil for what is no entry.
const readEntry = `
local function number(text)
  if string.find(text, '^[+-]?0+[1-9]%d*$') then
    return nil
  end
  if string.find(text, '^[+-]?[%d.]+$') or string.find(text, '^[+-]?[%d.]+[eE][+-]?%d+$') then
    return tonumber(text)
  end
end

local function timestampOf(entry)
  if type(entry) ~= 'string' or #entry > 1024 then
    return nil
  end
  local digits = string.match(entry, '^%[([1-9]%d*), %-?%d+%.%d+%]$') or
    string.match(entry, "^{'timestamp': ([1-9]%d*), 'value': %-?%d+%.%d+}$")
  if digits then -- as nearly all of them, in a third of the time
    return tonumber(digits)
  end
  local open, inner, close = string.match(entry, '^[ \t]*([%[{])(.*)([%]}])[ \t\f]*[\r\n]*$')
  if open ~= '[' and open ~= '{' or close ~= (open == '[' and ']' or '}') then
    return nil
  end
  local timestamp
  local known = open == '['
  for element in string.gmatch(string.gsub(inner, ',[ \t\r\n\f]*$', '') .. ',', '([^,]*),') do
    if open == '{' then
      local quote, name, value = string.match(element, "^[ \t\r\n\f]*(['\"])([%w_]*)%1[ \t\r\n\f]*:(.*)$")
      known, element = name == 'timestamp', value or ''
    end
    local text = string.match(element, '^[ \t\r\n\f]*(.-)[ \t\r\n\f]*$')
    local n = number(text)
    if not n and text ~= 'None' then
      return nil
    end
    if known then
      timestamp = n
    end
    known = false
  end
  return timestamp and math.floor(timestamp)
end
`

// A call is the arguments of one command that records. Most are pointers, which unlike
// strings and numbers cost no memory of their own.
type call []any

const (
	callHead   = 3 // EVALSHA, the script, the number of KEYS
	callFixed  = 4 // ARGV before the metrics
	callMetric = 4 // ARGV of each metric
)

// calls returns what records dues, of which each is in it once.
func (r *Redis) calls(dues []Due, ahead int64) []call {
	texts := entryTexts(dues)
	if r.cluster {
		return r.apart(dues, texts, ahead)
	}
	plain := 0
	for i := range dues {
		if r.plain(&dues[i]) {
			plain++
		}
	}
	var calls []call
	if plain > 0 {
		calls = r.written(dues, texts, plain)
	}
	if plain < len(dues) {
		calls = append(calls, r.together(dues, texts, len(dues)-plain, ahead))
	}
	return calls
}

// together returns the call that advances those n of dues that are not plain on a single
// node.
func (r *Redis) together(dues []Due, texts []string, n int, ahead int64) call {
	c := r.begin(n, r.o.Hash)
	for i := range dues {
		if !r.plain(&dues[i]) {
			c = append(c, &texts[3*i])
		}
	}
	c = r.fix(c, ahead, r.o.Hash, true)
	for i := range dues {
		if !r.plain(&dues[i]) {
			c = append(c, &dues[i].Metric, &dues[i].Timestamp, &texts[3*i+1], &texts[3*i+2])
		}
	}
	return c
}

// apart returns the calls that record dues in a cluster, where one script may only
// touch entries of one slot: one for each string, and one for the hash.
func (r *Redis) apart(dues []Due, texts []string, ahead int64) []call {
	calls := make([]call, 0, len(dues)+1)
	for i := range dues {
		c := r.fix(append(r.begin(1, false), &texts[3*i]), ahead, false, true)
		calls = append(calls, append(c, "", &dues[i].Timestamp, &texts[3*i+1], ""))
	}
	if r.o.Hash {
		c := r.fix(slices.Grow(r.begin(0, true), callFixed+callMetric*len(dues)), ahead, true, false)
		for i := range dues {
			c = append(c, &dues[i].Metric, &dues[i].Timestamp, "", &texts[3*i+2])
		}
		calls = append(calls, c)
	}
	return calls
}

// begin returns a call up to the hash, if it is kept, with room for n metrics.
func (r *Redis) begin(n int, hash bool) call {
	c := make(call, 0, callHead+1+n+callFixed+callMetric*n)
	if !hash {
		return append(c, "evalsha", advance.Hash(), n)
	}
	return append(c, "evalsha", advance.Hash(), n+1, hashEntry)
}

// fix adds what holds for all metrics.
func (r *Redis) fix(c call, ahead int64, hash, single bool) call {
	return append(c, ahead, int64(r.o.Expire/time.Second), hash, single)
}

// entryTexts returns for each metric the name of its string, and the texts of both
// entries, in one piece of memory.
func entryTexts(dues []Due) []string {
	const usual = 160 // bytes of the three
	var all strings.Builder
	all.Grow(usual * len(dues))
	ends, text := make([]int, 0, 3*len(dues)), make([]byte, 0, usual)
	end := func() {
		all.Write(text)
		ends, text = append(ends, all.Len()), text[:0]
	}
	for i := range dues {
		d := &dues[i]
		text = append(append(text, stringPrefix...), d.Metric...)
		end()
		text = appendList(text, d.Timestamp, d.Value)
		end()
		text = appendDict(text, d.Timestamp, d.Value)
		end()
	}
	texts, from := make([]string, len(ends)), 0
	for i, end := range ends {
		texts[i], from = all.String()[from:end], end
	}
	return texts
}

// run makes the calls in one round trip. Where the script is not known yet, or MSET is
// not allowed, a second one does without. It returns the first error; the other calls are
// made all the same.
func (r *Redis) run(ctx context.Context, calls []call) error {
	done, err := r.pipe(ctx, calls)
	if err == nil {
		return nil
	}
	var first error
	var again []call
	for i, cmd := range done {
		err := cmd.Err()
		switch {
		case redis.HasErrorPrefix(err, "NOSCRIPT"):
			calls[i][0], calls[i][1] = "eval", advanceText
			again = append(again, calls[i])
		case calls[i][0] == "mset" && r.refusesMSet(err):
			again = append(again, apiece(calls[i])...)
		case err != nil && first == nil:
			first = err
		}
	}
	if _, err := r.pipe(ctx, again); err != nil && first == nil {
		first = err
	}
	return first
}

// pipe makes the calls in one round trip.
func (r *Redis) pipe(ctx context.Context, calls []call) ([]redis.Cmder, error) {
	pipe := r.client.Pipeline()
	for _, c := range calls {
		cmd := redis.NewCmd(ctx, c...)
		cmd.SetFirstKeyPos(callHead)
		_ = pipe.Process(ctx, cmd) // which only queues it
	}
	return pipe.Exec(ctx)
}
