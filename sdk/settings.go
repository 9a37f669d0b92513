package sdk

import (
	"encoding"
	"encoding/json"
	"reflect"
	"time"
)

// A Setting is one that a plugin takes, as it describes it.
type Setting struct {
	Name    string          `json:"name"`              // one inside a section is section.name, or list[].name
	Type    string          `json:"type"`              // text, integer, number, boolean, duration, a list of these, or any
	Unit    string          `json:"unit,omitempty"`    // of a number
	Help    string          `json:"help,omitempty"`    // for people
	Default json.RawMessage `json:"default,omitempty"` // none: the setting must be given
}

// The types of settings, besides lists of them.
const (
	typeText     = "text"
	typeInteger  = "integer"
	typeNumber   = "number"
	typeBoolean  = "boolean"
	typeDuration = "duration"
	typeAny      = "any"
	listOf       = "list of "
)

// settingsOf returns the settings that defaults, a struct, has fields for. They
// have the name of the field's koanf tag, and what its help and unit tags say;
// with the tag required:"true" there is no default.
func settingsOf(defaults any) []Setting {
	var all []Setting
	v := reflect.ValueOf(defaults)
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	describeFields("", v, &all)
	return all
}

func describeFields(path string, v reflect.Value, all *[]Setting) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if name := field.Tag.Get("koanf"); name != "" && name != "-" {
			describeField(path+name, field.Tag, v.Field(i), all)
		}
	}
}

// describeField adds the setting that a field is, or the settings inside it.
func describeField(name string, tag reflect.StructTag, v reflect.Value, all *[]Setting) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v = reflect.New(v.Type().Elem())
		}
		v = v.Elem()
	}
	simple := typeOf(v.Type())
	switch {
	case simple != "":
		s := Setting{Name: name, Type: simple, Unit: tag.Get("unit"), Help: tag.Get("help")}
		if tag.Get("required") != "true" {
			s.Default = defaultOf(v)
		}
		*all = append(*all, s)
	case v.Kind() == reflect.Struct:
		describeFields(name+".", v, all)
	case v.Kind() == reflect.Map:
		describeField(name+".*", tag, reflect.New(v.Type().Elem()).Elem(), all)
	default: // a list of sections
		describeField(name+"[]", tag, reflect.New(v.Type().Elem()).Elem(), all)
	}
}

// typeOf returns the type of settings of a Go type, or "" if it has settings
// inside.
func typeOf(t reflect.Type) string {
	t = pointed(t)
	switch kind := t.Kind(); {
	case t == reflect.TypeFor[time.Duration]():
		return typeDuration
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()), kind == reflect.String:
		return typeText
	case kind == reflect.Bool:
		return typeBoolean
	case reflect.Int <= kind && kind <= reflect.Uintptr:
		return typeInteger
	case kind == reflect.Float32, kind == reflect.Float64:
		return typeNumber
	case kind == reflect.Slice:
		if inner := typeOf(t.Elem()); inner != "" {
			return listOf + inner
		}
		return ""
	case kind == reflect.Map, kind == reflect.Struct:
		return ""
	default:
		return typeAny
	}
}

// pointed returns what t points to, or t if it is no pointer.
func pointed(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// defaultOf returns a default as it would be written in a configuration.
func defaultOf(v reflect.Value) json.RawMessage {
	text, err := json.Marshal(written(v))
	if err != nil {
		return json.RawMessage("null")
	}
	return text
}

func written(v reflect.Value) any {
	if d, ok := v.Interface().(time.Duration); ok {
		return d.String()
	}
	if v.Kind() != reflect.Slice {
		return v.Interface()
	}
	items := make([]any, v.Len())
	for i := range items {
		items[i] = written(v.Index(i))
	}
	return items
}

// detach gives the settings in v, which can be set, lists and maps of their own:
// those of the defaults would be written over.
func detach(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Tag.Get("koanf"); name != "" && name != "-" && v.Field(i).CanSet() {
				detach(v.Field(i))
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			own := reflect.New(v.Type().Elem())
			own.Elem().Set(v.Elem())
			detach(own.Elem())
			v.Set(own)
		}
	case reflect.Slice:
		own := reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()), v)
		for i := range own.Len() {
			detach(own.Index(i))
		}
		if !v.IsNil() {
			v.Set(own)
		}
	case reflect.Map:
		own := reflect.MakeMap(v.Type())
		for key, value := range v.Seq2() {
			item := reflect.New(value.Type()).Elem()
			item.Set(value)
			detach(item)
			own.SetMapIndex(key, item)
		}
		if !v.IsNil() {
			v.Set(own)
		}
	}
}
