package remote

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// quoted reads a text behind its first quote.
func (s *scanner) quoted() error {
	s.text = s.text[:0]
	for {
		c, err := s.in.ReadByte()
		switch {
		case err != nil:
			return short(err)
		case c == '"':
			return nil
		case c < ' ':
			return unexpected(c)
		case c == '\\':
			err = s.escape()
		default:
			s.text = append(s.text, c)
		}
		if err != nil {
			return err
		}
		if len(s.text) > maxText {
			return errLong
		}
	}
}

// escape reads an escape behind its backslash.
func (s *scanner) escape() error {
	c, err := s.in.ReadByte()
	if err != nil {
		return short(err)
	}
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return s.unicode()
	default:
		return unexpected(c)
	}
	s.text = append(s.text, c)
	return nil
}

// unicode reads four hexadecimal digits, and the escape of the other half of a
// surrogate pair. A half that stands alone becomes U+FFFD.
func (s *scanner) unicode() error {
	digits, err := s.in.Peek(4)
	if err != nil {
		return short(err)
	}
	r, ok := hex(digits)
	if !ok {
		return fmt.Errorf("it is not JSON: the escape %q", digits)
	}
	_, _ = s.in.Discard(4)
	if utf16.IsSurrogate(r) {
		r = s.pair(r)
	}
	s.text = utf8.AppendRune(s.text, r)
	return nil
}

// pair returns what a half of a surrogate pair stands for with the other half, if
// that follows.
func (s *scanner) pair(half rune) rune {
	digits, _ := s.in.Peek(6)
	if len(digits) < 6 || digits[0] != '\\' || digits[1] != 'u' {
		return utf8.RuneError
	}
	other, ok := hex(digits[2:])
	whole := utf16.DecodeRune(half, other)
	if !ok || whole == utf8.RuneError {
		return utf8.RuneError
	}
	_, _ = s.in.Discard(6)
	return whole
}

func hex(digits []byte) (rune, bool) {
	n, err := strconv.ParseUint(string(digits), 16, 16)
	return rune(n), err == nil
}
