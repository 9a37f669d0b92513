package populate

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bounds of a plain request's times, in seconds. A timestamp fits whisper's 32 bits.
const (
	minTimestamp = 1
	maxTimestamp = math.MaxUint32
	maxStep      = 86400
)

// readPlain reads Fluxgate's own form. A member that it does not know is refused,
// and null is the same as a member left out.
func readPlain(m *members, now time.Time) Request {
	m.onlyKnown("key", "source", "metric", "from", "until", "step", "resampler", "sink", "dry_run")
	r := Request{Form: Plain}
	m.source(&r)
	r.Metric = m.need("metric", "the name to fill")
	r.From, r.Until = m.timestamp("from", now), m.timestamp("until", now)
	end, means := r.Until, "until, "+m.quoted("until")
	if end == 0 {
		end, means = now.Unix(), "now"
	}
	if r.From >= end {
		m.refuse("from", ` %s is not before %s: give an earlier one, such as "-7d"`, m.quoted("from"), means)
	}
	r.Step = m.step("step")
	r.Resampler, r.Sink = m.text("resampler"), m.text("sink")
	r.DryRun = m.yes("dry_run")
	return r
}

// source reads where the points are fetched from.
func (m *members) source(r *Request) {
	s := &members{path: "source."}
	if json.Unmarshal(m.object["source"], &s.object) != nil || s.object == nil {
		m.refuse("source", ` is no object: give it the members "type", "url" and "target"`)
		return
	}
	s.onlyKnown("type", "url", "target")
	r.Kind = s.need("type", Graphite+" or "+Prometheus)
	if r.Kind != Graphite && r.Kind != Prometheus {
		s.refuse("type", " %q is unknown: use %s or %s", brief(r.Kind), Graphite, Prometheus)
	}
	r.Remote = s.baseURL("url")
	r.Target = s.need("target", "what the remote calls the metric, or an expression")
	if m.fault == "" {
		m.fault = s.fault
	}
}

// baseURL returns a URL without query, and without the slash at its end.
func (m *members) baseURL(name string) string {
	base := m.need(name, "the URL of the remote, http://host:port")
	if _, err := locate(base); err != nil {
		m.refuse(name, " %s", err)
	}
	if strings.Contains(base, "?") {
		m.refuse(name, " has a query: give what stands before /render or /api, and the rest as source.target")
	}
	return strings.TrimRight(base, "/")
}

// yes returns a member that is true or false.
func (m *members) yes(name string) bool {
	switch raw := string(m.value(name)); raw {
	case "true", "false", "":
		return raw == "true"
	}
	m.refuse(name, " is neither true nor false")
	return false
}

// quoted returns a member that may be a number or a text, for a fault.
func (m *members) quoted(name string) string { return strconv.Quote(brief(m.written(name))) }

// timeForms is the remedy for what is no time.
const timeForms = `use Unix seconds, RFC 3339 such as "2026-01-31T00:00:00Z", or a distance from now such as "-7d"`

// timestamp returns a member that is a time, in Unix seconds; 0 where it is missing.
func (m *members) timestamp(name string, now time.Time) int64 {
	text := m.written(name)
	if text == "" {
		return 0
	}
	t, ok := timeIn(text, now)
	if !ok {
		m.refuse(name, " %s is no time: %s", m.quoted(name), timeForms)
		return 0
	}
	if t < minTimestamp || t > maxTimestamp {
		m.refuse(name, " %s is not between %d and %d seconds since 1970: %s", m.quoted(name), minTimestamp, int64(maxTimestamp), timeForms)
	}
	return t
}

// timeIn reads Unix seconds, an RFC 3339 time or a date alone (its midnight, UTC),
// or a time before now as Graphite writes it: now, -90min, now-1d12h.
func timeIn(text string, now time.Time) (timestamp int64, ok bool) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.Unix(), true
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t.Unix(), true
	}
	if text == "now" {
		return now.Unix(), true
	}
	if ago, found := strings.CutPrefix(strings.TrimPrefix(text, "now"), "-"); found {
		seconds, ok := secondsIn(ago)
		return now.Unix() - seconds, ok
	}
	seconds, err := strconv.ParseUint(text, 10, 63)
	return int64(seconds), err == nil
}

// step returns a member that is a number of seconds, or a text such as "60s"; 0
// where it is missing.
func (m *members) step(name string) int64 {
	text := m.written(name)
	if text == "" {
		return 0
	}
	number, err := strconv.ParseUint(text, 10, 32)
	seconds, ok := int64(number), err == nil
	if !ok {
		seconds, ok = secondsIn(text)
	}
	if !ok || seconds < 1 || seconds > maxStep {
		m.refuse(name, ` %s is no step: use whole seconds from 1 to %d, or a text such as "60s" or "10m"`, m.quoted(name), maxStep)
		return 0
	}
	return seconds
}

// secondsIn reads a length of time: one number and unit, or several in a row, such
// as 1d12h. A time without unit is none.
func secondsIn(text string) (seconds int64, ok bool) {
	for text != "" {
		digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
		number, err := strconv.ParseUint(text[:digits], 10, 32)
		text = text[digits:]
		letters := len(text) - len(strings.TrimLeft(text, "abcdefghijklmnopqrstuvwxyz"))
		unit := secondsOf(text[:letters])
		if err != nil || unit == 0 {
			return 0, false
		}
		text = text[letters:]
		if seconds += int64(number) * unit; seconds > maxTimestamp {
			return 0, false
		}
		ok = true
	}
	return seconds, ok
}

// secondsOf returns the length of a unit as Graphite names it, except that m is a
// minute; 0 where it is none. A month has 30 days, a year 365.
func secondsOf(unit string) int64 {
	switch unit {
	case "s", "sec", "secs", "second", "seconds":
		return 1
	case "m", "min", "mins", "minute", "minutes":
		return 60
	case "h", "hour", "hours":
		return 3600
	case "d", "day", "days":
		return 86400
	case "w", "week", "weeks":
		return 7 * 86400
	case "mon", "month", "months":
		return 30 * 86400
	case "y", "year", "years":
		return 365 * 86400
	}
	return 0
}
