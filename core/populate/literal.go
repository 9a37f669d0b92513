package populate

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// What is here reads a part of what Python's ast.literal_eval reads: lists and
// tuples of texts. What it accepts has the value that Python gives it.

// Bounds of a list.
const (
	maxList     = 1 << 20 // bytes of its text
	maxElements = 10_000
)

// pythonList reads text, which is all of a list or a tuple of string literals.
func pythonList(text string) ([]string, error) {
	if len(text) > maxList {
		return nil, fmt.Errorf("longer than %d bytes", maxList)
	}
	if !utf8.ValidString(text) || strings.Contains(text, "\x00") {
		return nil, errors.New("no text")
	}
	text = strings.Trim(text, " \t")
	closing := ""
	switch {
	case strings.HasPrefix(text, "["):
		closing = "]"
	case strings.HasPrefix(text, "("):
		closing = ")"
	default:
		return nil, errors.New("it begins with no bracket")
	}
	list, comma, rest, err := pythonElements(skipBlank(text[1:]), closing)
	if err != nil {
		return nil, err
	}
	if rest != closing {
		return nil, errors.New("something follows the list")
	}
	if closing == ")" && len(list) == 1 && !comma {
		return nil, errors.New("a tuple of one element needs a comma behind it")
	}
	return list, nil
}

// pythonElements reads string literals with commas between them. It returns what
// they stand for, whether a comma follows the last, and what begins with closing.
func pythonElements(text, closing string) (list []string, comma bool, rest string, err error) {
	comma = true // before the first element none is missing
	for rest = text; !strings.HasPrefix(rest, closing); {
		if !comma {
			return nil, false, "", fmt.Errorf("no comma behind element %d", len(list))
		}
		if len(list) == maxElements {
			return nil, false, "", fmt.Errorf("more than %d elements", maxElements)
		}
		var element string
		if element, rest, err = pythonString(rest); err != nil {
			return nil, false, "", fmt.Errorf("element %d: %w", len(list)+1, err)
		}
		list = append(list, element)
		rest, comma = strings.CutPrefix(skipBlank(rest), ",")
		rest = skipBlank(rest)
	}
	return list, comma, rest, nil
}

// skipBlank drops the white space that means nothing inside brackets.
func skipBlank(text string) string { return strings.TrimLeft(text, " \t\n") }

// pythonString reads the string literal that text begins with. It knows single and
// double quotes and the prefix u, not the other prefixes, nor triple quotes.
func pythonString(text string) (value, rest string, err error) {
	if text != "" && (text[0] == 'u' || text[0] == 'U') {
		text = text[1:]
	}
	if text == "" || text[0] != '\'' && text[0] != '"' {
		return "", "", errors.New("no text in quotes")
	}
	quote, stops := text[0], text[:1]+"\\\n\r"
	text = text[1:]
	var b strings.Builder
	for {
		n := strings.IndexAny(text, stops)
		if n < 0 {
			return "", "", errors.New("the quote at its end is missing")
		}
		b.WriteString(text[:n])
		stop := text[n]
		text = text[n+1:]
		switch stop {
		case quote:
			return b.String(), text, nil
		case '\\':
			part, n, err := pythonEscape(text)
			if err != nil {
				return "", "", err
			}
			b.WriteString(part)
			text = text[n:]
		default:
			return "", "", errors.New("a line ends inside it")
		}
	}
}

// pythonEscape reads an escape, which text begins with behind its backslash. It
// returns what it stands for and its length. As in Python, a backslash that begins
// no escape stands for itself. Names of characters (\N) are not known.
func pythonEscape(text string) (value string, n int, err error) {
	if text == "" {
		return "", 0, errors.New("nothing follows a backslash")
	}
	const letters, controls = `\'"abfnrtv`, "\\'\"\a\b\f\n\r\t\v"
	if i := strings.IndexByte(letters, text[0]); i >= 0 {
		return controls[i : i+1], 1, nil
	}
	switch text[0] {
	case '0', '1', '2', '3', '4', '5', '6', '7':
		digits := text[:min(3, len(text))]
		return pythonNumber(text, 0, len(digits)-len(strings.TrimLeft(digits, "01234567")), 8)
	case 'x':
		return pythonNumber(text, 1, 1+2, 16)
	case 'u':
		return pythonNumber(text, 1, 1+4, 16)
	case 'U':
		return pythonNumber(text, 1, 1+8, 16)
	case 'N':
		return "", 0, errors.New(`the escape \N is not known here`)
	}
	return `\`, 0, nil
}

// pythonNumber returns the character whose number is text[from:to], and to. A
// surrogate is refused: Go's texts have none.
func pythonNumber(text string, from, to, base int) (value string, n int, err error) {
	if len(text) < to {
		return "", 0, errors.New("an escape is too short")
	}
	number, err := strconv.ParseUint(text[from:to], base, 32)
	if err != nil || !utf8.ValidRune(rune(number)) {
		return "", 0, errors.New("an escape is no character")
	}
	return string(rune(number)), to, nil
}
