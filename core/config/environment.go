package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"fluxgate/sdk"
)

const variablePrefix = "FLUXGATE_"

// Variables turn the environment into settings. FLUXGATE_REDIS__ADDRESS is
// redis.address; a name of the operator's or of a plugin, such as that of a sink,
// may be in capitals, and _ in it may stand for -.
type variables struct {
	file    map[string]any // the settings of the file
	sources sources        // the variable of each setting
	faults  []error
}

// read returns the setting of a variable and its value. It returns "" for a
// variable that it refuses.
func (v *variables) read(variable, value string) (setting string, parsed any) {
	words := strings.Split(strings.TrimPrefix(variable, variablePrefix), "__")
	if section := fileOnly(words); section != "" {
		v.refuse("%s: %s are read from the file alone: put them under %s there", variable, section[strings.LastIndex(section, ".")+1:], section)
		return "", nil
	}
	path, t, current := v.find(words)
	if path == nil {
		v.refuse("unknown variable %s: did you mean %s?", variable, nearest(variable, words))
		return "", nil
	}
	name := strings.Join(path, ".")
	if other, ok := v.sources[name]; ok && other != variable {
		v.refuse("%s and %s: the same setting %s: unset one", other, variable, name)
		return "", nil
	}
	v.sources[name] = variable
	if _, list := current.([]any); list || t.Kind() == reflect.Slice {
		return strings.Join(path, delimiter), listed(value)
	}
	return strings.Join(path, delimiter), value
}

func (v *variables) refuse(format string, args ...any) {
	v.faults = append(v.faults, fmt.Errorf(format, args...))
}

// fileOnly returns the list of sections, such as keys, that words name or lead
// into, or "": what is in it has no name that a variable could give.
func fileOnly(words []string) string {
	t := reflect.TypeFor[Config]()
	for i, word := range words {
		if t = settingType(t, strings.ToLower(word)); t == nil || word != strings.ToUpper(word) {
			return ""
		}
		if listsSections(t) {
			return strings.ToLower(strings.Join(words[:i+1], "."))
		}
		if t.Kind() != reflect.Struct {
			return ""
		}
	}
	return ""
}

func listsSections(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct
}

// find returns the path of the setting that words mean, its type and its value
// in the file. The path is nil if there is no such setting.
func (v *variables) find(words []string) (path []string, t reflect.Type, current any) {
	t, current = reflect.TypeFor[Config](), v.file
	for _, word := range words {
		section, _ := current.(map[string]any)
		name := strings.ToLower(word)
		switch t.Kind() {
		case reflect.Struct:
			t = fields(t)[name]
			if t == nil || word != strings.ToUpper(word) {
				return nil, nil, nil
			}
		case reflect.Map:
			name, t = spelled(word, section), t.Elem()
		case reflect.Interface:
			name = spelled(word, section)
		default:
			return nil, nil, nil
		}
		if name == "" {
			return nil, nil, nil
		}
		path, current = append(path, name), section[name]
	}
	if t.Kind() == reflect.Struct || t.Kind() == reflect.Map {
		return nil, nil, nil
	}
	return path, t, current
}

// spelled returns the name in section that word stands for. If there is none,
// or several, it is word itself, in small letters if it is all capitals.
func spelled(word string, section map[string]any) string {
	name := word
	if word == strings.ToUpper(word) {
		name = strings.ToLower(word)
	}
	if _, ok := section[name]; ok {
		return name
	}
	var alike []string
	for known := range section {
		if strings.EqualFold(strings.ReplaceAll(known, "-", "_"), word) {
			alike = append(alike, known)
		}
	}
	if len(alike) == 1 {
		return alike[0]
	}
	return name
}

// listed returns the parts of a list that is separated by commas.
func listed(value string) []any {
	list := []any{}
	if strings.TrimSpace(value) == "" {
		return list
	}
	for part := range strings.SplitSeq(value, ",") {
		list = append(list, strings.TrimSpace(part))
	}
	return list
}

// conflicts refuses each variable that sets a section of which another sets a
// part.
func (v *variables) conflicts() {
	names := slices.Sorted(maps.Keys(v.sources))
	for _, whole := range names {
		for _, part := range names {
			if strings.HasPrefix(part, whole+".") {
				v.refuse("%s and %s: the second sets a part of the first: unset one", v.sources[whole], v.sources[part])
			}
		}
	}
}

// nearest returns the variable that was probably meant. Where the operator or a
// plugin chooses a name, it is taken from words, those of the variable.
func nearest(variable string, words []string) string {
	name, inner := "NAME", "NAME"
	if len(words) > 1 && words[1] != "" {
		name = words[1]
	}
	if last := words[len(words)-1]; len(words) > 2 && last != "" && last != "CONFIG" {
		inner = strings.Join(words[min(3, len(words)-1):], "__")
	}
	given := strings.ToUpper(variable)
	all := known(variablePrefix, reflect.TypeFor[Config](), name, inner)
	within := slices.DeleteFunc(slices.Clone(all), func(v string) bool { return !strings.HasPrefix(v, given+"__") })
	if len(within) > 0 {
		all = within // it names a section
	}
	same := slices.DeleteFunc(slices.Clone(all), func(v string) bool { return !strings.HasSuffix(v, "__"+inner) })
	if inner != "NAME" && len(same) > 0 && named(words[0]) {
		all = same // it leaves out the section of a plugin's settings
	}
	return sdk.Nearest(given, all)
}

// named tells whether word probably means a section in which the operator
// chooses the names, such as that of the sinks.
func named(word string) bool {
	sections := fields(reflect.TypeFor[Config]())
	section := sdk.Nearest(strings.ToLower(word), slices.Sorted(maps.Keys(sections)))
	return sections[section].Kind() == reflect.Map
}

// known returns the variables of all settings in type t, in order. Name stands
// for what the operator calls a plugin, inner for a setting of that plugin.
func known(prefix string, t reflect.Type, name, inner string) (all []string) {
	switch {
	case t.Kind() == reflect.Struct:
		settings := fields(t)
		for _, s := range slices.Sorted(maps.Keys(settings)) {
			if !listsSections(settings[s]) {
				all = append(all, known(prefix+strings.ToUpper(s)+"__", settings[s], name, inner)...)
			}
		}
		return all
	case t == reflect.TypeFor[Settings]():
		return []string{prefix + inner}
	case t.Kind() == reflect.Map:
		return known(prefix+name+"__", t.Elem(), name, inner)
	}
	return []string{strings.TrimSuffix(prefix, "__")}
}

// fields returns the type of each setting of a struct.
func fields(t reflect.Type) map[string]reflect.Type {
	settings := make(map[string]reflect.Type, t.NumField())
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("koanf"); name != "-" {
			settings[name] = t.Field(i).Type
		}
	}
	return settings
}
