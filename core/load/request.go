package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
)

const (
	// window is how old, in seconds, the first timestamp of a metric is. A server takes
	// those of the last hour.
	window = 3500

	nameDigits = 8
	maxNames   = 50_000_000
)

// These stand for digits while a request is made. No key and no name can hold them.
const (
	nameMark  = "\x01\x01\x01\x01\x01\x01\x01\x01"
	timeMark  = "\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02"
	valueMark = "4\x03\x03\x03.\x03\x035"
)

// newPrefix returns one that no other run has.
func newPrefix() string {
	return "bench." + strconv.FormatUint(36*36*36*36*36+rand.Uint64N(35*36*36*36*36*36), 36)
}

func metricName(prefix string) string { return prefix + ".node-" + nameMark + ".cpu.user.time" }

// Body returns the body of a POST of so many metrics, as a load sends it.
func Body(key string, metrics int) []byte {
	c := Config{Key: key, Method: http.MethodPost, PerRequest: metrics, Prefix: "bench.prefix", Names: metrics}
	_, body, _ := bytes.Cut(c.newRequests(target{}, 0, metrics).next(1_500_000_000), []byte("\r\n\r\n"))
	return body
}

// body returns the JSON of a POST, with marks in it.
func (c Config) body() []byte {
	key, _ := json.Marshal(c.Key) // a string always can
	item := fmt.Sprintf(`"metric": "%s", "timestamp": %s, "value": %s`, metricName(c.Prefix), timeMark, valueMark)
	if c.PerRequest == 1 {
		return fmt.Appendf(nil, `{"key": %s, %s}`, key, item)
	}
	body := fmt.Appendf(nil, `{"key": %s, "metrics": [`, key)
	for i := range c.PerRequest {
		if i > 0 {
			body = append(body, ", "...)
		}
		body = append(append(append(body, '{'), item...), '}')
	}
	return append(body, "]}"...)
}

// requests are those of one connection: the same bytes again and again, with other
// digits in them.
type requests struct {
	bytes []byte
	items []item

	first, share int   // its metrics
	names        int   // those of all connections
	generation   int   // how often its metrics have been replaced by new ones
	taken        int   // of share, with the timestamp at
	at           int64 // timestamp
	noise        uint32
}

// An item is where the digits of a datapoint are.
type item struct{ name, timestamp, value int }

// newRequests returns requests to t with the metrics from first on.
func (c Config) newRequests(t target, first, share int) *requests {
	var body []byte
	query := ""
	if c.Method == http.MethodPost {
		body = c.body()
	} else {
		query = fmt.Sprintf("?metric=%s&value=%s&timestamp=%s&key=%s", metricName(c.Prefix), valueMark, timeMark, url.QueryEscape(c.Key))
	}
	head := t.head(c.Method, query, len(body))
	all := &requests{bytes: append(head, body...), first: first, share: share, names: c.Names, taken: share, noise: uint32(first)*2 + 1}
	for at := 0; len(all.items) < c.PerRequest; {
		find := func(mark string) int { return at + bytes.Index(all.bytes[at:], []byte(mark)) }
		i := item{find(nameMark), find(timeMark), find(valueMark)}
		at = max(i.name+nameDigits, i.timestamp+len(timeMark), i.value+len(valueMark))
		all.items = append(all.items, i)
	}
	return all
}

// next returns the next request, which is good until the next call. Now is a
// timestamp.
func (r *requests) next(now int64) []byte {
	if r.taken == r.share {
		r.taken = 0
		r.at = max(r.at+1, now-window)
		if r.at > now { // its metrics have had every timestamp that a server takes
			r.at = now - window
			r.generation++
		}
	}
	number := r.first + r.taken + r.generation*r.names
	r.taken += len(r.items)
	var at [len(timeMark)]byte
	digits(at[:], uint64(r.at))
	for i := range r.items {
		where := &r.items[i]
		digits(r.bytes[where.name:where.name+nameDigits], uint64(number+i))
		copy(r.bytes[where.timestamp:], at[:])
		r.noise = r.noise*1664525 + 1013904223
		digits(r.bytes[where.value+1:where.value+4], uint64(r.noise>>24))
		digits(r.bytes[where.value+5:where.value+7], uint64(r.noise>>16&0x3f))
	}
	return r.bytes
}

// digits writes the last digits of n over all of b.
func digits(b []byte, n uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
}
