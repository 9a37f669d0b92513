package schema

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxNesting is how deep groups may lie in each other.
const maxNesting = 100

var (
	errUnterminated = errors.New("a parenthesis or bracket is not closed")
	errBackward     = errors.New("back-references and conditions on groups are not supported: write out what they repeat")
	errNothing      = errors.New("there is nothing to repeat before a repeat: escape it with a backslash")
	groupName       = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// compile compiles a pattern that is written for Python's re, so that it is
// found in a name where Python finds it. That holds for ASCII names without
// control characters: outside of ASCII, \d, \w, \s, \b and (?i) mean less here.
//
// What Go's linear-time matching cannot do is an error that tells the remedy, as
// is what Python does not accept.
func compile(pattern string) (*regexp.Regexp, error) {
	t := translator{rest: pattern}
	if err := t.alternatives(true); err != nil {
		return nil, err
	}
	if t.rest != "" {
		return nil, errors.New("a parenthesis is closed that was not opened: escape it with a backslash")
	}
	r, err := regexp.Compile(t.out.String())
	if err != nil {
		return nil, fmt.Errorf("%w: write it simpler", err)
	}
	return r, nil
}

// A translator writes a pattern of Python's anew, in Go's syntax.
type translator struct {
	rest    string
	out     strings.Builder
	nesting int
}

// A part is what stands before a repeat.
type part int

const (
	nothing  part = iota
	position      // takes no room, and cannot be repeated
	thing
	repeated
)

// take removes text from the front of the rest, and reports whether it was there.
func (t *translator) take(text string) (ok bool) {
	t.rest, ok = strings.CutPrefix(t.rest, text)
	return ok
}

// next removes and returns the next letter.
func (t *translator) next() rune {
	c, n := utf8.DecodeRuneInString(t.rest)
	t.rest = t.rest[n:]
	return c
}

// digits removes and returns the letters in front that are among set, at most n.
func (t *translator) digits(set string, n int) string {
	i := 0
	for i < min(n, len(t.rest)) && strings.IndexByte(set, t.rest[i]) >= 0 {
		i++
	}
	taken := t.rest[:i]
	t.rest = t.rest[i:]
	return taken
}

func (t *translator) literal(c rune) { t.out.WriteString(regexp.QuoteMeta(string(c))) }

// alternatives translates up to the parenthesis that closes, or the end.
func (t *translator) alternatives(outermost bool) error {
	for first := true; ; first = false {
		if err := t.sequence(outermost && first); err != nil {
			return err
		}
		if !t.take("|") {
			return nil
		}
		t.out.WriteByte('|')
	}
}

func (t *translator) sequence(beginning bool) error {
	last := nothing
	for t.rest != "" && t.rest[0] != '|' && t.rest[0] != ')' {
		var err error
		if last, err = t.part(last, beginning); err != nil {
			return err
		}
	}
	return nil
}

// part translates one part, or the repeat of the last one.
func (t *translator) part(last part, beginning bool) (part, error) {
	switch c := t.next(); c {
	case '\\':
		return t.escape()
	case '[':
		return thing, t.class()
	case '(':
		return t.group(last, beginning)
	case '^', '$':
		t.out.WriteRune(c)
		return position, nil
	case '.':
		t.out.WriteByte('.')
	case '*', '+', '?':
		return repeated, t.repeat(last, string(c))
	case '{':
		if count := t.count(); count != "" {
			return repeated, t.repeat(last, count)
		}
		t.literal(c)
	default:
		t.literal(c)
	}
	return thing, nil
}

// count reads what follows the brace of {2,3}, and returns it as Go writes it.
// It returns nothing, and reads nothing, when the brace means only itself.
func (t *translator) count() string {
	const decimal = "0123456789"
	if strings.HasPrefix(t.rest, "}") {
		return ""
	}
	before := t.rest
	low := t.digits(decimal, len(t.rest))
	comma := t.take(",")
	high := t.digits(decimal, len(t.rest))
	if !t.take("}") || !comma && low == "" {
		t.rest = before
		return ""
	}
	if !comma {
		return "{" + number(low) + "}"
	}
	if high != "" {
		high = number(high)
	}
	return "{" + number(low) + "," + high + "}"
}

// number returns digits without zeros in front, and 0 for none.
func number(digits string) string { return cmp.Or(strings.TrimLeft(digits, "0"), "0") }

func (t *translator) repeat(last part, how string) error {
	if last == nothing || last == position {
		return errNothing
	}
	if last == repeated {
		return errors.New("a repeat follows a repeat: put a group around the first")
	}
	t.out.WriteString(how)
	if t.take("?") {
		t.out.WriteByte('?')
	}
	if strings.HasPrefix(t.rest, "+") {
		return errors.New("possessive repeats are not supported: leave out the plus behind the repeat")
	}
	return nil
}

// group translates what follows an opening parenthesis.
func (t *translator) group(last part, beginning bool) (part, error) {
	switch {
	case t.take("?:"):
		return thing, t.enclosed("(?:")
	case t.take("?P<"):
		name, rest, ok := strings.Cut(t.rest, ">")
		if !ok || !groupName.MatchString(name) {
			return 0, fmt.Errorf("the group's name %q: must be of ASCII letters, digits and underscores", name)
		}
		t.rest = rest
		return thing, t.enclosed("(?P<" + name + ">")
	case t.take("?#"):
		_, rest, ok := strings.Cut(t.rest, ")")
		if !ok {
			return 0, errUnterminated
		}
		t.rest = rest
		return last, nil
	case t.take("?P=") || t.take("?("):
		return 0, errBackward
	case t.take("?=") || t.take("?!") || t.take("?<=") || t.take("?<!"):
		return 0, errors.New("look-around is not supported: name the exceptions in a section of their own before this one")
	case t.take("?>"):
		return 0, errors.New("atomic groups are not supported: write (?: in place of (?>")
	case t.take("?"):
		return t.flags(last, beginning)
	}
	return thing, t.enclosed("(")
}

// enclosed translates the inside of a group that opens so.
func (t *translator) enclosed(open string) error {
	if t.nesting++; t.nesting > maxNesting {
		return fmt.Errorf("groups lie in each other more than %d deep", maxNesting)
	}
	defer func() { t.nesting-- }()
	t.out.WriteString(open)
	if err := t.alternatives(false); err != nil {
		return err
	}
	if !t.take(")") {
		return errUnterminated
	}
	t.out.WriteByte(')')
	return nil
}

// flags translates (?i) at the beginning of a pattern, and (?i-s:...) anywhere.
// The flags a and u make no difference for ASCII.
func (t *translator) flags(last part, beginning bool) (part, error) {
	on := t.digits("aimsu", len(t.rest))
	if strings.Contains(on, "a") && strings.Contains(on, "u") {
		return 0, errors.New("the flags a and u exclude each other")
	}
	if on != "" && t.take(")") {
		if !beginning || last != nothing {
			return 0, errors.New("flags stand inside the pattern: move them to its beginning")
		}
		if open := flagGroup(on, ""); open != "(?" {
			t.out.WriteString(open + ")")
		}
		return last, nil
	}
	off := ""
	if t.take("-") {
		if off = t.digits("ims", len(t.rest)); off == "" {
			return 0, errors.New("flags are missing behind the minus of a group")
		}
	}
	if on+off == "" || !t.take(":") {
		return 0, errors.New("the flag or group behind (? is not supported: of flags there are i, m, s, a and u")
	}
	if strings.ContainsAny(on, off) {
		return 0, errors.New("a flag is turned on and off at once")
	}
	return thing, t.enclosed(flagGroup(on, off) + ":")
}

// flagGroup returns the beginning of a group with those flags that Go knows.
func flagGroup(on, off string) string {
	on = strings.NewReplacer("a", "", "u", "").Replace(on)
	if off != "" {
		off = "-" + off
	}
	return "(?" + on + off
}
