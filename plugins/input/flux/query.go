package main

import (
	"net/http"
	"strings"
	"unicode/utf8"

	"fluxgate/sdk"
)

// decodeQuery reads one metric from a raw query. The order of its parameters
// does not matter. What it returns refers to query.
func decodeQuery(query string, header http.Header, now int64, memory *lists) (sdk.Submission, error) {
	p, err := readQuery(query)
	if err != nil {
		return sdk.Submission{}, err
	}
	if p.status.given {
		return healthy(), nil
	}
	if !p.key.given {
		return sdk.Submission{}, sdk.Invalidf("no key parameter passed")
	}
	s := sdk.Submission{DryRun: p.test.isTrue() || testOnly(header)}
	if !p.key.isList() {
		s.Key = p.key.value
	}
	batch, invalid := p.batch(now, memory)
	s.Invalid = invalid
	if p.fill.isTrue() {
		s.Backfill = batch
		return s, nil
	}
	s.Batch = batch
	return s, nil
}

// parameters is all that a query may hold.
type parameters struct{ metric, value, timestamp, key, status, fill, test parameter }

// batch returns the one datapoint that the parameters describe, or what is
// wrong with them. Where that is the value, the datapoint comes with it and
// holds 0, for its name and timestamp to be judged first.
func (p *parameters) batch(now int64, memory *lists) (batch sdk.Batch, invalid string) {
	if p.metric.isList() {
		return nil, "invalid metric - " + quote(p.metric.String()) + " - invalid characters in name"
	}
	if p.metric.value == "" {
		return nil, "no metric parameter passed"
	}
	timestamp, reason := now, ""
	if p.timestamp.given {
		timestamp, reason = parseTimestamp(p.timestamp.String())
	}
	if reason != "" && p.fill.isTrue() {
		return nil, "invalid timestamp"
	}
	if reason != "" {
		return nil, "invalid timestamp - " + quote(p.timestamp.String()) + " - " + reason
	}
	value, ok := parseValue(p.value.String())
	if !p.value.given {
		invalid = "no value parameter passed"
	} else if !ok {
		invalid = "invalid value - " + quote(p.value.String())
	}
	return append(memory.take(), sdk.Datapoint{Metric: p.metric.value, Timestamp: timestamp, Value: value}), invalid
}

// named returns the parameter of that name, nil where there is none.
func (p *parameters) named(name string) *parameter {
	switch name {
	case "metric":
		return &p.metric
	case "value":
		return &p.value
	case "timestamp":
		return &p.timestamp
	case "key":
		return &p.key
	case "status":
		return &p.status
	case "fill":
		return &p.fill
	case "test":
		return &p.test
	}
	return nil
}

// A parameter is what a query says of one name. Given more than once it is a
// list, which is neither true nor a number.
type parameter struct {
	given bool
	value string   // the first
	more  []string // the others
}

func (p *parameter) add(value string) {
	if p.given {
		p.more = append(p.more, value)
		return
	}
	p.given, p.value = true, value
}

func (p *parameter) isList() bool { return len(p.more) > 0 }

func (p *parameter) isTrue() bool { return !p.isList() && p.value == "true" }

// String returns the value, or the text of the list, such as ['1', '2'].
func (p *parameter) String() string {
	if !p.isList() {
		return p.value
	}
	return "['" + p.value + "', '" + strings.Join(p.more, "', '") + "']"
}

// readQuery reads a raw query. Unlike [net/url.ParseQuery] it refuses the first
// parameter that is not known, takes a semicolon as text, and keeps a percent
// sign that introduces no byte.
func readQuery(query string) (p parameters, err error) {
	plain := isPlain(query)
	for query != "" {
		var part string
		part, query, _ = strings.Cut(query, "&")
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		if !plain {
			name, value = unescape(name), unescape(value)
		}
		known := p.named(name)
		if known == nil {
			return p, sdk.Invalidf("Invalid parameter received - %s", quote(name))
		}
		known.add(value)
	}
	return p, nil
}

// isPlain reports whether all that is in query stands for itself.
func isPlain(query string) bool {
	return strings.IndexByte(query, '%') < 0 && strings.IndexByte(query, '+') < 0 && utf8.ValidString(query)
}

// unescape returns the text that s stands for, as UTF-8: a byte sequence that
// is none becomes U+FFFD.
func unescape(s string) string { return strings.ToValidUTF8(unescapeBytes(s), "\uFFFD") }

func unescapeBytes(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b = append(b, ' ')
		case s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b = append(b, hexDigit(s[i+1])<<4|hexDigit(s[i+2]))
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return string(b)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// hexDigit returns the number that the hexadecimal digit c stands for.
func hexDigit(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}
