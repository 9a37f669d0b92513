package remote

import "strings"

// isSelector reports whether a text is surely a plain selector of Prometheus: a
// name, labels in braces, or both. Anything else is an expression.
func isSelector(expression string) bool {
	s := &selector{strings.TrimSpace(expression)}
	name := s.word(":")
	if strings.EqualFold(name, "inf") || strings.EqualFold(name, "nan") {
		return false // numbers
	}
	s.blanks()
	if s.rest == "" {
		return name != ""
	}
	return s.labels() && s.rest == ""
}

// A selector is what is left of a text to read.
type selector struct{ rest string }

func (s *selector) blanks() { s.rest = strings.TrimLeft(s.rest, " \t\n\r") }

// word reads a name, which may hold the letters in extra besides the usual ones.
func (s *selector) word(extra string) string {
	n := 0
	for n < len(s.rest) {
		c := s.rest[n]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || strings.IndexByte(extra, c) >= 0
		if !letter && (n == 0 || c < '0' || c > '9') {
			break
		}
		n++
	}
	read := s.rest[:n]
	s.rest = s.rest[n:]
	return read
}

func (s *selector) skip(text string) bool {
	rest, ok := strings.CutPrefix(s.rest, text)
	s.rest = rest
	return ok
}

// labels reads at least one matcher in braces.
func (s *selector) labels() bool {
	if !s.skip("{") {
		return false
	}
	for n := 0; ; n++ {
		s.blanks()
		if n > 0 && s.skip("}") {
			return true
		}
		if !s.matcher() {
			return false
		}
		s.blanks()
		if !s.skip(",") {
			return s.skip("}")
		}
	}
}

func (s *selector) matcher() bool {
	if s.word("") == "" {
		return false
	}
	s.blanks()
	if !s.skip("=~") && !s.skip("!~") && !s.skip("!=") && !s.skip("=") {
		return false
	}
	s.blanks()
	return s.quoted()
}

// quoted reads a text in quotes of any kind.
func (s *selector) quoted() bool {
	if s.rest == "" || strings.IndexByte("\"'`", s.rest[0]) < 0 {
		return false
	}
	quote := s.rest[0]
	for n := 1; n < len(s.rest); n++ {
		switch c := s.rest[n]; {
		case c == quote:
			s.rest = s.rest[n+1:]
			return true
		case c == '\n' && quote != '`':
			return false
		case c == '\\' && quote != '`':
			n++
		}
	}
	return false
}
