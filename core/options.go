package main

import (
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"fluxgate/core/config"
)

// options are the flags that every command has.
type options struct {
	config, listen, admin, data string
	flags                       *cobra.Command
}

func (o *options) addTo(root *cobra.Command) {
	o.flags = root
	f := root.PersistentFlags()
	f.StringVar(&o.config, "config", "", `configuration file; "" for the embedded default (default `+config.DefaultFile+` if it exists)`)
	f.StringVar(&o.listen, "listen", "", "address to take metrics on")
	f.StringVar(&o.admin, "admin", "", "address for health and metrics")
	f.StringVar(&o.data, "data", "", "folder for everything that is kept")
}

// file returns the configuration file that the flags point to; "" is none.
func (o *options) file() string {
	if o.flags.PersistentFlags().Changed("config") {
		return o.config
	}
	return config.File()
}

// source says in words where the configuration comes from.
func (o *options) source() string {
	if file := o.file(); file != "" {
		return file
	}
	return "the embedded default"
}

// load reads the configuration that the flags point to.
func (o *options) load() (config.Config, error) {
	given := o.flags.PersistentFlags().Changed
	overrides := make(map[string]any)
	for name, value := range map[string]string{"listen": o.listen, "admin": o.admin, "data": o.data} {
		if given(name) {
			overrides[name] = value
		}
	}
	c, err := config.Load(o.file(), overrides, os.Environ())
	c.Lock, c.Flags = filepath.Join(c.Data, lockFile), o.again()
	if file := o.file(); file != "" {
		c.Lock = filepath.Join(filepath.Dir(file), lockFile)
	}
	return c, err
}

// again returns the flags that have another command mean the same server.
func (o *options) again() string {
	var flags []string
	if file := o.file(); file != "" || config.File() != "" {
		flags = append(flags, "--config", shellWord(file))
	}
	for _, flag := range []struct{ name, value string }{{"data", o.data}, {"admin", o.admin}} {
		if o.flags.PersistentFlags().Changed(flag.name) {
			flags = append(flags, "--"+flag.name, shellWord(flag.value))
		}
	}
	return strings.Join(flags, " ")
}

// shellWord returns text as a shell reads it as one word.
func shellWord(text string) string {
	odd := func(r rune) bool {
		return r < 0x80 && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-+:,@%", r)
	}
	if text != "" && !strings.ContainsFunc(text, odd) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
