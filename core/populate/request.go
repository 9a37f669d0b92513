package populate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"fluxgate/sdk"
)

// A Form is how a request was written.
type Form string

// The forms of a request.
const (
	Vista Form = "vista" // the nine text fields that Skyline's Vista sends
	Plain Form = "plain" // Fluxgate's own
)

// Kinds of remotes.
const (
	Graphite   = "graphite"
	Prometheus = "prometheus"
)

// A Request is what a job is to do: bring the history of one metric from a remote
// to a sink.
type Request struct {
	Form      Form     `json:"form"`
	Kind      string   `json:"kind"`              // Graphite or Prometheus
	Remote    string   `json:"remote,omitempty"`  // base URL of the remote, of a plain request; without a slash at its end
	Target    string   `json:"target"`            // what the remote calls the metric, or an expression
	URLs      []string `json:"urls,omitempty"`    // of a Vista request, as they stand in it, each once; none: nothing to do
	Metric    string   `json:"metric"`            // as sent, until it is brought to its canonical form
	From      int64    `json:"from,omitempty"`    // Unix seconds; 0: what the ledger lacks
	Until     int64    `json:"until,omitempty"`   // Unix seconds, not included; 0: the last complete interval
	Step      int64    `json:"step"`              // seconds; 0: as configured
	Resampler string   `json:"resampler"`         // empty: as configured for the metric
	Sink      string   `json:"sink"`              // empty: as configured
	DryRun    bool     `json:"dry_run,omitempty"` // tell the plan, and do nothing
	Login     Login    `json:"-"`                 // of a Vista request
}

// A Login is what a Vista request carries for its remote. It is kept with the job
// for hosts that are configured to honour it, shown nowhere, and dropped otherwise.
type Login struct{ Token, User, Password string }

// String keeps a login out of logs.
func (Login) String() string { return "(login)" }

// GoString keeps a login out of logs.
func (Login) GoString() string { return "(login)" }

// A Posted is a request as it was posted. Key is judged first: what is wrong with
// the rest is told only to whoever has one.
type Posted struct {
	Key     string
	Request Request // empty where Invalid is not
	Invalid string  // why the request is refused; empty: it is sound as far as its form goes
}

// Decode reads a posted body, which is JSON in either form; with a member `source`
// it is a plain one. headerKey is the key of the request's header, and counts
// before the member `key` unless it is empty. A key that is no text is an empty
// one. Relative times are taken from now.
//
// What is wrong behind the key stands in [Posted], with the member it lies in. The
// error, which wraps [sdk.ErrInvalid], means that not even a key could be read.
// Whether the metric is canonical and a host is allowed is not judged here.
func Decode(body []byte, headerKey string, now time.Time) (Posted, error) {
	object, err := objectIn(body)
	if err != nil {
		return Posted{}, err
	}
	key := headerKey
	if raw, ok := object["key"]; key == "" && !ok {
		return Posted{}, sdk.Invalidf("no key passed")
	} else if key == "" {
		key, _ = textOf(raw)
	}
	m := &members{object: object}
	read := readVista
	if m.has("source") {
		read = readPlain
	}
	request := read(m, now)
	if m.fault != "" {
		return Posted{Key: key, Invalid: m.fault}, nil
	}
	return Posted{Key: key, Request: request}, nil
}

// objectIn returns the members of the JSON object that is all of body, at least
// one, their values as they stand. Of equal names the last counts.
func objectIn(body []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(body) {
		return nil, sdk.Invalidf("no POST data received")
	}
	body = bytes.TrimPrefix(body, []byte("\uFEFF"))
	if !json.Valid(body) {
		return nil, sdk.Invalidf("invalid json data")
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(body, &object); err != nil || len(object) == 0 {
		return nil, sdk.Invalidf("no POST data received")
	}
	return object, nil
}

// textOf returns the text of a JSON string, and whether raw is one.
func textOf(raw json.RawMessage) (text string, ok bool) {
	if raw[0] != '"' {
		return "", false
	}
	return text, json.Unmarshal(raw, &text) == nil
}

// A members reads an object by its members' names. It goes on behind a fault, and
// keeps the first.
type members struct {
	object map[string]json.RawMessage
	path   string // what stands before a name in a fault
	fault  string
}

// refuse notes what is wrong with a member.
func (m *members) refuse(name, format string, args ...any) {
	if m.fault == "" {
		m.fault = m.path + name + fmt.Sprintf(format, args...)
	}
}

// has reports whether a member is there, of whatever value.
func (m *members) has(name string) bool {
	_, ok := m.object[name]
	return ok
}

// value returns a member as it stands; nil for one that is missing or null.
func (m *members) value(name string) json.RawMessage {
	if raw := m.object[name]; string(raw) != "null" {
		return raw
	}
	return nil
}

// text returns a member that is a text, or empty where it is missing or null.
func (m *members) text(name string) string {
	raw := m.value(name)
	if raw == nil {
		return ""
	}
	text, ok := textOf(raw)
	if !ok {
		m.refuse(name, " is no text: put it in quotes")
	}
	return text
}

// written returns a member that may be a number or a text: the number as it stands,
// or the text; empty where it is missing or null.
func (m *members) written(name string) string {
	raw := m.value(name)
	if raw == nil {
		return ""
	}
	if text, ok := textOf(raw); ok {
		return text
	}
	return string(raw)
}

// maxText bounds a URL and a target. The longest that servers take is about half
// of it. In bytes.
const maxText = 16 << 10

// need returns a member that must be a text, and not empty.
func (m *members) need(name, means string) string {
	text := m.text(name)
	if text == "" {
		m.refuse(name, " is missing: it is %s", means)
	}
	if len(text) > maxText {
		m.refuse(name, " is longer than %d bytes: shorten it", maxText)
	}
	return text
}

// onlyKnown refuses a member that is not one of known.
func (m *members) onlyKnown(known ...string) {
	for _, name := range slices.Sorted(maps.Keys(m.object)) {
		if m.fault == "" && !slices.Contains(known, name) {
			name = brief(name)
			m.fault = fmt.Sprintf("%q is unknown: did you mean %q?", m.path+name, m.path+sdk.Nearest(name, known))
		}
	}
}

// brief returns the beginning of a text that was sent, for a fault.
func brief(text string) string {
	const most = 60 // bytes
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}

// A location is where a URL leads. Nothing in it is decoded, and its path and its
// query may hold what a URL must not: blanks, quotes, a percent sign that begins no
// escape. No part has a control character.
type location struct {
	scheme string // http or https
	host   string // host, or host:port; no user, no password
	path   string // empty, or from the slash on
	query  string // all that follows the question mark, number signs included
}

// locate takes a URL apart, and says what is wrong with one that no job may fetch.
// What it says does not repeat the URL: a password may be in it.
func locate(rawURL string) (location, error) {
	if len(rawURL) > maxText {
		return location{}, fmt.Errorf("is longer than %d bytes: shorten it", maxText)
	}
	if strings.ContainsFunc(rawURL, unicode.IsControl) {
		return location{}, errors.New("holds a control character: encode it")
	}
	scheme, rest, ok := strings.Cut(rawURL, "://")
	scheme = strings.ToLower(scheme)
	if !ok || scheme != "http" && scheme != "https" {
		return location{}, errors.New("begins with neither http:// nor https://: nothing else is fetched")
	}
	host := rest
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		host = rest[:end]
	}
	if strings.Contains(host, "@") {
		return location{}, errors.New("holds a user: name it under populate.remotes in the configuration, and leave it out here")
	}
	if !soundHost(host) {
		return location{}, errors.New("names no host, or not as a URL must: write host or host:port in ASCII")
	}
	path, query, _ := strings.Cut(rest[len(host):], "?")
	if strings.Contains(path, "#") {
		return location{}, errors.New("holds a number sign before its query: leave it out")
	}
	return location{scheme: scheme, host: host, path: path, query: query}, nil
}

// soundHost reports whether host is a name or an address, and perhaps a port.
func soundHost(host string) bool {
	u, err := url.Parse("http://" + host)
	if err != nil || strings.HasSuffix(host, ":") {
		return false
	}
	if number, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || number == 0) {
		return false
	}
	name := u.Hostname()
	if strings.HasPrefix(host, "[") {
		ip, err := netip.ParseAddr(name)
		return err == nil && ip.Zone() == ""
	}
	return strings.Trim(name, "-._") != "" && !strings.ContainsFunc(name, notInName)
}

func notInName(r rune) bool {
	letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	return !letter && !('0' <= r && r <= '9') && r != '-' && r != '.' && r != '_'
}
