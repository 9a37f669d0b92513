package populate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fluxgate/core/populate/remote"
	"fluxgate/sdk"
)

const (
	planPoints  = 10               // of the remote, that a plan shows
	planTimeout = 20 * time.Second // for the questions that a plan asks
)

// A Plan is what a job would do, and how the remote's newest window begins.
type Plan struct {
	Metric    string      `json:"metric"`
	Step      int64       `json:"step"` // seconds
	Resampler string      `json:"resampler"`
	Sink      string      `json:"sink"`
	Last      int64       `json:"last,omitempty"` // newest timestamp that is there already; 0: none
	From      int64       `json:"from"`           // Unix seconds of the first interval that is wanted
	Cut       int64       `json:"cut"`            // Unix seconds where the last one ends
	Archives  string      `json:"archives"`       // of the target; empty: unknown
	Windows   []Window    `json:"windows"`
	Points    []sdk.Point `json:"points"`
	Warnings  []string    `json:"warnings,omitempty"`
}

// Plan tells what a job for r would do, and keeps nothing. It asks the ledger, the
// own Graphite, and the remote for its newest window. The errors are those of
// Submit.
func (p *Populate) Plan(ctx context.Context, r Request, by Asker) (*Plan, error) {
	ctx, cancel := context.WithTimeout(ctx, planTimeout)
	defer cancel()
	s, err := p.judge(r, by)
	if err != nil {
		return nil, err
	}
	terms := p.terms.Load()
	b, err := p.look(ctx, terms, s.Request)
	if err != nil {
		return nil, err
	}
	plan := &Plan{
		Metric: s.Metric, Step: s.Request.Step, Resampler: s.Request.Resampler, Sink: s.Request.Sink,
		Last: b.last, From: b.from, Cut: b.cut, Windows: b.windows, Points: []sdk.Point{}, Warnings: b.warnings,
	}
	if known, ok := terms.Schema(s.Request.Sink, s.Metric); ok {
		plan.Archives = fmt.Sprint(known)
	}
	if len(b.windows) == 0 {
		plan.Warnings = append(plan.Warnings, "there is nothing to fetch: the target has all of it already")
		return plan, nil
	}
	return plan, plan.peek(ctx, terms.Remote, s, b)
}

// peek takes the first wanted points of the newest window.
func (plan *Plan) peek(ctx context.Context, client *remote.Client, s saved, b start) error {
	w := b.windows[0]
	answer, err := client.Fetch(ctx, s.query(w.URL), func(sample remote.Sample) error {
		sample.Timestamp -= w.Shift
		if !sample.Null && sample.Timestamp >= b.from && sample.Timestamp < b.cut && len(plan.Points) < planPoints {
			plan.Points = append(plan.Points, sdk.Point{Timestamp: sample.Timestamp, Value: sample.Value})
		}
		if len(plan.Points) == planPoints && s.Request.Form == Vista {
			return errEnough // of the plain form the names of all series count
		}
		return nil
	})
	plan.Warnings = append(plan.Warnings, told(answer, s.Request.Form)...)
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}
