package main

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
)

// format is how a command prints: as text or JSON.
type format struct{ json bool }

func (f *format) addTo(cmd *cobra.Command) { cmd.Flags().Var(f, "output", "text or json") }

// String, Set and Type implement pflag.Value.
func (f *format) String() string {
	if f.json {
		return "json"
	}
	return "text"
}

func (f *format) Set(name string) error {
	if name != "text" && name != "json" {
		return errors.New("must be text or json")
	}
	f.json = name == "json"
	return nil
}

func (f *format) Type() string { return "format" }

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// A legible writer leaves out what a terminal would obey: text of others may hold it.
type legible struct{ out io.Writer }

// Write implements [io.Writer].
func (l legible) Write(b []byte) (int, error) {
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, string(b))
	if _, err := io.WriteString(l.out, text); err != nil {
		return 0, err
	}
	return len(b), nil
}
