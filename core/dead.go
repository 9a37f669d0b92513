package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
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
	token, err := os.ReadFile(tokenFile(c.Data))
	if err != nil {
		return done, fmt.Errorf("the token of the running server: %w: is it running with this configuration?", err)
	}
	address := "http://" + reachable(admin(c.Admin)) + "/dead/" + url.PathEscape(sink) + "/retry"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, nil)
	if err != nil {
		return done, err
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	client := &http.Client{Transport: &http.Transport{}} // no proxy: the token is for this machine
	answer, err := client.Do(r)
	if err != nil {
		return done, fmt.Errorf("the running server: %w: is it running with this configuration?", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusUnauthorized {
		return done, fmt.Errorf("the server at %s does not take the token in %s: is it running with this configuration?", c.Admin, tokenFile(c.Data))
	}
	result := web.AdminResult{Result: &done}
	if err := json.NewDecoder(answer.Body).Decode(&result); err != nil {
		return done, fmt.Errorf("the server answered %s: %w", answer.Status, err)
	}
	if result.Error != "" {
		return done, errors.New(result.Error)
	}
	return done, nil
}

// admin is the address of the admin listener.
type admin string

func (admin) Network() string  { return "tcp" }
func (a admin) String() string { return string(a) }

var _ net.Addr = admin("")
