package main

import (
	"encoding/json"
	"errors"
	"io"

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
