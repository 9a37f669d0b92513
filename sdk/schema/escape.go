package schema

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	octal       = "01234567"
	hexadecimal = "0123456789abcdefABCDEF"
)

// escape translates what follows a backslash outside of a class.
func (t *translator) escape() (part, error) {
	if t.rest != "" {
		switch c := t.rest[0]; {
		case c == 'Z':
			t.rest = t.rest[1:]
			t.out.WriteString(`\z`)
			return position, nil
		case c == 'A' || c == 'b' || c == 'B':
			t.rest = t.rest[1:]
			t.out.WriteString(`\` + string(c))
			return position, nil
		case category(c):
			t.rest = t.rest[1:]
			t.out.WriteString(`\` + string(c))
			return thing, nil
		case c >= '1' && c <= '9' && !threeOctal(t.rest):
			return 0, errBackward
		}
	}
	c, err := t.character()
	if err == nil {
		t.literal(c)
	}
	return thing, err
}

// category reports whether the letter behind a backslash stands for a class.
func category(c byte) bool { return strings.IndexByte("dDsSwW", c) >= 0 }

// threeOctal reports whether text begins with a character in octal, and not with
// the number of a group.
func threeOctal(text string) bool {
	return len(text) >= 3 && strings.Trim(text[:3], octal) == ""
}

// character reads what follows a backslash and stands for one character.
func (t *translator) character() (rune, error) {
	if digits := t.digits(octal, 3); digits != "" {
		c, _ := strconv.ParseUint(digits, 8, 32)
		if c > 0o377 {
			return 0, fmt.Errorf("the escape \\%s is beyond \\377", digits)
		}
		return rune(c), nil
	}
	if t.rest == "" {
		return 0, errors.New("a backslash stands at the end: write two for a real one")
	}
	switch c := t.next(); {
	case c == 'x':
		return t.coded(2)
	case c == 'u':
		return t.coded(4)
	case c == 'U':
		return t.coded(8)
	case c < utf8.RuneSelf && strings.ContainsRune("afnrtv", c):
		return rune("\a\f\n\r\t\v"[strings.IndexRune("afnrtv", c)]), nil
	case c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z':
		return 0, fmt.Errorf("the escape \\%c is not supported: leave out the backslash, or write \\x and two digits", c)
	default:
		return c, nil
	}
}

// coded reads a character given by n hexadecimal digits.
func (t *translator) coded(n int) (rune, error) {
	digits := t.digits(hexadecimal, n)
	c, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || len(digits) < n || c > utf8.MaxRune || !utf8.ValidRune(rune(c)) {
		return 0, fmt.Errorf("the escape of a character by the digits %q: must have %d, and be a character", digits, n)
	}
	return rune(c), nil
}

// class translates a class of characters, from behind its opening bracket.
func (t *translator) class() error {
	t.out.WriteByte('[')
	if t.take("^") {
		t.out.WriteByte('^')
	}
	for first := true; ; first = false {
		if t.rest == "" {
			return errUnterminated
		}
		if !first && t.take("]") {
			break
		}
		if end, err := t.member(); end || err != nil {
			if err != nil {
				return err
			}
			break
		}
	}
	t.out.WriteByte(']')
	return nil
}

// member translates a character, a category or a range of characters, and
// reports whether it read the end of the class with it.
func (t *translator) member() (end bool, err error) {
	low, err := t.single()
	if err != nil {
		return false, err
	}
	t.out.WriteString(low.text)
	if !t.take("-") {
		return false, nil
	}
	if t.rest == "" {
		return false, errUnterminated
	}
	if t.take("]") {
		t.out.WriteString(`\-`)
		return true, nil
	}
	high, err := t.single()
	if err != nil {
		return false, err
	}
	if low.category || high.category || high.c < low.c {
		return false, errors.New("a range in brackets has no order: escape the minus with a backslash")
	}
	t.out.WriteString("-" + high.text)
	return false, nil
}

// A single is one member of a class, and how Go writes it.
type single struct {
	c        rune
	category bool
	text     string
}

func (t *translator) single() (single, error) {
	var c rune
	switch {
	case !t.take(`\`):
		c = t.next()
	case t.take("b"):
		c = '\b'
	case t.rest != "" && category(t.rest[0]):
		return single{category: true, text: `\` + string(t.next())}, nil
	default:
		var err error
		if c, err = t.character(); err != nil {
			return single{}, err
		}
	}
	return single{c: c, text: fmt.Sprintf(`\x{%x}`, c)}, nil
}
