package main

import (
	"slices"
	"strings"
)

// A form is how a datapoint of a list is written: with a metric, a timestamp and a
// value, each once, and with what stands between them. A sender writes a list in one
// form. What is in the form of the datapoint before it is read for less than what has
// to be understood first.
type form struct {
	members [3]formMember
	known   int    // of members
	end     string // all behind the last value
	other   bool   // it has what no form has
}

type formMember struct {
	before string // all between its value and the one before it, quotes included
	name   string
}

// note adds a member.
func (f *form) note(before, name string) {
	again := slices.ContainsFunc(f.members[:f.known], func(m formMember) bool { return m.name == name })
	if f.known == len(f.members) || again || name == "fill" {
		f.other = true
		return
	}
	f.members[f.known] = formMember{before, name}
	f.known++
}

// read reads what is in this form at the beginning of text, and returns its length;
// 0 where nothing is.
func (f *form) read(text string, p *partial) (length int) {
	if f.other || f.known < len(f.members) {
		return 0
	}
	rest := text
	for i := range f.members {
		m := &f.members[i]
		if !strings.HasPrefix(rest, m.before) {
			return 0
		}
		rest = rest[len(m.before):]
		n := p.readMember(m.name, rest)
		if n < 0 {
			return 0
		}
		rest = rest[n:]
	}
	if !strings.HasPrefix(rest, f.end) {
		return 0
	}
	p.named, p.valued = true, true
	return len(text) - len(rest) + len(f.end)
}

// readMember reads a number that may be bare, or a metric up to what cannot be part of
// it, and returns its length; -1 where there is none.
func (p *partial) readMember(name, text string) (length int) {
	ok := true
	switch name {
	case "metric":
		length = plainLength(text)
		p.Metric = text[:length]
	case "timestamp":
		p.Timestamp, length, ok = readBareInteger(text)
	default:
		p.Value, length, ok = readDecimal(text)
	}
	if !ok {
		return -1
	}
	return length
}
