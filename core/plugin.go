package main

import "github.com/spf13/cobra"

// pluginCommand is for those who write plugins and those who run them.
func pluginCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugin",
		Short: "Write, test and look after plugins",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(
		pluginListCommand(o), pluginLockCommand(o),
		pluginNewCommand(), pluginDevCommand(o), pluginTestCommand(),
	)
	return cmd
}
