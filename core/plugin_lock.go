package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"fluxgate/core/config"
	"fluxgate/core/fleet"
)

// lockFile is the name of the file that pins programs.
const lockFile = "plugins.lock"

func pluginLockCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "lock",
		Short: "Pin the program of every configured plugin",
		Long: "Lock writes the sha256 of each configured plugin's program to " + lockFile + ", beside the configuration file, or without\n" +
			"one in the folder data. As long as that file exists, serve, check and a reload refuse every other program.\n" +
			"It has the form of sha256sum, and sha256sum -c checks it.",
		Args: cobra.NoArgs,
		RunE: command(func(cmd *cobra.Command, _ []string) error {
			c, err := o.load()
			if err != nil {
				return err
			}
			return lock(cmd.OutOrStdout(), c)
		}),
	}
}

// lock pins the programs that c names, and prints what has changed by that.
func lock(out io.Writer, c config.Config) error {
	plugins, err := enlist(c, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	next, err := plugins.Locked()
	if err != nil {
		return fmt.Errorf("nothing is pinned: %w", err)
	}
	path, err := filepath.Abs(c.Lock)
	if err != nil {
		return err
	}
	before, err := fleet.ReadLock(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(out, "%v: it is written anew\n", err)
	}
	if err := next.Write(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no folder %s yet, the data of the embedded default: give --config if another configuration is meant", filepath.Dir(path))
	} else if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	printPins(legible{out}, before, next)
	_, err = fmt.Fprintf(out, "%s pins %d programs\n", path, len(next))
	return err
}

// printPins prints what differs between two locks.
func printPins(out io.Writer, before, next fleet.Lock) {
	for _, program := range slices.Sorted(maps.Keys(next)) {
		switch old, known := before[program]; {
		case !known:
			fmt.Fprintf(out, "new      %s\n         %s\n", program, next[program])
		case old != next[program]:
			fmt.Fprintf(out, "changed  %s\n         was %s\n         is  %s\n", program, old, next[program])
		}
	}
	for _, program := range slices.Sorted(maps.Keys(before)) {
		if _, stays := next[program]; !stays {
			fmt.Fprintf(out, "gone     %s\n         was %s\n", program, before[program])
		}
	}
}
