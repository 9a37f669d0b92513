package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"fluxgate/sdk"
	"fluxgate/sdk/plugintest"
)

// A trial is what the command plugin test is told.
type trial struct {
	kind, settings, stored, cases string
	tally, verbose                bool
	output                        format
}

func pluginTestCommand() *cobra.Command {
	var t trial
	cmd := &cobra.Command{
		Use:   "test PROGRAM",
		Short: "Hold a plugin in whatever language to the contract of its kind",
		Long: "Test starts the program as Fluxgate does, and tells of each sentence of the contract whether\n" +
			"the plugin keeps to it. It is green only when every sentence was judged: a sink needs --stored,\n" +
			"an input --cases. The text {dir} in a setting stands for a folder that is removed at the end.",
		Args: cobra.ExactArgs(1),
		RunE: command(func(cmd *cobra.Command, args []string) error {
			return t.run(cmd.Context(), args[0], cmd.OutOrStdout())
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&t.kind, "kind", "", "sink, input or resampler; by default what the program says of itself")
	flags.StringVar(&t.settings, "settings", "", "YAML file with the plugin's settings")
	flags.StringVar(&t.stored, "stored", "", "shell command that prints all that a sink has stored, as lines \"metric value timestamp\"; the folder {dir} is $DIR")
	flags.StringVar(&t.cases, "cases", "", "folder of an input's requests: CASE/request.http and CASE/submission.json")
	flags.BoolVar(&t.tally, "tally", false, "a resampler's values are of another kind than the points', such as their number")
	flags.BoolVar(&t.verbose, "verbose", false, "show what the plugin logs")
	t.output.addTo(cmd)
	return cmd
}

func (t trial) run(ctx context.Context, path string, out io.Writer) error {
	folder, err := os.MkdirTemp("", "fluxgate-kit-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	p, err := t.program(ctx, path, folder)
	if err != nil {
		return err
	}
	var results []plugintest.Result
	err = p.Test(ctx, func(r plugintest.Result) {
		results = append(results, r)
		if !t.output.json {
			printResult(out, r)
		}
	})
	if t.output.json {
		return errors.Join(printJSON(out, resultsOf(p.Kind, results)), err)
	}
	if err == nil {
		fmt.Fprintf(out, "%s keeps to the contract of every %s\n", path, p.Kind)
	}
	return err
}

// program returns what is tested. Its path is absolute: the plugin is started in
// the folder where this program runs.
func (t trial) program(ctx context.Context, path, folder string) (p plugintest.Program, err error) {
	log := slog.New(slog.DiscardHandler)
	if t.verbose {
		log = slog.Default().With("plugin", filepath.Base(path))
	}
	p = plugintest.Program{Kind: t.kind, Cases: t.cases, Tally: t.tally, Log: log}
	if p.Path, err = filepath.Abs(path); err != nil {
		return p, err
	}
	if p.Settings, err = readSettings(t.settings, folder); err != nil {
		return p, err
	}
	if t.stored != "" {
		p.Stored = func() (sdk.Batch, error) { return readBack(ctx, t.stored, folder) }
	}
	if p.Kind != "" {
		return p, nil
	}
	description, err := sdk.Describe(ctx, sdk.Spec{Name: filepath.Base(path), Path: p.Path, Log: log})
	if err == nil && description.Kind == "" {
		err = fmt.Errorf("%s does not say of which kind it is: give it as --kind", path)
	}
	p.Kind = description.Kind
	return p, err
}

// readSettings reads a file of settings; none is an empty one.
func readSettings(file, folder string) (settings map[string]any, err error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if err := yaml.Unmarshal(bytes.ReplaceAll(text, []byte("{dir}"), []byte(folder)), &settings); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return settings, nil
}

// readBack runs the command that prints what is stored.
func readBack(ctx context.Context, command, folder string) (sdk.Batch, error) {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Env = append(os.Environ(), "DIR="+folder)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	lines, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %.500s", command, err, complaint.String())
	}
	return plugintest.Lines(string(lines)), nil
}

// verdictOn returns the word for a result.
func verdictOn(r plugintest.Result) string {
	switch {
	case r.Err == nil:
		return "ok"
	case errors.Is(r.Err, plugintest.ErrNotJudged):
		return "not judged"
	default:
		return "BROKEN"
	}
}

func printResult(out io.Writer, r plugintest.Result) {
	fmt.Fprintf(out, "%-10s  %5.2fs  %s\n", verdictOn(r), r.Took.Seconds(), r.Sentence)
	if r.Err != nil {
		fmt.Fprintf(legible{out}, "            %s\n", strings.ReplaceAll(r.Err.Error(), "\n", "\n            "))
	}
}

// A kitResult is a result as a program reads it.
type kitResult struct {
	Sentence string  `json:"sentence"`
	Verdict  string  `json:"verdict"` // ok, not judged or BROKEN
	Error    string  `json:"error,omitempty"`
	Seconds  float64 `json:"seconds"`
}

func resultsOf(kind string, results []plugintest.Result) any {
	all := make([]kitResult, len(results))
	for i, r := range results {
		all[i] = kitResult{r.Sentence, verdictOn(r), "", r.Took.Round(time.Millisecond).Seconds()}
		if r.Err != nil {
			all[i].Error = r.Err.Error()
		}
	}
	return struct {
		Kind      string      `json:"kind"`
		Sentences []kitResult `json:"sentences"`
	}{kind, all}
}
