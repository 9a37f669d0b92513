package flow

import (
	"errors"
	"strings"
)

// Limits of a metric's name, in bytes: what a whisper file can be called.
const (
	maxElement     = 255        // an element is a folder's name
	maxLastElement = 255 - 4    // the last is a file's, with .wsp
	maxName        = 4062       // the longest path less Graphite's usual root and .wsp
	allowedSigns   = "+-%._/=:" // besides ASCII letters and digits
)

// Canonical returns the one spelling of a metric's name under which it is
// stored: blanks, asterisks and apostrophes become underscores, dots in a row
// become one, those at the ends go, and prefix is put before it unless it
// already begins with prefix as whole elements. The error says what is wrong
// with the name.
func Canonical(name, prefix string) (string, error) {
	name = tidy(name)
	if name == "" {
		return "", errors.New("empty name")
	}
	if prefix != "" && name != prefix && !strings.HasPrefix(name, prefix+".") {
		name = prefix + "." + name
	}
	for i := range len(name) {
		if !allowed(name[i]) {
			return "", errors.New("invalid characters in name")
		}
	}
	if err := fits(name); err != nil {
		return "", err
	}
	return name, nil
}

func fits(name string) error {
	start := 0
	for i := range len(name) {
		if name[i] != '.' {
			continue
		}
		if i-start > maxElement {
			return errors.New("longer than 255 characters")
		}
		start = i + 1
	}
	if len(name)-start > maxLastElement {
		return errors.New("longer than 255 characters")
	}
	if len(name) > maxName {
		return errors.New("name too long")
	}
	return nil
}

// tidy returns name with its replacements made; in the usual case, name itself.
func tidy(name string) string {
	if !strings.ContainsAny(name, " *'") && !strings.Contains(name, "..") &&
		!strings.HasPrefix(name, ".") && !strings.HasSuffix(name, ".") {
		return name
	}
	b := make([]byte, 0, len(name))
	for i := range len(name) {
		c := name[i]
		switch {
		case c == ' ' || c == '*' || c == '\'':
			c = '_'
		case c == '.' && (len(b) == 0 || b[len(b)-1] == '.'):
			continue
		}
		b = append(b, c)
	}
	return strings.TrimSuffix(string(b), ".")
}

func allowed(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte(allowedSigns, c) >= 0
}
