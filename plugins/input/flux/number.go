package main

import (
	"strconv"
	"strings"
)

// space is what may stand around a number in a text.
const space = " \t\n\r\v\f"

// Why a timestamp is refused.
const (
	notAnInt   = "timestamp is not an int"
	notCurrent = "timestamp is not a valid current unix timestamp"
)

// parseTimestamp reads a decimal integer, with a sign or without. The reason
// says why text is none, and is empty where it is one. An integer that int64
// cannot hold is refused here; every other range is the host's to judge.
func parseTimestamp(text string) (timestamp int64, reason string) {
	s := strings.Trim(text, space)
	if !isInteger(s) {
		return 0, notAnInt
	}
	timestamp, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, notCurrent
	}
	return timestamp, ""
}

// parseValue reads a decimal number, with fraction and exponent or without, as
// the nearest float64. It refuses what is too big for one; what is too small is
// 0. Infinities, NaN, underscores and hexadecimal digits are no numbers.
func parseValue(text string) (value float64, ok bool) {
	s := strings.Trim(text, space)
	if !isDecimal(s) {
		return 0, false
	}
	value, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, false
	}
	return value, true
}

// isInteger reports whether s is [+-]? digit+.
func isInteger(s string) bool {
	s = withoutSign(s)
	return s != "" && digits(s) == len(s)
}

// isDecimal reports whether s is
// [+-]? (digit+ [. digit*] | . digit+) ([eE] [+-]? digit+)?.
func isDecimal(s string) bool {
	s = withoutSign(s)
	whole := digits(s)
	s = s[whole:]
	fraction := 0
	if s != "" && s[0] == '.' {
		fraction = digits(s[1:])
		s = s[1+fraction:]
	}
	if whole+fraction == 0 {
		return false
	}
	if s != "" && (s[0] == 'e' || s[0] == 'E') {
		return isInteger(s[1:])
	}
	return s == ""
}

func withoutSign(s string) string {
	if s != "" && (s[0] == '+' || s[0] == '-') {
		return s[1:]
	}
	return s
}

// digits returns how many ASCII digits s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}
