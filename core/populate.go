package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"fluxgate/core/populate"
)

func populateCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "populate",
		Short: "Fill a sink with history from a remote Graphite or Prometheus",
		Long: "A job fetches the history of one metric from a remote, resamples it, and delivers it to a sink, behind live data.\n" +
			"The running server works on jobs, and goes on with them after a restart. They may fetch only from hosts that\n" +
			"populate.allow in its configuration names.",
		Example: "  fluxgate populate plan --graphite http://old.example.org --target a.b --metric a.b --from -30d\n" +
			"  fluxgate populate run --prometheus http://prom.example.org:9090 --target 'rate(requests_total[5m])' --metric site.requests",
	}
	cmd.AddCommand(
		populatePlanCommand(o), populateRunCommand(o), populateListCommand(o),
		populateShowCommand(o), populateCancelCommand(o), populateRetryCommand(o),
	)
	return cmd
}

// An order is a request for a job, as it is written on the command line.
type order struct {
	graphite, prometheus, target, metric string
	from, until, step, resampler, sink   string
}

func (r *order) addTo(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.graphite, "graphite", "", "URL of the Graphite to fetch from, without /render")
	f.StringVar(&r.prometheus, "prometheus", "", "URL of the Prometheus to fetch from, without /api")
	f.StringVar(&r.target, "target", "", "what the remote calls the metric, or an expression that gives one series")
	f.StringVar(&r.metric, "metric", "", "the metric to fill")
	f.StringVar(&r.from, "from", "", "first moment: Unix seconds, RFC 3339 (2026-01-31T00:00:00Z) or an age such as -7d (default: behind what is there, else 90 days ago)")
	f.StringVar(&r.until, "until", "", "moment to stop before, in the same forms (default: the last complete interval)")
	f.StringVar(&r.step, "step", "", "step to resample to, such as 60s (default: populate.step)")
	f.StringVar(&r.resampler, "resampler", "", "resampler to use (default: the one that is configured for the metric)")
	f.StringVar(&r.sink, "sink", "", "sink to fill (default: populate.sink)")
	for _, name := range []string{"target", "metric"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // it was added above
		}
	}
	cmd.MarkFlagsOneRequired("graphite", "prometheus")
	cmd.MarkFlagsMutuallyExclusive("graphite", "prometheus")
}

// body returns the request as it is posted.
func (r *order) body(dryRun bool) map[string]any {
	kind, remote := populate.Graphite, r.graphite
	if r.prometheus != "" {
		kind, remote = populate.Prometheus, r.prometheus
	}
	body := map[string]any{
		"source": map[string]string{"type": kind, "url": remote, "target": r.target}, "metric": r.metric, "dry_run": dryRun,
	}
	for name, value := range map[string]string{
		"from": r.from, "until": r.until, "step": r.step, "resampler": r.resampler, "sink": r.sink,
	} {
		if value != "" {
			body[name] = value
		}
	}
	return body
}

const jobsPath = "/populate/jobs"

// jobPath returns where the admin listener has a job, or an action on it.
func jobPath(id, action string) string {
	path := jobsPath + "/" + url.PathEscape(id)
	if action != "" {
		path += "/" + action
	}
	return path
}

// asking wraps what a command asks of the running server.
func (o *options) asking(do func(cmd *cobra.Command, server *console, args []string) error) func(*cobra.Command, []string) error {
	return command(func(cmd *cobra.Command, args []string) error {
		c, err := o.load()
		if err != nil {
			return err
		}
		server, err := openConsole(c)
		if err != nil {
			return err
		}
		return do(cmd, server, args)
	})
}

func populatePlanCommand(o *options) *cobra.Command {
	var (
		wanted order
		output format
	)
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Tell what a job would do, and do nothing",
		Long:  "Plan tells which windows a job would fetch, and its first points, and does nothing. The flags are those of run.",
		Args:  cobra.NoArgs,
		RunE: o.asking(func(cmd *cobra.Command, server *console, _ []string) error {
			var plan populate.Plan
			if err := server.ask(cmd.Context(), http.MethodPost, jobsPath, wanted.body(true), &plan); err != nil {
				return err
			}
			if output.json {
				return printJSON(cmd.OutOrStdout(), plan)
			}
			return printPlan(legible{cmd.OutOrStdout()}, plan)
		}),
	}
	wanted.addTo(cmd)
	output.addTo(cmd)
	return cmd
}

func populateRunCommand(o *options) *cobra.Command {
	var (
		wanted order
		output format
		detach bool
	)
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Have the running server do a job, and show how far it is",
		Long: "Run has the running server do a job, and shows how far it is until it has ended. It fails if the job does.\n" +
			"Ctrl-C ends only the showing. Without --from the job brings what is newer than what the metric has.",
		Args: cobra.NoArgs,
		RunE: o.asking(func(cmd *cobra.Command, server *console, _ []string) error {
			var job populate.Job
			if err := server.ask(cmd.Context(), http.MethodPost, jobsPath, wanted.body(false), &job); err != nil {
				return err
			}
			var err error
			if !detach {
				job, err = watch(cmd.Context(), server, job, newTeller(cmd.ErrOrStderr()))
			}
			if err != nil {
				return err
			}
			return errors.Join(output.printJob(legible{cmd.OutOrStdout()}, job), conclusion(server, job))
		}),
	}
	wanted.addTo(cmd)
	output.addTo(cmd)
	cmd.Flags().BoolVar(&detach, "detach", false, "return once the server has the job on disk")
	return cmd
}

// conclusion is an error for a job that has ended and is not done.
func conclusion(server *console, j populate.Job) error {
	switch j.State {
	case populate.Failed:
		return fmt.Errorf("job %s has failed: %s", j.ID, cmp.Or(j.Error, "see "+server.command("populate show "+j.ID)))
	case populate.Cancelled:
		return fmt.Errorf("job %s was cancelled", j.ID)
	}
	return nil
}

func populateListCommand(o *options) *cobra.Command {
	var (
		output        format
		limit         int
		state, metric string
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the jobs, the newest first",
		Args:  cobra.NoArgs,
		RunE: o.asking(func(cmd *cobra.Command, server *console, _ []string) error {
			query := url.Values{"limit": {strconv.Itoa(limit)}, "state": {state}, "metric": {metric}}
			var found []populate.Job
			if err := server.ask(cmd.Context(), http.MethodGet, jobsPath+"?"+query.Encode(), nil, &found); err != nil {
				return err
			}
			if output.json {
				return printJSON(cmd.OutOrStdout(), found)
			}
			return printJobs(legible{cmd.OutOrStdout()}, found)
		}),
	}
	output.addTo(cmd)
	cmd.Flags().IntVar(&limit, "limit", usualJobs, fmt.Sprintf("how many, up to %d", mostJobs))
	cmd.Flags().StringVar(&state, "state", "", "only those in this state: "+states())
	cmd.Flags().StringVar(&metric, "metric", "", "only those for this metric")
	return cmd
}

func populateShowCommand(o *options) *cobra.Command {
	return populateJobCommand(o, "show", "", "Show a job with each of its windows",
		"Show tells all of a job, and of each window, which is one request to the remote.", printJob)
}

func populateCancelCommand(o *options) *cobra.Command {
	return populateJobCommand(o, "cancel", "cancel", "End a job",
		"Cancel ends a job that is not finished. What it has delivered stays delivered.", printState)
}

func populateRetryCommand(o *options) *cobra.Command {
	return populateJobCommand(o, "retry", "retry", "Have a job go on at once",
		"Retry has a job that waits go on at once, and one that has failed or was cancelled try again what it lacks.", printState)
}

// populateJobCommand asks for one job, or for an action on it.
func populateJobCommand(o *options, name, action, short, long string, print printer) *cobra.Command {
	var output format
	cmd := &cobra.Command{
		Use:   name + " ID",
		Short: short,
		Long:  long,
		Args:  cobra.ExactArgs(1),
		RunE: o.asking(func(cmd *cobra.Command, server *console, args []string) error {
			job, err := fetchJob(cmd.Context(), server, args[0], action)
			if err != nil {
				return err
			}
			if output.json {
				return printJSON(cmd.OutOrStdout(), job)
			}
			return print(legible{cmd.OutOrStdout()}, job)
		}),
	}
	output.addTo(cmd)
	return cmd
}

// fetchJob returns a job of the running server, after an action on it unless that
// is "".
func fetchJob(ctx context.Context, server *console, id, action string) (job populate.Job, err error) {
	method := http.MethodGet
	if action != "" {
		method = http.MethodPost
	}
	err = server.ask(ctx, method, jobPath(id, action), nil, &job)
	return job, err
}
