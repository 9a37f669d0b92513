package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"fluxgate/core/config"
	"fluxgate/core/fleet"
	"fluxgate/sdk"
)

func pluginListCommand(o *options) *cobra.Command {
	var (
		output   format
		settings bool
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the plugins, how they are, and what settings they take",
		Long: "List asks the running server how its plugins are. Without one it starts each configured program, and each other one in\n" +
			"the folders of plugins, asks what it says of itself, and stops it. Values of settings are never shown.",
		Args: cobra.NoArgs,
		RunE: command(func(cmd *cobra.Command, _ []string) error {
			c, err := o.load()
			if err != nil {
				return err
			}
			all, err := plugins(cmd.Context(), cmd.ErrOrStderr(), c)
			if err != nil {
				return err
			}
			for i := range all {
				if !settings {
					all[i].Settings = nil
				} else if all[i].State == fleet.Idle {
					askIdle(cmd.Context(), &all[i])
				}
			}
			if output.json {
				return printJSON(cmd.OutOrStdout(), all)
			}
			return printPlugins(legible{cmd.OutOrStdout()}, all, settings)
		}),
	}
	output.addTo(cmd)
	cmd.Flags().BoolVar(&settings, "settings", false, "also show the settings that each takes")
	return cmd
}

// plugins returns how the plugins of the running server are, or without one what
// the programs say of themselves.
func plugins(ctx context.Context, notes io.Writer, c config.Config) ([]fleet.Status, error) {
	all, err := askPlugins(ctx, c)
	if err == nil {
		return all, nil
	}
	if dial := (*net.OpError)(nil); !errors.As(err, &dial) || dial.Op != "dial" {
		fmt.Fprintf(notes, "fluxgate: %v: this is what there is without it\n", err)
	}
	r, err := enlist(c, prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	return r.Survey(ctx), nil
}

// askTimeout is how long the running server may take to tell of its plugins: it
// may have to read their programs.
const askTimeout = 30 * time.Second

func askPlugins(ctx context.Context, c config.Config) (all []fleet.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+reachable(admin(c.Admin))+"/plugins", nil)
	if err != nil {
		return nil, err
	}
	if token, err := os.ReadFile(tokenFile(c.Data)); err == nil { // without it the server tells less
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r) // no proxy: it is this machine
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("what listens at %s answers %s: is it a Fluxgate of this version?", c.Admin, answer.Status)
	}
	if err := json.NewDecoder(answer.Body).Decode(&all); err != nil {
		return nil, fmt.Errorf("what listens at %s cannot be understood: is it a Fluxgate of this version? %w", c.Admin, err)
	}
	return all, nil
}

// askIdle has the program of a plugin that has not been needed yet tell its
// settings.
func askIdle(ctx context.Context, s *fleet.Status) {
	if s.Protocol != 0 || !filepath.IsAbs(s.Program) {
		return
	}
	says, err := sdk.Describe(ctx, sdk.Spec{Name: s.Name, Path: s.Program, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.Trouble = err.Error()
		return
	}
	s.Version, s.Protocol, s.Settings = says.Version, says.Protocol, says.Settings
}

// printPlugins prints a table, and below it what is wrong and what settings there
// are.
func printPlugins(out io.Writer, all []fleet.Status, settings bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "kind\tname\tstate\tversion\tprotocol\tpid\tuptime\trestarts\tsha256\tprogram")
	for _, s := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n",
			cmp.Or(s.Kind, "-"), cmp.Or(s.Name, "-"), s.State, cmp.Or(s.Version, "-"), orDash(s.Protocol), orDash(s.Pid), uptime(s),
			s.Restarts, cmp.Or(s.Checksum[:min(12, len(s.Checksum))], "-"), filepath.Base(s.Program))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, s := range all {
		switch {
		case s.Trouble == "":
		case s.Name != "" && strings.Contains(s.Trouble, strconv.Quote(s.Name)):
			fmt.Fprintln(out, s.Trouble)
		default:
			fmt.Fprintf(out, "%s: %s\n", called(s), s.Trouble)
		}
	}
	if settings {
		return printSettings(out, all)
	}
	return nil
}

func orDash(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func uptime(s fleet.Status) string {
	if s.Pid == 0 {
		return "-"
	}
	return (time.Duration(s.Uptime) * time.Second).String()
}

// called returns what a plugin is called in a sentence.
func called(s fleet.Status) string {
	if s.Name == "" {
		return s.Program
	}
	return fmt.Sprintf("%s %q", s.Kind, s.Name)
}

// printSettings prints the settings of each program once.
func printSettings(out io.Writer, all []fleet.Status) error {
	seen := make(map[string]bool)
	for _, s := range all {
		if seen[s.Program] {
			continue
		}
		seen[s.Program] = true
		fmt.Fprintf(out, "\n%s\n", filepath.Base(s.Program))
		if len(s.Settings) == 0 {
			fmt.Fprintln(out, "  "+settingless(s))
			continue
		}
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "  setting\ttype\tunit\tdefault\t")
		for _, x := range s.Settings {
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\n", x.Name, x.Type, cmp.Or(x.Unit, "-"), preset(x), x.Help)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// settingless says why no settings are shown.
func settingless(s fleet.Status) string {
	switch {
	case s.Protocol == 0:
		return "has not been started, and has not told its settings"
	case s.Settings == nil:
		return "does not tell its settings"
	default:
		return "there are no settings"
	}
}

func preset(s sdk.Setting) string {
	if s.Default == nil {
		return "(must be given)"
	}
	return string(s.Default)
}
