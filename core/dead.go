package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fluxgate/core/config"
	"fluxgate/core/delivery"
	"fluxgate/core/web"
)

func deadCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead",
		Short: "Datapoints that a sink has refused for ever",
		Long: "A datapoint that a sink refuses, or dies of, is put among the dead letters of that sink, with the reason.\n" +
			"They lie in the folder data, below dead, until they are delivered.",
	}
	cmd.AddCommand(deadListCommand(o), deadRetryCommand(o))
	return cmd
}

func deadListCommand(o *options) *cobra.Command {
	var output format
	cmd := &cobra.Command{
		Use:   "list [SINK]",
		Short: "Show the dead letters",
		Args:  cobra.MaximumNArgs(1),
		RunE: command(func(cmd *cobra.Command, args []string) error {
			c, err := o.load()
			if err != nil {
				return err
			}
			letters, err := delivery.DeadLetters(c.Data)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				if err := knownSink(args[0], c, letters); err != nil {
					return err
				}
				maps.DeleteFunc(letters, func(sink string, _ []delivery.Letter) bool { return sink != args[0] })
			}
			if output.json {
				return printJSON(cmd.OutOrStdout(), letters)
			}
			printLetters(cmd.OutOrStdout(), letters)
			return nil
		}),
	}
	output.addTo(cmd)
	return cmd
}

// knownSink refuses the name of a sink that is not configured and has no letters.
func knownSink(name string, c config.Config, letters map[string][]delivery.Letter) error {
	known := slices.AppendSeq(slices.Collect(maps.Keys(c.Sinks)), maps.Keys(letters))
	if slices.Contains(known, name) {
		return nil
	}
	slices.Sort(known)
	return fmt.Errorf("there is no sink %q: it is one of %s", name, strings.Join(slices.Compact(known), ", "))
}

func printLetters(out io.Writer, letters map[string][]delivery.Letter) {
	if len(letters) == 0 {
		fmt.Fprintln(out, "no dead letters")
	}
	for _, sink := range slices.Sorted(maps.Keys(letters)) {
		for _, l := range letters[sink] {
			fmt.Fprintf(out, "%s  %s  %s %v %d  %s\n", sink, l.Time.Local().Format(time.DateTime), l.Metric, l.Value, l.Timestamp, l.Reason)
		}
	}
}

func deadRetryCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "retry SINK",
		Short: "Have the running server deliver the dead letters of a sink again",
		Args:  cobra.ExactArgs(1),
		RunE: command(func(cmd *cobra.Command, args []string) error {
			c, err := o.load()
			if err != nil {
				return err
			}
			done, err := retryDead(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d delivered, %d refused again\n", done.Delivered, done.Refused)
			return nil
		}),
	}
}

// retryDead asks the server that runs with c.
func retryDead(ctx context.Context, c config.Config, sink string) (done delivery.Retried, err error) {
	server, err := openConsole(c)
	if err != nil {
		return done, err
	}
	answer, err := server.send(ctx, http.MethodPost, "/dead/"+url.PathEscape(sink)+"/retry", nil)
	if err != nil {
		return done, err
	}
	defer answer.Body.Close()
	result := web.AdminResult{Result: &done}
	if err := json.NewDecoder(answer.Body).Decode(&result); err != nil {
		return done, fmt.Errorf("the server answered %s: %w", answer.Status, err)
	}
	if result.Error != "" {
		return done, errors.New(result.Error)
	}
	return done, nil
}
