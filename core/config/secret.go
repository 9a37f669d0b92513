package config

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
)

// A Secret is a text that is never printed, logged or encoded: only a
// conversion to string reveals it. The package fmt cannot know this of a value
// in an unexported field.
type Secret string

const hidden = "[secret]"

// String tells only whether there is a secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// Format is String for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue is String for logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String for encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Settings are for a plugin alone. Some may be secret, so that they print only
// their names; converted to map[string]any they are like any other map.
type Settings map[string]any

// String returns the names in order.
func (s Settings) String() string {
	return "[" + strings.Join(slices.Sorted(maps.Keys(s)), " ") + "]"
}

// Format is String for every verb.
func (s Settings) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue is String for logs.
func (s Settings) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String for encoders.
func (s Settings) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
