package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"

	"fluxgate/sdk"
)

// DefaultFile is read when no file is named and this one exists.
const DefaultFile = "/etc/fluxgate/fluxgate.yaml"

// delimiter stands between the names of a setting inside koanf: a dot may be
// part of a name.
const delimiter = "::"

// File returns the file to read when none is named: [DefaultFile] if it exists,
// else "".
func File() string { return existing(DefaultFile) }

func existing(path string) string {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return path
}

// Load lays the settings of the YAML file path, the variables of environ that
// begin with FLUXGATE_ and overrides, which are flags by their name, over the
// defaults. A path of "" means that there is no file.
//
// The error joins all faults that were found, each on one line that names the
// setting as the operator spelled it, and the remedy. No key or password is
// ever part of it.
func Load(path string, overrides map[string]any, environ []string) (Config, error) {
	k := koanf.New(delimiter)
	if path != "" {
		if err := k.Load(file.Provider(path), &document{}); err != nil {
			return Config{}, locate(path, err)
		}
	}
	vars := variables{file: k.Raw(), sources: sources{}}
	if err := k.Load(env.Provider(delimiter, env.Opt{
		Prefix:        variablePrefix,
		TransformFunc: vars.read,
		EnvironFunc:   func() []string { return environ },
	}), nil); err != nil {
		return Config{}, err
	}
	if err := k.Load(confmap.Provider(overrides, delimiter), nil); err != nil {
		return Config{}, err
	}
	for name := range overrides {
		vars.sources[name] = "--" + name
	}
	vars.conflicts()
	c, err := decode(k.Raw(), vars.sources)
	if err := errors.Join(append(vars.faults, err)...); err != nil {
		return Config{}, err
	}
	return c, nil
}

// locate names the file in an error about it, once.
func locate(path string, err error) error {
	if _, named := errors.AsType[*fs.PathError](err); named {
		return fmt.Errorf("configuration: %w", err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// decode lays settings over the defaults and checks the whole.
func decode(settings map[string]any, from sources) (Config, error) {
	found := faults{sources: from}
	found.shape("", settings, reflect.TypeFor[Config]())
	requireSinks(settings)
	c := defaults()
	if err := sdk.Configure(settings, &c); err != nil {
		found.list = append(found.list, errors.New(strings.TrimPrefix(err.Error(), sdk.ErrInvalid.Error()+": ")))
	}
	if found.list != nil {
		return Config{}, errors.Join(found.list...)
	}
	if err := c.complete(settings); err != nil {
		return Config{}, err
	}
	found.check(c)
	return c, errors.Join(found.list...)
}

// requireSinks makes each sink of settings a required one, unless it says
// whether it is.
func requireSinks(settings map[string]any) {
	sinks, _ := settings["sinks"].(map[string]any)
	for _, s := range sinks {
		if sink, ok := s.(map[string]any); ok && sink["required"] == nil {
			sink["required"] = true
		}
	}
}

// Sources tell who gave a setting that is not from the file, by its dotted name.
type sources map[string]string

// spell returns a setting as the operator wrote it.
func (s sources) spell(setting string) string {
	name, index, _ := strings.Cut(setting, "[")
	source, ok := s[name]
	switch {
	case !ok:
		return setting
	case index != "":
		return source + "[" + index
	}
	return source
}
