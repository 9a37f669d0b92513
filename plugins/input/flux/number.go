package main

import (
	"strconv"
	"strings"
)

// space is what may stand around a number in a text.
const space = " \t\n\r\v\f"

// trim returns text without the space around it.
func trim(text string) string {
	if text != "" && text[0] > ' ' && text[len(text)-1] > ' ' {
		return text
	}
	return strings.Trim(text, space)
}

// Why a timestamp is refused.
const (
	notAnInt   = "timestamp is not an int"
	notCurrent = "timestamp is not a valid current unix timestamp"
)

// parseTimestamp reads a decimal integer, with a sign or without. The reason
// says why text is none, and is empty where it is one. An integer that int64
// cannot hold is refused here; every other range is the host's to judge.
func parseTimestamp(text string) (timestamp int64, reason string) {
	s := trim(text)
	timestamp, n, fits := readInteger(s)
	switch {
	case n == 0 || n != len(s):
		return 0, notAnInt
	case !fits:
		return 0, notCurrent
	}
	return timestamp, ""
}

// parseValue reads a decimal number, with fraction and exponent or without, as
// the nearest float64. It refuses what is too big for one; what is too small is
// 0. Infinities, NaN, underscores and hexadecimal digits are no numbers.
func parseValue(text string) (value float64, ok bool) {
	s := trim(text)
	value, n, _ := readDecimal(s)
	if n == 0 || n != len(s) {
		return 0, false
	}
	return value, true
}

// readInteger reads [+-]? digit+ at the beginning of s, and returns its length, 0
// where there is none. What int64 cannot hold does not fit.
func readInteger(s string) (value int64, length int, fits bool) {
	const sure = 18 // so many digits always fit
	first := signLength(s)
	magnitude, length := readDigits(s, first, 0)
	if length == first {
		return 0, 0, false
	}
	if length-first > sure {
		value, err := strconv.ParseInt(s[:length], 10, 64)
		return value, length, err == nil
	}
	if s[0] == '-' {
		return -int64(magnitude), length, true
	}
	return int64(magnitude), length, true
}

// readBareInteger is readInteger of what JSON and a timestamp may both be: without a
// sign, and not from 0 on.
func readBareInteger(s string) (value int64, length int, ok bool) {
	if s == "" || s[0] < '1' || '9' < s[0] {
		return 0, 0, false
	}
	return readInteger(s)
}

// powers are powers of ten, all of which float64 holds exactly.
var powers = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9,
	1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
}

// readDecimal reads
// [+-]? (digit+ [. digit*] | . digit+) ([eE] [+-]? digit+)?
// at the beginning of s as the nearest float64, and returns its length: 0 where
// there is none, or one too big. It is plain where JSON may spell it so.
func readDecimal(s string) (value float64, length int, plain bool) {
	const sure, exact = 19, 1 << 53 // so many digits fit uint64, and powers; below that every integer is a float64
	first := signLength(s)
	mantissa, end := readDigits(s, first, 0)
	whole, fraction := end-first, 0
	plain = whole == 1 || whole > 1 && s[first] != '0'
	if end < len(s) && s[end] == '.' {
		point := end
		mantissa, end = readDigits(s, point+1, mantissa)
		fraction = end - point - 1
		plain = plain && fraction > 0
	}
	if whole+fraction == 0 {
		return 0, 0, false
	}
	plain = plain && s[0] != '+'
	length = end + exponentLength(s[end:])
	if length == end && whole+fraction <= sure && mantissa < exact {
		value = float64(mantissa) / powers[fraction] // of two exact numbers, so the nearest
		if s[0] == '-' {
			value = -value
		}
		return value, length, plain
	}
	value, err := strconv.ParseFloat(s[:length], 64)
	if err != nil {
		return 0, 0, false
	}
	return value, length, plain
}

// readDigits reads the ASCII digits of s from i on, behind those that n was read
// from, and returns where they end. It overflows silently.
func readDigits(s string, i int, n uint64) (number uint64, end int) {
	for i < len(s) && s[i]-'0' <= 9 {
		n = n*10 + uint64(s[i]-'0')
		i++
	}
	return n, i
}

// exponentLength returns the length of the exponent that s begins with.
func exponentLength(s string) int {
	if s == "" || s[0] != 'e' && s[0] != 'E' {
		return 0
	}
	if n := integerLength(s[1:]); n > 0 {
		return 1 + n
	}
	return 0
}

// isInteger reports whether s is [+-]? digit+.
func isInteger(s string) bool { return s != "" && integerLength(s) == len(s) }

// integerLength returns the length of the integer that s begins with.
func integerLength(s string) int {
	first := signLength(s)
	if _, end := readDigits(s, first, 0); end > first {
		return end
	}
	return 0
}

func signLength(s string) int {
	if s != "" && (s[0] == '+' || s[0] == '-') {
		return 1
	}
	return 0
}
