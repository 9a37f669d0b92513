package main

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"fluxgate/core/flow"
	"fluxgate/core/populate"
	"fluxgate/sdk"
)

const (
	usualJobs = 100  // that a list has unless it is asked for more or fewer
	mostJobs  = 1000 // that a list has
)

// jobStates returns the states that a job can have.
func jobStates() []populate.State {
	return []populate.State{
		populate.Queued, populate.Fetching, populate.Resampling, populate.Delivering, populate.Done, populate.Failed, populate.Cancelled,
	}
}

// hasEnded tells whether nothing more happens to a job by itself.
func hasEnded(s populate.State) bool {
	return s == populate.Done || s == populate.Failed || s == populate.Cancelled
}

// A selection is which jobs a list has.
type selection struct {
	limit  int
	state  populate.State // empty: of every
	metric string         // canonical; empty: for every
}

// readSelection reads a query: limit, state and metric, to which prefix is put as
// to the metrics of jobs.
func readSelection(query url.Values, prefix string) (s selection, err error) {
	if s.limit, err = limitOf(query.Get("limit")); err != nil {
		return s, err
	}
	s.state = populate.State(query.Get("state"))
	if s.state != "" && !slices.Contains(jobStates(), s.state) {
		return s, sdk.Invalidf("state %q: it is one of %s", s.state, states())
	}
	if metric := query.Get("metric"); metric != "" {
		if s.metric, err = flow.Canonical(metric, prefix); err != nil {
			return s, sdk.Invalidf("metric %q: %w", metric, err)
		}
	}
	return s, nil
}

// states lists the states in words.
func states() string {
	var texts []string
	for _, s := range jobStates() {
		texts = append(texts, string(s))
	}
	return strings.Join(texts, ", ")
}

// wants tells whether a job is selected.
func (s selection) wants(j populate.Job) bool {
	return (s.state == "" || j.State == s.state) && (s.metric == "" || j.Metric == s.metric)
}

// limitOf reads how many jobs a list may have.
func limitOf(text string) (int, error) {
	if text == "" {
		return usualJobs, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > mostJobs {
		return 0, sdk.Invalidf("limit %q: it is a number from 1 to %d", text, mostJobs)
	}
	return n, nil
}
