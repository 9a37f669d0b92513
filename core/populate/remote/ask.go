package remote

import (
	"regexp"
	"strconv"
	"strings"
)

// Ask returns the form in which a URL is asked that Vista wrote. Its parameters
// stay in their order and as they stand, but for two: Vista writes the target of a
// render raw and last, so that everything behind "target=" belongs to it and is
// percent-encoded here; and the brackets of the range that ends a query of
// Prometheus are encoded, where all before it is already.
//
// The only error is [sdk.ErrInvalid], for what is no URL of http or https.
func Ask(kind Kind, raw string) (string, error) {
	asked := raw
	if kind == Graphite {
		if at := targetOf(raw); at >= 0 {
			asked = raw[:at] + encoded(raw[at:])
		}
	} else if r, ok := rangeOf(raw); ok {
		asked = raw[:r.begin] + "%5B" + r.text + "%5D" + raw[r.end:]
	}
	_, err := locate(asked)
	return asked, err
}

// AsOf returns what asks for the same as url, as of the time at, whenever it is
// asked: a render with relative times, or a query of Prometheus. A url that tells
// its time already stays as it is. It is for what [Ask] returned.
func AsOf(kind Kind, url string, at int64) string {
	parameter := "now"
	if kind == Prometheus {
		parameter = "time"
		if !isQuery(url) {
			return url
		}
	}
	if _, _, ok := parameterOf(url, parameter); ok {
		return url
	}
	separator := "&"
	if !strings.Contains(url, "?") {
		separator = "?"
	}
	return url + separator + parameter + "=" + strconv.FormatInt(at, 10)
}

// Narrow shortens the range that ends a query of Prometheus to what is needed at
// now by one who has all points up to since: as many minutes, and two. What has no
// such range, or a shorter one, stays as it is.
func Narrow(raw string, since, now int64) string {
	r, ok := rangeOf(raw)
	seconds, isRange := duration(r.text)
	minutes := max(0, now-since)/60 + 2
	if !ok || !isRange || minutes*60 >= seconds {
		return raw
	}
	return raw[:r.begin] + r.open + strconv.FormatInt(minutes, 10) + "m" + r.close + raw[r.end:]
}

// targetOf returns where the value of the parameter target begins, or -1.
func targetOf(raw string) int {
	begin, _, ok := parameterOf(raw, "target")
	if !ok {
		return -1
	}
	return begin
}

// parameterOf returns where the value of the first parameter called name begins and
// ends.
func parameterOf(raw, name string) (begin, end int, ok bool) {
	begin = strings.IndexByte(raw, '?') + 1
	if begin == 0 {
		return 0, 0, false
	}
	for {
		end = len(raw)
		if n := strings.IndexByte(raw[begin:], '&'); n >= 0 {
			end = begin + n
		}
		if strings.HasPrefix(raw[begin:end], name+"=") {
			return begin + len(name) + 1, end, true
		}
		if end == len(raw) {
			return 0, 0, false
		}
		begin = end + 1
	}
}

// encoded percent-encodes what has a meaning in a query, or cannot stand there. It
// leaves what targets are full of and no server minds.
func encoded(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if letter || strings.IndexByte("-._~*(),:/", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		escape(&b, c)
	}
	return b.String()
}

// A span is a range at the end of a query: x[15d].
type span struct {
	begin, end        int // of all of it, brackets included
	open, text, close string
}

var trailing = regexp.MustCompile(`(\[|%5[Bb])((?:[0-9A-Za-z.:]|%3[Aa])*)(\]|%5[Dd])$`)

// rangeOf returns the range that ends the query of a Prometheus URL.
func rangeOf(raw string) (span, bool) {
	begin, end, ok := parameterOf(raw, "query")
	if !ok || !isQuery(raw) {
		return span{}, false
	}
	m := trailing.FindStringSubmatchIndex(raw[begin:end])
	if m == nil {
		return span{}, false
	}
	at := func(i int) string { return raw[begin+m[2*i] : begin+m[2*i+1]] }
	return span{begin + m[0], end, at(1), at(2), at(3)}, true
}

// isQuery reports whether a URL is one of /api/v1/query, not of query_range.
func isQuery(raw string) bool {
	path, _, _ := strings.Cut(raw, "?")
	return strings.HasSuffix(path, "/api/v1/query")
}

var (
	durations = regexp.MustCompile(`^([0-9]+(ms|[smhdwy]))+$`)
	parts     = regexp.MustCompile(`([0-9]+)(ms|[smhdwy])`)
)

// duration reads a duration of Prometheus in whole seconds.
func duration(text string) (seconds int64, ok bool) {
	if !durations.MatchString(text) || len(text) > 30 {
		return 0, false
	}
	units := map[string]int64{"ms": 0, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
	for _, part := range parts.FindAllStringSubmatch(text, -1) {
		n, err := strconv.ParseInt(part[1], 10, 32)
		if err != nil {
			return 0, false
		}
		if part[2] == "ms" {
			seconds += n / 1000
		}
		seconds += n * units[part[2]]
	}
	return seconds, true
}
