package sdk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
)

// NoConfig is the configuration of a plugin that has no settings.
type NoConfig struct{}

// Configure lays settings over into, a pointer to a struct that holds the
// defaults. Fields are matched by their koanf tag; durations are written as
// "5s", and a single value serves for a list of one. A setting that into does
// not know is an error that names the nearest one it does, and so is whatever
// its Validate method, if any, reports. Every error wraps [ErrInvalid].
func Configure(settings map[string]any, into any) error {
	if unknown := unknownSettings("", settings, reflect.TypeOf(into).Elem()); unknown != nil {
		return Invalidf("%w", errors.Join(unknown...))
	}
	d, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result:           into,
		TagName:          "koanf",
		WeaklyTypedInput: true,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(
			duration,
			mapstructure.TextUnmarshallerHookFunc()),
	})
	if err != nil {
		return err
	}
	if err := d.Decode(settings); err != nil {
		_, text, _ := strings.Cut(err.Error(), "\n\n") // the first line says that there are errors
		return Invalidf("%s", text)
	}
	if v, ok := into.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return Invalidf("%w", err)
		}
	}
	return nil
}

// duration reads a duration. A number has no unit, unless it is 0.
func duration(_, to reflect.Type, value any) (any, error) {
	if to != reflect.TypeFor[time.Duration]() {
		return value, nil
	}
	d, err := time.ParseDuration(fmt.Sprint(value))
	if err != nil {
		return nil, fmt.Errorf("%v is no duration: give it a unit, such as \"5s\"", value)
	}
	return d, nil
}

func configureJSON(raw []byte, into any) error {
	var settings map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&settings); err != nil {
		return Invalidf("settings are not a JSON object: %w", err)
	}
	return Configure(settings, into)
}

// unknownSettings returns an error for each key of value, a tree of maps and
// lists, that type t has no field for.
func unknownSettings(path string, value any, t reflect.Type) (unknown []error) {
	t = pointed(t)
	switch v := value.(type) {
	case map[string]any:
		if t.Kind() == reflect.Slice { // of which v is the only one
			t = pointed(t.Elem())
		}
		fields := settingFields(t)
		for _, name := range slices.Sorted(maps.Keys(v)) {
			inner, ok := fields[name]
			if !ok && t.Kind() == reflect.Map {
				inner, ok = t.Elem(), true
			}
			if !ok && t.Kind() != reflect.Struct {
				return nil // a wrong type, which decoding will name
			}
			if !ok {
				unknown = append(unknown, fmt.Errorf("unknown setting %q%s", path+name, hint(path, name, fields)))
				continue
			}
			unknown = append(unknown, unknownSettings(path+name+".", v[name], inner)...)
		}
	case []any:
		if t.Kind() == reflect.Slice {
			for i, item := range v {
				at := fmt.Sprintf("%s[%d].", strings.TrimSuffix(path, "."), i)
				unknown = append(unknown, unknownSettings(at, item, t.Elem())...)
			}
		}
	}
	return unknown
}

// pointed returns what t points to, or t if it is no pointer.
func pointed(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// settingFields returns the type of each setting that struct type t holds.
func settingFields(t reflect.Type) map[string]reflect.Type {
	if t.Kind() != reflect.Struct {
		return nil
	}
	fields := make(map[string]reflect.Type, t.NumField())
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("koanf"); tag != "" && tag != "-" {
			fields[tag] = t.Field(i).Type
		}
	}
	return fields
}

// hint names the setting that was probably meant.
func hint(path, name string, fields map[string]reflect.Type) string {
	if len(fields) == 0 {
		return ": there are no settings here"
	}
	known := slices.Sorted(maps.Keys(fields))
	return fmt.Sprintf(": did you mean %q?", path+Nearest(name, known))
}

// Nearest returns the one of known, which is not empty, that a mistyped name was
// probably meant to be. Of several as near it is the first.
func Nearest(name string, known []string) string {
	return slices.MinFunc(known, func(a, b string) int { return distance(a, name) - distance(b, name) })
}

// distance returns how many letters must be added or left out to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := min(row[j], row[j+1]) + 1
			if a[i] == b[j] {
				next = diagonal
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
