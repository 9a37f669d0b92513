package flow

import (
	"errors"
	"strings"

	"fluxgate/sdk"
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
	n := namer{prefix: prefix}
	return n.canonical(name)
}

// A namer spells the names of one request.
type namer struct {
	prefix string
	room   strings.Builder // for names with the prefix
}

// reserve makes room for the names of b.
func (n *namer) reserve(b sdk.Batch) {
	if n.prefix == "" {
		return
	}
	bytes := 0
	for i := range b {
		bytes += len(n.prefix) + len(".") + len(b[i].Metric)
	}
	n.room.Grow(bytes)
}

func (n *namer) canonical(name string) (string, error) {
	if n.prefix == "" && isCanonical(name) {
		return name, nil
	}
	name = tidy(name)
	if name == "" {
		return "", errors.New("empty name")
	}
	if name = n.prefixed(name); isCanonical(name) {
		return name, nil
	}
	for i := range len(name) {
		if name[i] != '.' && !plain[name[i]] {
			return "", errors.New("invalid characters in name")
		}
	}
	return "", unfit(name)
}

// prefixed puts the prefix before a name, unless it is there.
func (n *namer) prefixed(name string) string {
	rest, begins := strings.CutPrefix(name, n.prefix)
	if n.prefix == "" || begins && (rest == "" || rest[0] == '.') {
		return name
	}
	begin := n.room.Len()
	n.room.WriteString(n.prefix)
	n.room.WriteByte('.')
	n.room.WriteString(name)
	return n.room.String()[begin:]
}

// plain tells the bytes that a name may have besides dots.
var plain = func() (plain [256]bool) {
	for c := range plain {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		plain[c] = letter || '0' <= c && c <= '9' || c != '.' && strings.IndexByte(allowedSigns, byte(c)) >= 0
	}
	return plain
}()

// isCanonical reports whether a name needs nothing done to it.
func isCanonical(name string) bool {
	start := 0 // of the element
	for i := range len(name) {
		if plain[name[i]] {
			continue
		}
		if name[i] != '.' || i == start || i-start > maxElement {
			return false
		}
		start = i + 1
	}
	last := len(name) - start
	return last > 0 && last <= maxLastElement && len(name) <= maxName
}

// unfit says why a tidy name of permitted bytes is not canonical.
func unfit(name string) error {
	for element := range strings.SplitSeq(name, ".") {
		if len(element) > maxElement {
			return errors.New("longer than 255 characters")
		}
	}
	if len(name)-strings.LastIndexByte(name, '.')-1 > maxLastElement {
		return errors.New("longer than 255 characters")
	}
	return errors.New("name too long")
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
