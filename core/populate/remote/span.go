package remote

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Span returns which seconds a URL asks for at the time at, from the first to the
// last, as far as its text tells: from and until of a render, start and end of
// query_range, or the range that ends a query.
func Span(kind Kind, raw string, at int64) (from, until int64, ok bool) {
	if kind == Graphite {
		return rendered(raw, at)
	}
	if from, until, ok := between(raw); ok {
		return from, until, true
	}
	r, _ := rangeOf(raw)
	seconds, ok := duration(r.text)
	if t, told := valueOf(raw, "time"); told {
		v, err := strconv.ParseFloat(t, 64)
		if err != nil || !inTime(v) {
			return 0, 0, false
		}
		at = int64(v)
	}
	return at - seconds, at, ok && seconds <= at
}

// between reads start and end of query_range.
func between(raw string) (from, until int64, ok bool) {
	start, _ := valueOf(raw, "start")
	end, _ := valueOf(raw, "end")
	a, err := strconv.ParseFloat(start, 64)
	b, err2 := strconv.ParseFloat(end, 64)
	if isQuery(raw) || err != nil || err2 != nil || !inTime(a) || !inTime(b) || a > b {
		return 0, 0, false
	}
	return int64(a), int64(b), true
}

func inTime(v float64) bool { return v >= 0 && v <= maxTimestamp }

// valueOf returns the value of a parameter, unquoted.
func valueOf(raw, name string) (string, bool) {
	begin, end, ok := parameterOf(raw, name)
	if !ok {
		return "", false
	}
	value, err := url.QueryUnescape(raw[begin:end])
	return value, err == nil
}

// rendered reads from and until of a render. The target is passed by: what looks
// like a parameter behind it may be part of it.
func rendered(raw string, at int64) (from, until int64, ok bool) {
	if begin := targetOf(raw); begin >= 0 {
		raw = raw[:begin]
	}
	begin, ok := valueOf(raw, "from")
	if !ok {
		return 0, 0, false
	}
	from, ok = moment(begin, at)
	until = at
	if end, told := valueOf(raw, "until"); told && ok {
		until, ok = moment(end, at)
	}
	return from, until, ok && 0 <= from && from <= until
}

var (
	offset = regexp.MustCompile(`^(now)?-(([0-9]+)(s|min|h|d|w|mon|y)[a-z]*)+$`)
	steps  = regexp.MustCompile(`([0-9]+)(s|min|h|d|w|mon|y)`)
)

// moment reads a time as Graphite does: seconds since 1970, "now", or an offset
// from now to the past such as -90days. Days of the calendar depend on the time
// zone of the remote, so they are not read.
func moment(text string, now int64) (int64, bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	if text == "now" || text == "" {
		return now, true
	}
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		year, month, day := n/10000, n/100%100, n%100
		date := len(text) == 8 && year > 1900 && month < 13 && day < 32
		return int64(n), !date
	}
	if !offset.MatchString(text) || len(text) > 60 {
		return 0, false
	}
	units := map[string]int64{"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "mon": 30 * 86400, "y": 365 * 86400}
	for _, step := range steps.FindAllStringSubmatch(text, -1) {
		n, err := strconv.ParseInt(step[1], 10, 32)
		if err != nil {
			return 0, false
		}
		now -= n * units[step[2]]
	}
	return now, true
}
