package sdk

import (
	"bytes"
	"encoding/json"
	"fmt"
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
// not know is an error that names the nearest one it does and, if it has a help
// tag, tells what that is. So is a value of another type, and whatever the
// Validate method of into, if any, reports, and a Validate that is none, since its
// signature is not func() error. Every error wraps [ErrInvalid].
func Configure(settings map[string]any, into any) error {
	if err := checkAbilities(into, abilityOf[validator]()); err != nil {
		return err
	}
	if err := checkSettings(settings, settingsOf(into)); err != nil {
		return Invalidf("%w", err)
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
	if v, ok := into.(validator); ok {
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
	settings, err := decodeSettings(raw)
	if err != nil {
		return err
	}
	return Configure(settings, into)
}

func decodeSettings(raw []byte) (settings map[string]any, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&settings); err != nil {
		return nil, Invalidf("settings are not a JSON object: %w", err)
	}
	return settings, nil
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
