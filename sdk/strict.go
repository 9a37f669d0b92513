package sdk

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A place is where settings can be: one setting, a section, or a list of
// sections.
type place struct {
	setting *Setting
	inside  map[string]*place // by name; "*" stands for every one
	list    bool
}

// placesOf returns the section that holds settings.
func placesOf(settings []Setting) *place {
	top := &place{inside: make(map[string]*place)}
	for i, s := range settings {
		at := top
		for name := range strings.SplitSeq(s.Name, ".") {
			name, list := strings.CutSuffix(name, "[]")
			next := at.inside[name]
			if next == nil {
				next = &place{inside: make(map[string]*place), list: list}
				at.inside[name] = next
			}
			at = next
		}
		at.setting = &settings[i]
	}
	return top
}

// checkSettings returns an error for each value that settings does not know, or
// knows as another type, with what the right one would be.
func checkSettings(values map[string]any, settings []Setting) error {
	return errors.Join(placesOf(settings).check("", values)...)
}

func (p *place) check(path string, value any) (wrong []error) {
	name := strings.TrimSuffix(path, ".")
	switch v := generic(value).(type) {
	case nil: // as good as not given
	case map[string]any:
		if p.setting != nil && p.setting.Type != typeAny {
			return []error{p.setting.mistyped(name, "a section")}
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			wrong = append(wrong, p.checkOne(path, key, v[key])...)
		}
		wrong = append(wrong, p.missing(path, v)...)
	case []any:
		if p.setting != nil {
			return p.setting.check(name, v)
		}
		for i, item := range v {
			if !p.list || item != nil && reflect.TypeOf(item).Kind() != reflect.Map {
				return []error{fmt.Errorf("setting %q: must be %s", name, p.kind())}
			}
			wrong = append(wrong, p.check(fmt.Sprintf("%s[%d].", name, i), item)...)
		}
	default:
		if p.setting == nil {
			return []error{fmt.Errorf("setting %q: %v must be %s", name, v, p.kind())}
		}
		return p.setting.check(name, v)
	}
	return wrong
}

// missing returns an error for each setting of the section, and of those inside
// it that values have nothing of, that must be given.
func (p *place) missing(path string, values map[string]any) (wrong []error) {
	for _, name := range slices.Sorted(maps.Keys(p.inside)) {
		next := p.inside[name]
		switch {
		case name == "*" || values[name] != nil:
		case next.setting == nil && !next.list:
			wrong = append(wrong, next.missing(path+name+".", nil)...)
		case next.setting != nil && next.setting.Default == nil:
			wrong = append(wrong, fmt.Errorf("setting %q must be given%s", path+name, next.setting.aside()))
		}
	}
	return wrong
}

// generic returns maps and lists of whatever type as those of JSON.
func generic(value any) any {
	v := reflect.ValueOf(value)
	switch v.Kind() {
	case reflect.Slice:
		items := make([]any, v.Len())
		for i := range items {
			items[i] = v.Index(i).Interface()
		}
		return items
	case reflect.Map:
		if v.Type().Key().Kind() != reflect.String {
			return value
		}
		section := make(map[string]any, v.Len())
		for key, item := range v.Seq2() {
			section[key.String()] = item.Interface()
		}
		return section
	default:
		return value
	}
}

// checkOne checks the setting or section called key.
func (p *place) checkOne(path, key string, value any) []error {
	if p.setting != nil { // of any type
		return nil
	}
	next := p.inside[key]
	if next == nil {
		next = p.inside["*"]
	}
	if next == nil {
		return []error{fmt.Errorf("unknown setting %q%s", path+key, p.hint(path, key))}
	}
	return next.check(path+key+".", value)
}

func (p *place) kind() string {
	if p.list {
		return "a list of sections"
	}
	return "a section of settings"
}

// hint names the setting that was probably meant, and what it is.
func (p *place) hint(path, key string) string {
	if len(p.inside) == 0 {
		return ": there are no settings here"
	}
	nearest := Nearest(key, slices.Sorted(maps.Keys(p.inside)))
	hint := fmt.Sprintf(": did you mean %q?", path+nearest)
	if s := p.inside[nearest].setting; s != nil {
		hint += s.aside()
	}
	return hint
}

// aside tells what a setting is, in parentheses, if it has help.
func (s Setting) aside() string {
	if s.Help == "" {
		return ""
	}
	what := s.Type
	if s.Unit != "" {
		what += " of " + s.Unit
	}
	if s.Default != nil {
		what += ", by default " + string(s.Default)
	}
	return fmt.Sprintf(" (%s: %s)", what, s.Help)
}

func (s Setting) mistyped(name, value string) error {
	remedy := ""
	if strings.HasSuffix(s.Type, typeDuration) {
		remedy = ": give it a unit, such as \"5s\""
	}
	article := "a"
	if strings.ContainsAny(s.Type[:1], "aeiou") {
		article = "an"
	}
	return fmt.Errorf("setting %q: %s is not %s %s%s%s", name, value, article, s.Type, remedy, s.aside())
}

// check tells whether a value, which is no section, is of the setting's type. A
// single one serves for a list of one, and text for what it spells: the
// environment has nothing else.
func (s Setting) check(name string, value any) []error {
	item, isList := strings.CutPrefix(s.Type, listOf)
	values, several := value.([]any)
	if !several {
		values = []any{value}
	}
	for _, v := range values {
		if (several && !isList && s.Type != typeAny) || !fits(item, v) {
			return []error{s.mistyped(name, quoted(value))}
		}
	}
	return nil
}

func quoted(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(text)
}

// fits reports whether a value can be taken for a type that is no list.
func fits(settingType string, value any) bool {
	text := fmt.Sprint(value)
	var err error
	switch settingType {
	case typeInteger:
		_, err = strconv.ParseInt(text, 0, 64)
		if f, isFloat := value.(float64); isFloat && f == math.Trunc(f) {
			err = nil
		}
	case typeNumber:
		_, err = strconv.ParseFloat(text, 64)
	case typeBoolean:
		_, err = strconv.ParseBool(text)
	case typeDuration:
		_, err = time.ParseDuration(text)
	case typeText:
		_, isSection := value.(map[string]any)
		_, isList := value.([]any)
		return !isSection && !isList
	}
	return err == nil
}
