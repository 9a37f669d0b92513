package ledger

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"fluxgate/sdk"
)

// advance moves entries forward, each by itself; one that cannot be read is
// replaced. KEYS: the hash if it is kept, then the strings if they are. ARGV: the
// newest timestamp that is believed, the expiry of strings in seconds or 0, 1 for
// keeping the hash, 1 for keeping strings; then for each metric its name,
// timestamp, text, and text in the hash.
var advance = redis.NewScript(readEntry + `
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
`)

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

// A call is one run of advance.
type call struct {
	entries []string
	args    []any
}

// together returns the call that records b on a single node.
func (r *Redis) together(b sdk.Batch, ahead int64) []call {
	c := r.begin(len(b), ahead, r.o.Hash, true)
	for _, d := range b {
		c.entries = append(c.entries, stringPrefix+d.Metric)
		c.args = append(c.args, d.Metric, d.Timestamp, listText(d.Timestamp, d.Value), dictText(d.Timestamp, d.Value))
	}
	return []call{c}
}

// apart returns the calls that record b in a cluster, where one script may only
// touch entries of one slot: one for each string, and one for the hash.
func (r *Redis) apart(b sdk.Batch, ahead int64) []call {
	calls := make([]call, 0, len(b)+1)
	for _, d := range b {
		c := r.begin(1, ahead, false, true)
		c.entries = append(c.entries, stringPrefix+d.Metric)
		c.args = append(c.args, "", d.Timestamp, listText(d.Timestamp, d.Value), "")
		calls = append(calls, c)
	}
	if r.o.Hash {
		c := r.begin(len(b), ahead, true, false)
		for _, d := range b {
			c.args = append(c.args, d.Metric, d.Timestamp, "", dictText(d.Timestamp, d.Value))
		}
		calls = append(calls, c)
	}
	return calls
}

// begin returns a call with room for n metrics.
func (r *Redis) begin(n int, ahead int64, hash, strings bool) call {
	c := call{entries: make([]string, 0, n+1), args: make([]any, 0, 4*n+4)}
	if hash {
		c.entries = append(c.entries, hashEntry)
	}
	c.args = append(c.args, ahead, int64(r.o.Expire/time.Second), hash, strings)
	return c
}

// run makes the calls in one round trip. Where the script is not known yet, a
// second one brings it along. It returns the first error; the other calls are
// made all the same.
func (r *Redis) run(ctx context.Context, calls []call) error {
	pipe := r.client.Pipeline()
	for _, c := range calls {
		pipe.EvalSha(ctx, advance.Hash(), c.entries, c.args...)
	}
	done, err := pipe.Exec(ctx)
	if err == nil {
		return nil
	}
	var first error
	again := r.client.Pipeline()
	for i, cmd := range done {
		err := cmd.Err()
		switch {
		case redis.HasErrorPrefix(err, "NOSCRIPT"):
			advance.Eval(ctx, again, calls[i].entries, calls[i].args...)
		case err != nil && first == nil:
			first = err
		}
	}
	if _, err := again.Exec(ctx); err != nil && first == nil {
		first = err
	}
	return first
}
