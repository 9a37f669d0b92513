package main

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"fluxgate/core/load"
)

const benchLong = `Send fresh datapoints to a Flux, old or new, and print how it answers.

With --rate, requests are scheduled at fixed times, and each waits from its scheduled time on, whatever
delays it: a server that stalls is seen to stall. Without --rate each connection sends its next request
when it has its answer, which shows how much a server takes, and hides what senders wait for.

The names of the metrics begin with bench. and are new at each run. They end up where the server
delivers to: give a key with a prefix of its own, or a server that nobody uses.`

// A benching is what the flags of `fluxgate bench` say.
type benching struct {
	load.Config
	method, ca string
	out        format
}

func benchCommand() *cobra.Command {
	b := &benching{}
	cmd := &cobra.Command{
		Use:   "bench URL",
		Short: "Send datapoints to a Flux, and print how fast it answers",
		Long:  benchLong,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.ExactArgs(1)(cmd, args); err != nil {
				return err
			}
			return b.complete(args[0], cmd.Flags().Changed)
		},
		RunE: command(func(cmd *cobra.Command, _ []string) error { return b.run(cmd) }),
	}
	f := cmd.Flags()
	f.StringVar(&b.Key, "key", "", "API key of the datapoints")
	f.Float64Var(&b.Rate, "rate", 0, "requests a second, at fixed times; 0: as many as the connections carry")
	f.IntVar(&b.Connections, "connections", 128, "the most requests that are under way")
	f.DurationVar(&b.Duration, "duration", 10*time.Second, "how long to send; without it, --requests alone counts")
	f.IntVar(&b.Requests, "requests", 0, "how many requests to send; 0: for the whole duration")
	f.IntVar(&b.PerRequest, "metrics-per-request", 1, "datapoints in each request, all of different metrics")
	f.StringVar(&b.method, "method", "", "get or post (default get for one metric in a request, else post)")
	f.IntVar(&b.Names, "names", 10_000, "distinct metrics; each gets up to 3500 timestamps, then another takes its place")
	f.StringVar(&b.Prefix, "prefix", "", "what the names of the metrics begin with (default a new one below bench.)")
	f.DurationVar(&b.Timeout, "timeout", 10*time.Second, "how long to wait for an answer")
	f.StringVar(&b.ca, "ca", "", "PEM file with the CAs to trust of an https URL (default those of the system)")
	b.out.addTo(cmd)
	return cmd
}

// complete fills in what depends on other flags, and judges all.
func (b *benching) complete(url string, given func(flag string) bool) error {
	b.URL = url
	if b.method == "" {
		b.method = "get"
		if b.PerRequest > 1 {
			b.method = "post"
		}
	}
	b.Method = strings.ToUpper(b.method)
	if b.Requests > 0 && !given("duration") {
		b.Duration = 0
	}
	if !given("names") {
		b.Names = max(b.Names, b.Connections*b.PerRequest)
	}
	return b.Check()
}

// run sends the load and prints what came of it.
func (b *benching) run(cmd *cobra.Command) error {
	if b.ca != "" {
		pem, err := os.ReadFile(b.ca)
		if err != nil {
			return err
		}
		if b.Roots = x509.NewCertPool(); !b.Roots.AppendCertsFromPEM(pem) {
			return fmt.Errorf("--ca %s: holds no certificate in PEM", b.ca)
		}
	}
	t := newTeller(cmd.ErrOrStderr())
	t.told = time.Now()
	result, err := load.Run(cmd.Context(), b.Config, t.tellLoad)
	if err != nil {
		return err
	}
	t.end()
	print := printLoad
	if b.out.json {
		print = func(out io.Writer, r load.Result) error { return printJSON(out, r) }
	}
	if err := print(cmd.OutOrStdout(), result); err != nil {
		return err
	}
	if result.Succeeded() == 0 {
		return errors.New("no request was answered with success" + hint(result))
	}
	return nil
}

// hint says what to do about a load that came to nothing.
func hint(r load.Result) string {
	switch {
	case r.Statuses[401] > 0:
		return ": give --key one of the server's keys; the one that a Fluxgate has made is in the file key of its folder data"
	case r.Statuses[404] > 0:
		return ": give the URL below which the server has metric_data, such as http://127.0.0.1:8000/flux"
	case r.Refusal != "":
		return ": " + r.Refusal
	case r.Why != "":
		return ": " + r.Why
	}
	return ""
}

// tellLoad tells how far a load is.
func (t *teller) tellLoad(p load.Progress) {
	line := fmt.Sprintf("%v, %d requests answered", p.Elapsed.Round(time.Second), p.Answered)
	if p.Failed > 0 {
		line += fmt.Sprintf(", %d not", p.Failed)
	}
	if width := t.width(); width > 0 {
		fmt.Fprintf(t.out, "\r%s\x1b[K", fitted(fmt.Sprintf("%s %3.0f%%  %s", bar(p.Share, barWidth), 100*p.Share, line), width-1))
		return
	}
	if now := time.Now(); now.Sub(t.told) >= tellEvery {
		t.told = now
		fmt.Fprintf(t.out, "bench: %s\n", line)
	}
}

// printLoad prints what came of a load, for a person.
func printLoad(out io.Writer, r load.Result) error {
	how := fmt.Sprintf("closed loop: %d connections, each sends when it has its answer: latency hides what waits meanwhile", r.Connections)
	if r.OpenLoop {
		how = fmt.Sprintf("open loop: %v requests a second, at most %d under way: latency counts from the scheduled time", r.Rate, r.Connections)
	}
	fmt.Fprintf(legible{out}, "%s %s, metrics %s.*\n%s\n", r.Method, r.URL, r.Prefix, how)
	w := tabwriter.NewWriter(legible{out}, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "requests\t%d answered in %.1f s: %.0f/s\n", r.Requests, r.Seconds, r.RequestsPerSecond)
	fmt.Fprintf(w, "datapoints\t%d taken: %.0f/s, of %d metrics\n", r.Datapoints, r.DatapointsPerSecond, r.Names)
	fmt.Fprintf(w, "answers\t%s\n", counts(r.Statuses))
	fmt.Fprintf(w, "no answer\t%s\n", counts(r.Failures))
	l := r.Latency
	fmt.Fprintf(w, "latency\tp50 %.2f ms, p90 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, max %.2f ms\n", l.P50, l.P90, l.P99, l.P999, l.Max)
	fmt.Fprintf(w, "connections\t%d opened again\n", r.Reopened)
	if n := r.Requests; n > 0 {
		fmt.Fprintf(w, "this client\t%.1f us of processor a request\n", r.ClientCPU/float64(n)*1e6)
	}
	if r.Refusal != "" {
		fmt.Fprintf(w, "first refusal\t%s\n", r.Refusal)
	}
	if r.Why != "" {
		fmt.Fprintf(w, "first error\t%s\n", r.Why)
	}
	return w.Flush()
}

// counts prints how often there was what.
func counts[K cmp.Ordered](of map[K]int64) string {
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(of)) {
		parts = append(parts, fmt.Sprintf("%v: %d", what, of[what]))
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}
