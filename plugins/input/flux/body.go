package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"fluxgate/sdk"
)

// decodeBody reads one metric or many from a JSON body, a health check, or a
// question about a key. What it returns refers to body.
func decodeBody(body []byte, header http.Header, now int64) (sdk.Submission, error) {
	object, err := objectIn(body)
	if err != nil {
		return sdk.Submission{}, err
	}
	p := readPost(object)
	if p.status != "" && p.status != emptyText {
		return p.health()
	}
	key, given := keyOf(header, p.key)
	if !given {
		return sdk.Submission{}, sdk.Invalidf("no key passed")
	}
	s := sdk.Submission{Key: key}
	if isYes(p.validateKey) {
		s.KeyCheck = true
		return s, nil
	}
	s.DryRun = isYes(p.test) || testOnly(header)
	s.Invalid = p.addTo(&s, now)
	return s, nil
}

// objectIn returns the JSON object that is all of body. It has members.
func objectIn(body []byte) (string, error) {
	if !utf8.Valid(body) {
		return "", sdk.Invalidf("no POST data received")
	}
	body = bytes.TrimPrefix(body, []byte("\uFEFF"))
	if !json.Valid(body) {
		return "", sdk.Invalidf("invalid json data")
	}
	text := skipSpace(textOf(body))
	if m := membersOf(text); text[0] != '{' || !m.next() {
		return "", sdk.Invalidf("no POST data received")
	}
	return text, nil
}

// textOf returns b as a string without a copy: nobody changes a request.
func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// emptyText is the JSON string without characters; nothing else spells it.
const emptyText = `""`

// A post is the members of a body that mean something, as they were sent. The
// empty string stands for one that is missing: no JSON value is empty.
type post struct {
	key, status, statusCode, validateKey, test, metrics string
	single                                              item
}

// readPost reads an object. Of members with the same name the last counts.
func readPost(object string) (p post) {
	for m := membersOf(object); m.next(); {
		switch m.name {
		case "key":
			p.key = m.value
		case "status":
			p.status = m.value
		case "status_code":
			p.statusCode = m.value
		case "validate_key":
			p.validateKey = m.value
		case "test":
			p.test = m.value
		case "metrics":
			p.metrics = m.value
		default:
			p.single.set(m.name, m.value)
		}
	}
	return p
}

// keyOf returns the key of a request: the header's, else the member's. An empty
// header is none; what is no text, or more than one header, is an empty key.
func keyOf(header http.Header, member string) (key string, given bool) {
	for _, value := range header.Values("Key") {
		if value != "" && given {
			return "", true
		}
		if value != "" {
			key, given = value, true
		}
	}
	if given {
		return key, true
	}
	if isString(member) {
		return unquote(member), true
	}
	return "", member != ""
}

// isYes reports whether a member is true, a number other than 0, or a text
// other than "" and false, in any case.
func isYes(value string) bool {
	switch {
	case value == "":
		return false
	case isString(value):
		text := unquote(value)
		return text != "" && strings.ToLower(text) != "false"
	case value[0] == '-' || isInteger(value[:1]):
		number, _ := strconv.ParseFloat(value, 64) // infinite where it is too big
		return number != 0
	}
	return value == "true"
}

// addTo adds the datapoints to s, up to the first fault, which it returns.
func (p post) addTo(s *sdk.Submission, now int64) (fault string) {
	if p.metrics == "" {
		if p.single.metric == "" || p.single.value == "" {
			return "no metric data passed"
		}
		return p.single.addTo(s, now, 1)
	}
	if p.metrics[0] != '[' {
		return "invalid metric - " + quote(p.metrics)
	}
	room, empty := countItems(p.metrics), true
	for e := elementsOf(p.metrics); e.next(); empty = false {
		i := item{sent: e.value}
		if e.value[0] == '{' {
			i.read(e.value)
		}
		if fault := i.addTo(s, now, room); fault != "" {
			return fault
		}
	}
	if empty {
		return "no metric data passed"
	}
	return ""
}

// countItems returns a number that the well-formed items of list do not exceed:
// each has a brace of its own and is not shorter than the shortest.
func countItems(list string) int {
	const shortest = `{"metric":"","value":0}`
	return min(strings.Count(list, "{"), len(list)/len(shortest))
}

// health answers a health check, with the status that it asks for.
func (p post) health() (sdk.Submission, error) {
	if p.statusCode == "" {
		return healthy(), nil
	}
	text := trim(plain(p.statusCode))
	if !isInteger(text) {
		return sdk.Submission{}, sdk.Invalidf("invalid status_code - %s - status_code is not an int", quote(text))
	}
	code, err := strconv.Atoi(text)
	if err != nil {
		code = 0 // beyond int, so none of those below
	}
	reply := &sdk.Reply{Status: http.StatusNoContent}
	switch code {
	case http.StatusOK, http.StatusBadRequest, http.StatusUnauthorized:
		reply = &sdk.Reply{Status: code, Body: fmt.Appendf(nil, `{"code": %d, "data": "Status code test - %[1]d"}`, code)}
	case http.StatusMultiStatus:
		reply = &sdk.Reply{Status: code, Body: []byte(multiStatus)}
	}
	return sdk.Submission{Reply: reply}, nil
}

// multiStatus is the answer to a health check that asks for 207: what a sender
// over its quota would read.
const multiStatus = `{"code": 207, "data": [` +
	`{"metric": "server-1.unknown.metric", "status": 400}, ` +
	`{"metric": "server-1.some-other-unknown.metric", "status": 400}, ` +
	`{"metric": "server-1.known.metric", "status": 204}, ` +
	`{"metric": "server-1.some-other-known.metric", "status": 204}], ` +
	`"error": "TEST - over quota - this account is allowed x metrics and an additional y new metrics ` +
	`were posted that have been rejected", ` +
	`"message": "TEST - 2 metrics were processed and 2 metrics were rejected", ` +
	`"rejected metrics": ["server-1.unknown.metric", "server-1.some-other-unknown.metric"], ` +
	`"rejected metrics count": 2, ` +
	`"processed metrics": ["server-1.known.metric", "server-1.some-other-known.metric"], ` +
	`"processed metrics count": 2, "submitted metrics count": 4}`
