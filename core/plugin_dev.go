package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"fluxgate/core/config"
	"fluxgate/sdk"
)

func pluginDevCommand(o *options) *cobra.Command {
	var t throwaway
	cmd := &cobra.Command{
		Use:   "dev FOLDER|PROGRAM",
		Short: "Run a plugin in a throwaway Fluxgate, and show what passes through it",
		Long: "Dev builds the plugin in FOLDER, starts a Fluxgate of its own with it, on free ports and in a folder that is\n" +
			"removed at the end, sends it something at once, and shows what it gets and what it logs, until ^C.",
		Args: func(_ *cobra.Command, args []string) error {
			if given := o.flags.PersistentFlags().Changed; given("config") || given("data") {
				return errors.New("the Fluxgate of plugin dev is a throwaway: it has neither --config nor --data; --settings are the plugin's")
			}
			if len(args) != 1 {
				return errors.New("which plugin? fluxgate plugin dev FOLDER, or PROGRAM")
			}
			return nil
		},
		RunE: command(func(cmd *cobra.Command, args []string) error {
			t.path, t.out, t.options = args[0], cmd.OutOrStdout(), o
			return t.run(cmd.Context())
		}),
	}
	cmd.Flags().StringVar(&t.kind, "kind", "", "sink, input or resampler, where the plugin does not tell")
	cmd.Flags().StringVar(&t.settings, "settings", "", "a YAML file with the plugin's settings (default "+ownSettings+" in FOLDER if it exists)")
	return cmd
}

// ownSettings is where a plugin's folder may have settings to try it with.
const ownSettings = "settings.yaml"

// A throwaway is a Fluxgate that is made for trying one plugin.
type throwaway struct {
	path     string // the plugin's folder or program, as given
	kind     string // as given; empty: the plugin tells
	settings string // a YAML file; empty: the folder's own, if there is one
	out      io.Writer
	options  *options
}

// run returns when ctx ends, or with what keeps the plugin from being tried.
func (t *throwaway) run(ctx context.Context) error {
	folder, err := os.MkdirTemp("", "fluxgate-dev-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	slog.SetDefault(slog.New(quieter{slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}), slog.LevelWarn}))
	p, err := t.prepare(ctx, folder)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	c, err := t.config(p, folder)
	if err != nil {
		return err
	}
	err = (&stage{candidate: p, out: t.out}).run(ctx, c)
	if errors.Is(err, sdk.ErrInvalid) {
		return fmt.Errorf("%w\nits settings are those in the file given as --settings, or of a plugin in a folder those in %s there", err, ownSettings)
	}
	return err
}

// config is the configuration. Everything that is kept is in folder.
func (t *throwaway) config(p candidate, folder string) (config.Config, error) {
	settings, err := t.given(folder)
	if err != nil {
		return config.Config{}, err
	}
	about := map[string]any{"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "data": filepath.Join(folder, "data")}
	if t.options.listen != "" {
		about["listen"] = t.options.listen
	}
	if t.options.admin != "" {
		about["admin"] = t.options.admin
	}
	plugin := map[string]any{"plugin": p.program, "config": settings}
	switch p.kind {
	case "sink":
		about["sinks"] = map[string]any{p.name: plugin}
	case "input":
		plugin["routes"] = []any{"GET " + p.route(), "POST " + p.route()}
		about["inputs"] = map[string]any{p.name: plugin}
		about["validate"] = map[string]any{"max_age": "876000h"} // a case may be from any day
		if key := p.first.key; key != "" {
			about["keys"] = []any{map[string]any{"key": key}}
		}
	case "resampler":
		about["resamplers"] = map[string]any{p.name: plugin}
		about["populate"] = map[string]any{"resampler": p.name}
	}
	c, err := config.Load("", about, nil)
	if err != nil {
		return c, err
	}
	usual, err := config.Load("", nil, nil)
	maps.Copy(usual.Inputs, c.Inputs) // the plugin is beside them
	c.Inputs = usual.Inputs
	return c, err
}

// given returns the plugin's settings.
func (t *throwaway) given(folder string) (map[string]any, error) {
	file := t.settings
	if own := filepath.Join(t.path, ownSettings); file == "" && exists(own) {
		file = own
	}
	settings, err := readSettings(file, folder)
	if settings == nil {
		settings = map[string]any{}
	}
	return settings, err
}

// A quieter handler passes what a plugin logs, and of all else what is of its
// level.
type quieter struct {
	slog.Handler
	level slog.Level
}

// Enabled implements [slog.Handler].
func (q quieter) Enabled(_ context.Context, level slog.Level) bool { return level >= q.level }

// WithAttrs implements [slog.Handler].
func (q quieter) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if a.Key == "plugin" {
			q.level = slog.LevelDebug
		}
	}
	return quieter{q.Handler.WithAttrs(attrs), q.level}
}

// WithGroup implements [slog.Handler].
func (q quieter) WithGroup(name string) slog.Handler {
	return quieter{q.Handler.WithGroup(name), q.level}
}
