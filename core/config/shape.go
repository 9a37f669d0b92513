package config

import (
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Faults are what is wrong with a configuration.
type faults struct {
	sources sources
	list    []error
}

// add notes what is wrong with a setting, and the remedy.
func (f *faults) add(setting, format string, args ...any) {
	f.list = append(f.list, fmt.Errorf("%s: %s", f.sources.spell(setting), fmt.Sprintf(format, args...)))
}

// shape notes each value in a tree of maps and lists that does not have the
// form of type t, and takes it out; it tells whether value itself may stay. A
// weakly typed decoder would accept most of them as something else. A setting
// without a value may stay: it keeps its default.
func (f *faults) shape(setting string, value any, t reflect.Type) bool {
	if value == nil || t.Kind() == reflect.Interface {
		return true
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return f.shapeSection(setting, value, t)
	case reflect.Slice:
		return f.shapeList(setting, value, t)
	}
	if wrong := misread(value, t); wrong != "" {
		f.add(setting, "%s", wrong)
		return false
	}
	return true
}

func (f *faults) shapeSection(setting string, value any, t reflect.Type) bool {
	section, ok := value.(map[string]any)
	if !ok {
		f.add(setting, "must be a section: indent its settings below it, each as name: value")
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(section)) {
		inner := settingType(t, name)
		if inner == nil && t == reflect.TypeFor[Key]() { // the name may be the key itself
			f.add(setting, "has another setting than key, prefix, ack and hosts: write those alone")
			delete(section, name)
			continue
		}
		path := strings.TrimPrefix(setting+"."+name, ".")
		if inner != nil && !f.shape(path, section[name], inner) { // an unknown one is for the decoder
			section[name] = nil
		}
	}
	return true
}

// settingType returns the type of the setting called name in a section of type
// t, or nil if there is none.
func settingType(t reflect.Type, name string) reflect.Type {
	if t.Kind() == reflect.Map {
		return t.Elem()
	}
	return fields(t)[name]
}

func (f *faults) shapeList(setting string, value any, t reflect.Type) bool {
	list, ok := value.([]any)
	if _, text := value.(string); text && t.Elem().Kind() == reflect.String {
		return true // a list of one
	}
	if !ok {
		f.add(setting, "must be a list: put each item on a line of its own, behind a dash")
		return false
	}
	for i, item := range list {
		path := fmt.Sprintf("%s[%d]", setting, i)
		if item == nil {
			f.add(path, "is empty: give it a value or remove it")
		}
		if !f.shape(path, item, t.Elem()) {
			list[i] = nil
		}
	}
	return true
}

// misread says why value cannot be read as t, a type of a single value, and
// what to write. It returns "" if it can.
func misread(value any, t reflect.Type) string {
	text, isText := value.(string)
	number, isNumber := value.(int)
	var err error
	switch t {
	case reflect.TypeFor[Size]():
		if !isText && !isNumber {
			return "must be a size: write whole bytes, or a whole number of KiB, MiB, GiB or TiB, such as 32MiB"
		}
		if isText {
			if _, err = ParseSize(text); err != nil {
				return err.Error()
			}
		}
		return ""
	case reflect.TypeFor[time.Duration]():
		if _, err = time.ParseDuration(text); err != nil && !(isNumber && number == 0) {
			return fmt.Sprintf("%q is not a duration: write a number with its unit, such as 60s or 1h30m", fmt.Sprint(value))
		}
		return ""
	case reflect.TypeFor[slog.Level]():
		if !slices.Contains([]string{"debug", "info", "warn", "error"}, strings.ToLower(text)) {
			return fmt.Sprintf("%q is not a level: write debug, info, warn or error", fmt.Sprint(value))
		}
		return ""
	}
	return misreadKind(value, t.Kind())
}

func misreadKind(value any, k reflect.Kind) string {
	text, isText := value.(string)
	switch k {
	case reflect.Bool:
		if _, ok := value.(bool); ok {
			return ""
		}
		if _, err := strconv.ParseBool(text); err != nil {
			return fmt.Sprintf("%q is neither true nor false: write one of them", fmt.Sprint(value))
		}
	case reflect.Int:
		if _, ok := value.(int); ok {
			return ""
		}
		if _, err := strconv.Atoi(text); err != nil {
			return fmt.Sprintf("%q is not a whole number: write one, such as 0", fmt.Sprint(value))
		}
	case reflect.Float64:
		_, whole := value.(int)
		if _, ok := value.(float64); ok || whole {
			return ""
		}
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			return fmt.Sprintf("%q is not a number: write one, such as 0.5", fmt.Sprint(value))
		}
	case reflect.String:
		if !isText {
			return "must be text: put it in quotes"
		}
	default:
		return fmt.Sprintf("no value can be given to a %s", k)
	}
	return ""
}
