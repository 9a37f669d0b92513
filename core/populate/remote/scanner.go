package remote

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// A scanner reads JSON, value by value, in bounded memory. Besides JSON it reads
// the bare words NaN, Infinity and -Infinity, as numbers. Every byte that is no
// JSON is an error when it is come to.
type scanner struct {
	in    *bufio.Reader
	text  []byte // of the last text, number or word
	depth int
}

const (
	maxDepth = 32       // of values within values
	maxText  = 64 << 10 // bytes of a text, number or word
)

// A token is what a value is.
type token byte

const (
	word      token = iota // null, true, false
	number                 // also NaN and the infinities
	text                   // a string
	structure              // an array or object; it was passed over
)

var (
	errShort = errors.New("it ends too early")
	errDeep  = fmt.Errorf("its values are nested deeper than %d", maxDepth)
	errLong  = fmt.Errorf("it has a text longer than %d bytes", maxText)
)

func unexpected(c byte) error {
	if c == '<' {
		return errors.New("it is not JSON but looks like HTML, perhaps of a login page")
	}
	return fmt.Errorf("it is not JSON: %q in a place where it cannot stand", c)
}

// short says of the end of the input that it came too early.
func short(err error) error {
	if err == io.EOF {
		return errShort
	}
	return err
}

// next reads up to the next byte that is not white space.
func (s *scanner) next() (byte, error) {
	for {
		c, err := s.in.ReadByte()
		if err != nil {
			return 0, short(err)
		}
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c, nil
		}
	}
}

// peek is next, and leaves the byte to be read again.
func (s *scanner) peek() (byte, error) {
	c, err := s.next()
	if err != nil {
		return 0, err
	}
	return c, s.in.UnreadByte()
}

// open reads the begin of a structure.
func (s *scanner) open(begin byte) error {
	c, err := s.next()
	if err != nil {
		return err
	}
	if c != begin {
		return unexpected(c)
	}
	if s.depth++; s.depth > maxDepth {
		return errDeep
	}
	return nil
}

// more reads up to the next element of a structure, or its end.
func (s *scanner) more(first bool, end byte) (bool, error) {
	c, err := s.next()
	switch {
	case err != nil:
		return false, err
	case c == end:
		s.depth--
		return false, nil
	case first:
		return true, s.in.UnreadByte()
	case c == ',':
		return true, nil
	}
	return false, unexpected(c)
}

// array reads an array. element must read one value.
func (s *scanner) array(element func() error) error {
	if err := s.open('['); err != nil {
		return err
	}
	for first := true; ; first = false {
		if more, err := s.more(first, ']'); err != nil || !more {
			return err
		}
		if err := element(); err != nil {
			return err
		}
	}
}

// object reads an object. member must read one value.
func (s *scanner) object(member func(name string) error) error {
	if err := s.open('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		if more, err := s.more(first, '}'); err != nil || !more {
			return err
		}
		name, err := s.name()
		if err != nil {
			return err
		}
		if err := member(name); err != nil {
			return err
		}
	}
}

// name reads the name of a member and the colon behind it.
func (s *scanner) name() (string, error) {
	c, err := s.next()
	if err != nil {
		return "", err
	}
	if c != '"' {
		return "", unexpected(c)
	}
	if err := s.quoted(); err != nil {
		return "", err
	}
	if c, err = s.next(); err == nil && c != ':' {
		err = unexpected(c)
	}
	return string(s.text), err
}

// value reads any value. The text of what is not a structure is in s.text.
func (s *scanner) value() (token, error) {
	c, err := s.next()
	switch {
	case err != nil:
		return 0, err
	case c == '"':
		return text, s.quoted()
	case c == '[' || c == '{':
		if err := s.in.UnreadByte(); err != nil {
			return 0, err
		}
		return structure, s.pass(c)
	case c == '-' || '0' <= c && c <= '9':
		return s.number(c)
	}
	return s.word(c)
}

// skip passes over a value.
func (s *scanner) skip() error {
	_, err := s.value()
	return err
}

// pass passes over a structure that begins with begin.
func (s *scanner) pass(begin byte) error {
	if begin == '[' {
		return s.array(s.skip)
	}
	return s.object(func(string) error { return s.skip() })
}

// run reads into s.text, after c, the bytes that belong says.
func (s *scanner) run(c byte, belongs func(byte) bool) error {
	s.text = append(s.text[:0], c)
	for {
		c, err := s.in.ReadByte()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if !belongs(c) {
			return s.in.UnreadByte()
		}
		if s.text = append(s.text, c); len(s.text) > maxText {
			return errLong
		}
	}
}

func (s *scanner) number(c byte) (token, error) {
	err := s.run(c, func(c byte) bool {
		return '0' <= c && c <= '9' || c == '.' || c == '-' || c == '+' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	})
	if err == nil && !isNumber(s.text) && string(s.text) != "-Infinity" {
		err = fmt.Errorf("it is not JSON: %q is no number", cut(string(s.text), 30))
	}
	return number, err
}

// isNumber reports whether text is a number of JSON.
func isNumber(text []byte) bool {
	digits := func() bool {
		n := 0
		for n < len(text) && '0' <= text[n] && text[n] <= '9' {
			n++
		}
		text = text[n:]
		return n > 0
	}
	skip := func(any ...byte) bool {
		for _, c := range any {
			if len(text) > 0 && text[0] == c {
				text = text[1:]
				return true
			}
		}
		return false
	}
	skip('-')
	if !skip('0') && !digits() {
		return false
	}
	if skip('.') && !digits() {
		return false
	}
	if skip('e', 'E') {
		skip('+', '-')
		if !digits() {
			return false
		}
	}
	return len(text) == 0
}

func (s *scanner) word(c byte) (token, error) {
	if c < 'A' || c > 'z' {
		return 0, unexpected(c)
	}
	if err := s.run(c, func(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }); err != nil {
		return 0, err
	}
	switch string(s.text) {
	case "null", "true", "false":
		return word, nil
	case "NaN", "Infinity":
		return number, nil
	}
	return 0, fmt.Errorf("it is not JSON: the bare word %q", cut(string(s.text), 30))
}
