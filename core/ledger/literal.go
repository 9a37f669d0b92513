package ledger

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Entries are read as Python's literal_eval reads them: a list that begins with
// the timestamp, or a dict that holds it under 'timestamp', of numbers and None
// alone. What Python cannot read, such as a bare nan, is no entry. Of what it can
// read only that counts which Python prints, in any order and with any white
// space: no hexadecimal digits, no strings as values, no comments. The script
// advance reads in the same way.

const (
	// maxEntry is the longest entry that is read, in bytes: Python refuses numbers
	// of some thousand digits.
	maxEntry = 1 << 10

	// white is what may stand between the parts of an entry.
	white = " \t\r\n\f"
)

// timestampOf returns the timestamp of an entry in either form, or 0 for what
// is none.
func timestampOf(entry string) (timestamp int64) {
	inner, list, more := opened(entry)
	for first := true; more; first = false {
		var element string
		element, inner, more = strings.Cut(inner, ",")
		name, known := "timestamp", list && first
		if !list {
			if name, element, known = pair(element); !known {
				return 0
			}
		}
		n, ok := number(element)
		if !ok {
			return 0
		}
		if known && name == "timestamp" {
			timestamp = n
		}
	}
	return max(timestamp, 0)
}

// opened returns what stands between the brackets of an entry, without a comma
// at its end.
func opened(entry string) (inner string, list, ok bool) {
	if len(entry) > maxEntry {
		return "", false, false
	}
	entry = strings.TrimRight(strings.TrimRight(strings.TrimLeft(entry, " \t"), "\r\n"), " \t\f")
	if len(entry) < 2 {
		return "", false, false
	}
	list = entry[0] == '[' && entry[len(entry)-1] == ']'
	if !list && (entry[0] != '{' || entry[len(entry)-1] != '}') {
		return "", false, false
	}
	return strings.TrimSuffix(strings.TrimRight(entry[1:len(entry)-1], white), ","), list, true
}

// pair takes an element of a dict apart.
func pair(element string) (name, value string, ok bool) {
	element = strings.TrimLeft(element, white)
	if element == "" || element[0] != '\'' && element[0] != '"' {
		return "", "", false
	}
	name, rest, ok := strings.Cut(element[1:], element[:1])
	if !ok || strings.ContainsFunc(name, isOdd) {
		return "", "", false
	}
	value, ok = strings.CutPrefix(strings.TrimLeft(rest, white), ":")
	return name, value, ok
}

// isOdd reports whether a name with r is too much for a reader as simple as
// this.
func isOdd(r rune) bool {
	return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

// number returns the whole part of a number as Python prints it, or 0 for None
// and for what is too large.
func number(element string) (n int64, ok bool) {
	element = strings.Trim(element, white)
	if element == "None" {
		return 0, true
	}
	whole := true
	for _, c := range []byte(element) {
		switch {
		case '0' <= c && c <= '9', c == '+', c == '-':
		case c == '.', c == 'e', c == 'E':
			whole = false
		default:
			return 0, false // strconv knows more numbers, such as nan
		}
	}
	if whole {
		return integer(element)
	}
	v, err := strconv.ParseFloat(element, 64)
	if err != nil && !math.IsInf(v, 0) {
		return 0, false
	}
	if math.Abs(v) >= 1<<63 {
		return 0, true
	}
	return int64(v), true
}

// integer is number for what has neither a decimal point nor an exponent. Python
// refuses zeros at its beginning.
func integer(element string) (n int64, ok bool) {
	digits := strings.TrimLeft(element, "+-")
	n, err := strconv.ParseInt(element, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, digits[0] != '0'
	}
	return n, err == nil && (digits[0] != '0' || strings.Trim(digits, "0") == "")
}
