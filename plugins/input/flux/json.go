package main

import (
	"encoding/json"
	"strings"
)

// What is here walks a JSON text that is known to be valid, without a copy of
// any part. Values are handed out as they stand in the text, and never empty.

// A members walks the members of a JSON object in their order, equal names
// included.
//
//	for m := membersOf(object); m.next(); {
//		use(m.name, m.value)
//	}
type members struct {
	name  string // decoded
	value string // as it stands in the text
	rest  string // the mark before the next member, or the closing brace
}

// membersOf returns the walk over object, which begins with its brace. What
// follows the closing one is not looked at.
func membersOf(object string) members { return members{rest: object} }

// next moves on to the next member, and reports whether there is one.
func (m *members) next() bool {
	rest := afterMark(m.rest, '}')
	if rest == "" {
		return false
	}
	n := length(rest)
	m.name = unquote(rest[:n])
	rest = skipSpace(rest[n:])
	rest = skipSpace(rest[len(":"):])
	n = length(rest)
	m.value, m.rest = rest[:n], skipSpace(rest[n:])
	return true
}

// An elements walks the elements of a JSON list, as [members] does an object.
type elements struct {
	value string
	rest  string // the mark before the next element, or the closing bracket
}

func elementsOf(list string) elements { return elements{rest: list} }

func (e *elements) next() bool {
	rest := afterMark(e.rest, ']')
	if rest == "" {
		return false
	}
	n := length(rest)
	e.value, e.rest = rest[:n], skipSpace(rest[n:])
	return true
}

// afterMark returns what follows the opening mark or comma that s begins with;
// nothing if that is, or s begins with, the closing mark.
func afterMark(s string, closing byte) string {
	if s[0] == closing {
		return ""
	}
	s = skipSpace(s[1:])
	if s[0] == closing {
		return ""
	}
	return s
}

func skipSpace(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\n' || s[0] == '\r' || s[0] == '\t') {
		s = s[1:]
	}
	return s
}

// length returns the length of the value that s begins with, in bytes. It is no
// recursion, so the depth of a value costs nothing.
func length(s string) int {
	switch s[0] {
	case '"':
		return stringLength(s)
	case '{', '[':
		return nestedLength(s)
	}
	if n := strings.IndexAny(s, ",]} \n\r\t"); n >= 0 {
		return n
	}
	return len(s)
}

func stringLength(s string) int {
	i := 1
	for s[i] != '"' {
		if s[i] == '\\' {
			i++
		}
		i++
	}
	return i + 1
}

func nestedLength(s string) int {
	i, depth := 0, 0
	for {
		switch s[i] {
		case '"':
			i += stringLength(s[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		i++
		if depth == 0 {
			return i
		}
	}
}

// isString reports whether value, which may be missing, is a JSON string.
func isString(value string) bool { return value != "" && value[0] == '"' }

// unquote returns the text of a JSON string.
func unquote(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s[1 : len(s)-1]
	}
	var text string
	_ = json.Unmarshal([]byte(s), &text) // the string is valid, so this succeeds
	return text
}

// plain returns the text of a JSON string, and any other value as it stands.
func plain(value string) string {
	if isString(value) {
		return unquote(value)
	}
	return value
}
