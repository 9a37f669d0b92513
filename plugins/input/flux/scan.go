package main

import (
	"math/bits"
	"net/http"
	"slices"
	"strings"

	"fluxgate/sdk"
)

// scanBody reads the usual body in one pass: one metric or many, in ASCII and
// without escapes, with no other members and without a fault. Of such a body it
// returns what decodeBody would; any other is not taken, and decodeBody's. What
// it returns refers to body.
func scanBody(body []byte, header http.Header, now int64, memory *lists) (s sdk.Submission, taken bool) {
	p := scanner{text: textOf(body), now: now, memory: memory}
	p.body()
	key, given := keyOf(header, p.key)
	if p.failed || !given {
		memory.give(p.batch)
		memory.give(p.backfill)
		return sdk.Submission{}, false
	}
	return sdk.Submission{Key: key, Batch: p.batch, Backfill: p.backfill, DryRun: testOnly(header)}, true
}

// A scanner reads a body from its beginning to its end. Once it has failed it
// is at the end, where every method fails again.
type scanner struct {
	text   string
	at     int // all before it is read
	failed bool

	now    int64
	memory *lists

	key             string // as it stands in the text; empty where it is missing
	batch, backfill sdk.Batch
}

// A partial is a datapoint of which some members are read.
type partial struct {
	sdk.Datapoint
	named, valued, fill bool
}

func (s *scanner) fail() { s.failed, s.at = true, len(s.text) }

// body reads all of the text. Beside a list, what the body itself says of a
// datapoint does not count.
func (s *scanner) body() {
	single, listed := partial{Datapoint: sdk.Datapoint{Timestamp: s.now}}, false
	s.expect('{')
	for more := true; more; more = s.goesOn('}') {
		switch name := s.name(); {
		case name == "key":
			s.key = s.quoted()
		case name == "metrics" && !listed:
			s.list()
			listed = true
		default:
			s.member(name, &single)
		}
	}
	if !listed {
		s.add(&single)
	}
	if s.next(); s.at != len(s.text) {
		s.fail()
	}
}

func (s *scanner) list() {
	s.expect('[')
	var f form
	for more := true; more; more = s.goesOn(']') {
		var p partial
		n := f.read(s.text[s.at:], &p)
		if s.at += n; n == 0 {
			p = partial{Datapoint: sdk.Datapoint{Timestamp: s.now}}
			f = s.item(&p)
		}
		s.add(&p)
	}
}

// item reads p, whatever its form, and returns that.
func (s *scanner) item(p *partial) (f form) {
	begin := s.at
	s.expect('{')
	for more := true; more; more = s.goesOn('}') {
		name := s.name()
		quoted := 0 // bytes
		if s.next() == '"' {
			quoted = 1
		}
		before := s.text[begin : s.at+quoted]
		s.member(name, p)
		begin = s.at - quoted
		f.note(before, name)
	}
	f.end = s.text[begin:s.at]
	return f
}

// member reads the value of a member of p.
func (s *scanner) member(name string, p *partial) {
	switch name {
	case "metric":
		p.Metric, p.named = s.string(), true
	case "timestamp":
		p.Timestamp = s.timestamp()
	case "value":
		p.Value, p.valued = s.value(), true
	case "fill":
		p.fill = s.fill()
	default:
		s.fail()
	}
}

// add puts p, which is read, into its list.
func (s *scanner) add(p *partial) {
	if s.failed || !p.named || !p.valued {
		s.fail()
		return
	}
	list := &s.batch
	if p.fill {
		list = &s.backfill
	}
	if *list == nil {
		*list = s.memory.take()
	}
	if len(*list) == cap(*list) {
		*list = slices.Grow(*list, 1+countItems(s.text[s.at:]))
	}
	*list = append(*list, p.Datapoint)
}

func (s *scanner) timestamp() int64 {
	if s.next() == '"' {
		text := s.string()
		if text == "" {
			return s.now
		}
		timestamp, reason := parseTimestamp(text)
		if reason != "" {
			s.fail()
		}
		return timestamp
	}
	timestamp, n, ok := readBareInteger(s.text[s.at:])
	if !ok {
		s.fail()
		return 0
	}
	s.at += n
	return timestamp
}

func (s *scanner) value() float64 {
	if s.next() == '"' {
		value, ok := parseValue(s.string())
		if !ok {
			s.fail()
		}
		return value
	}
	value, n, plain := readDecimal(s.text[s.at:])
	if !plain {
		s.fail()
		return 0
	}
	s.at += n
	return value
}

func (s *scanner) fill() bool {
	if s.next() == '"' {
		text := s.string()
		return text == "true" || text == "True"
	}
	for _, word := range [...]string{"true", "false"} {
		if strings.HasPrefix(s.text[s.at:], word) {
			s.at += len(word)
			return word == "true"
		}
	}
	s.fail()
	return false
}

// name reads the name of a member, and the colon behind it.
func (s *scanner) name() string {
	name := s.string()
	s.expect(':')
	return name
}

func (s *scanner) string() string {
	if quoted := s.quoted(); quoted != "" {
		return quoted[1 : len(quoted)-1]
	}
	return ""
}

// quoted reads a string, and returns it with its quotes.
func (s *scanner) quoted() string {
	if s.next() != '"' {
		s.fail()
		return ""
	}
	rest := s.text[s.at:]
	n := 1 + plainLength(rest[1:])
	if n == len(rest) || rest[n] != '"' {
		s.fail()
		return ""
	}
	s.at += n + 1
	return rest[:n+1]
}

// goesOn reads the comma before a member or element, or the closing mark, and
// reports whether it was a comma.
func (s *scanner) goesOn(closing byte) bool {
	c := s.next()
	if c != ',' && c != closing {
		s.fail()
		return false
	}
	s.at++
	return c == ','
}

func (s *scanner) expect(c byte) {
	if s.next() != c {
		s.fail()
		return
	}
	s.at++
}

// next passes white space, and returns the byte behind it; 0 at the end.
func (s *scanner) next() byte {
	for s.at < len(s.text) {
		c := s.text[s.at]
		if c > ' ' || c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c
		}
		s.at++
	}
	return 0
}

// plainLength returns how many bytes s begins with that a JSON string may hold
// and that stand for themselves: ASCII without quotes, backslashes and control
// characters.
func plainLength(s string) int {
	const ones = 0x0101010101010101
	n := 0
	for ; n+8 <= len(s); n += 8 {
		w := word(s[n:])
		marked := (w - ' '*ones) | (w ^ '"'*ones - ones) | (w ^ '\\'*ones - ones) | w
		if marked &= 0x80 * ones; marked != 0 {
			return n + bits.TrailingZeros64(marked)/8
		}
	}
	for n < len(s) && ' ' <= s[n] && s[n] != '"' && s[n] != '\\' && s[n] < 0x80 {
		n++
	}
	return n
}

// word returns the first eight bytes of s, the first as the lowest.
func word(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}
