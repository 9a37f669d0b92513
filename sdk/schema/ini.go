package schema

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxValue bounds a value in which others are inserted, in bytes.
const maxValue = 64 << 10

// maxDepth is how deep values may be inserted into each other, as in Python, and
// maxInsertions how many into one.
const (
	maxDepth      = 10
	maxInsertions = 1000
)

// defaultSection is the section whose options all others inherit.
const defaultSection = "DEFAULT"

// An ini is a configuration file as Carbon's OrderedConfigParser reads it, with
// the ConfigParser of Python 3.11 below it. An option's name is in lower case.
type ini struct {
	sections map[string]map[string]string // as written, before insertions
	order    []string                     // of the sections that Carbon looks at
	passed   []string                     // sections that Carbon reads and never looks at
}

// An iniReader is an ini while it is read.
type iniReader struct {
	sections map[string]map[string][]string // the lines of each value
	names    []string                       // of all sections, in order
	listed   []string                       // what Carbon takes for a section, in order
	section  string
	option   string // which the next line may continue
	indent   int
}

// readINI reads a file's text, and returns an error where Python raises one.
func readINI(text string) (*ini, error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("it is not UTF-8: save it as UTF-8")
	}
	r := iniReader{sections: map[string]map[string][]string{defaultSection: {}}}
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	number := 0
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		number++
		if err := r.line(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	return r.finish()
}

// line reads one line. A comment has a line of its own; what stands behind a
// value belongs to the value.
func (r *iniReader) line(line string) error {
	text := strings.TrimFunc(line, isSpace)
	if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		r.listed = append(r.listed, text[1:len(text)-1])
	}
	if text == "" {
		r.extend("")
		return nil
	}
	if text[0] == '#' || text[0] == ';' {
		return nil
	}
	indent := utf8.RuneCountInString(line[:strings.IndexFunc(line, isNoSpace)])
	if r.option != "" && indent > r.indent {
		r.extend(text)
		return nil
	}
	r.indent = indent
	if end := strings.LastIndex(text, "]"); text[0] == '[' && end > 1 {
		return r.begin(text[1:end])
	}
	return r.set(text)
}

// isSpace reports what Python strips from the ends of a line.
func isSpace(c rune) bool { return unicode.IsSpace(c) || c >= 0x1c && c <= 0x1f }

func isNoSpace(c rune) bool { return !isSpace(c) }

// extend adds a line to the value of the option before it, if there is one.
func (r *iniReader) extend(text string) {
	if r.option != "" {
		options := r.sections[r.section]
		options[r.option] = append(options[r.option], text)
	}
}

// begin starts a section.
func (r *iniReader) begin(name string) error {
	r.option = ""
	if name != defaultSection {
		if _, ok := r.sections[name]; ok {
			return fmt.Errorf("section [%s] begins a second time: give each a name of its own", name)
		}
		r.sections[name] = map[string][]string{}
	}
	r.section = name
	r.names = append(r.names, name)
	return nil
}

// set reads an option with the first line of its value.
func (r *iniReader) set(text string) error {
	if len(r.names) == 0 {
		return fmt.Errorf("%q stands before the first [section]", text)
	}
	at := strings.IndexAny(text, "=:")
	if at < 1 {
		return fmt.Errorf("section [%s]: %q is no option: want a name, an equals sign and a value", r.section, text)
	}
	name := strings.ToLower(strings.TrimRightFunc(text[:at], isSpace))
	if _, ok := r.sections[r.section][name]; ok {
		return fmt.Errorf("section [%s]: %s is set a second time: remove one", r.section, name)
	}
	r.option = name
	r.extend(strings.TrimLeftFunc(text[at+1:], isSpace))
	return nil
}

// finish joins the lines of the values and settles which sections count: those
// whose line ends with the bracket.
func (r *iniReader) finish() (*ini, error) {
	f := &ini{sections: map[string]map[string]string{}, order: r.listed}
	for name, options := range r.sections {
		f.sections[name] = map[string]string{}
		for option, lines := range options {
			f.sections[name][option] = strings.TrimRightFunc(strings.Join(lines, "\n"), isSpace)
		}
	}
	listed := map[string]bool{}
	for _, name := range r.listed {
		if _, ok := f.sections[name]; !ok {
			return nil, fmt.Errorf("the line [%s] continues the value before it: do not indent it", name)
		}
		listed[name] = true
	}
	for _, name := range r.names {
		if !listed[name] && name != defaultSection {
			f.passed = append(f.passed, name)
		}
	}
	return f, nil
}

// options returns the options of a section and those it inherits, with the
// values that they refer to inserted.
func (f *ini) options(section string) (map[string]string, error) {
	raw, all := map[string]string{}, map[string]string{}
	for _, from := range []string{defaultSection, section} {
		for name, value := range f.sections[from] {
			raw[name] = value
		}
	}
	for name, value := range raw {
		i := insertion{options: raw}
		if err := i.write(value, 1); err != nil {
			return nil, fmt.Errorf("%s = %q: %w", name, value, err)
		}
		all[name] = i.out.String()
	}
	return all, nil
}

// An insertion is a value while what it refers to is inserted.
type insertion struct {
	options map[string]string
	out     strings.Builder
	count   int
}

// write writes a value with %(name)s replaced by the option of that name, and
// %% by a percent sign.
func (i *insertion) write(value string, depth int) error {
	if i.count++; depth > maxDepth || i.count > maxInsertions {
		return errors.New("values refer to each other without end")
	}
	for {
		before, rest, found := strings.Cut(value, "%")
		i.out.WriteString(before)
		if i.out.Len() > maxValue {
			return fmt.Errorf("with what it refers to it is longer than %d bytes", maxValue)
		}
		if !found {
			return nil
		}
		if value, found = strings.CutPrefix(rest, "%"); found {
			i.out.WriteByte('%')
			continue
		}
		name, after, ok := reference(rest)
		if !ok {
			return errors.New("write a percent sign as %%")
		}
		inner, ok := i.options[strings.ToLower(name)]
		if !ok {
			return fmt.Errorf("it refers to %q, which is not set: write a percent sign as %%%%", name)
		}
		if err := i.write(inner, depth+1); err != nil {
			return err
		}
		value = after
	}
}

// reference splits "(name)s and more".
func reference(text string) (name, after string, ok bool) {
	text, ok = strings.CutPrefix(text, "(")
	if !ok {
		return "", "", false
	}
	name, after, ok = strings.Cut(text, ")")
	if !ok || name == "" {
		return "", "", false
	}
	after, ok = strings.CutPrefix(after, "s")
	return name, after, ok
}
