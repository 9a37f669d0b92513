// Fluxgate takes metrics over HTTP, drops what it has had already, and hands
// the rest to Graphite through plugins.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"fluxgate/sdk"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:]))
}

// run executes a command line and returns the exit code.
func run(ctx context.Context, args []string) int {
	root := rootCommand()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "fluxgate:", strings.TrimPrefix(err.Error(), sdk.ErrInvalid.Error()+": "))
	if failed := (*failure)(nil); errors.As(err, &failed) {
		return exitFailed
	}
	fmt.Fprintf(os.Stderr, "fluxgate: see %s --help\n", cmd.CommandPath())
	return exitUsage
}

// A failure is an error of a command that was called rightly.
type failure struct{ error }

func (f *failure) Unwrap() error { return f.error }

// command wraps what a command does, so that its errors are failures, and a closed
// terminal ends it as SIGTERM does.
func command(do func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return lasting(func(cmd *cobra.Command, args []string) error {
		ctx, stop := untilHangup(cmd.Context())
		defer stop()
		cmd.SetContext(ctx)
		return do(cmd, args)
	})
}

// untilHangup returns a context that SIGHUP ends, unless it is ignored, as nohup has
// it. It often comes twice, so a second one does no more.
func untilHangup(ctx context.Context) (context.Context, context.CancelFunc) {
	if signal.Ignored(syscall.SIGHUP) {
		return ctx, func() {}
	}
	return signal.NotifyContext(ctx, syscall.SIGHUP)
}

// lasting is command for what SIGHUP does not end.
func lasting(do func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := do(cmd, args); err != nil {
			return &failure{err}
		}
		return nil
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:               "fluxgate",
		Short:             "Metrics over HTTP into Graphite",
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	o := &options{}
	o.addTo(root)
	root.AddCommand(serveCommand(o), checkCommand(o), showCommand(o), journalCommand(o), deadCommand(o), populateCommand(o), pluginCommand(o), benchCommand(), versionCommand())
	for _, group := range root.Commands() {
		if !group.Runnable() { // else a mistyped command of it would pass for a wish for help
			group.Args, group.RunE = cobra.NoArgs, func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
	return root
}
