// Whisper is a sink plugin that writes Graphite's whisper files itself, laid
// out as Carbon lays them out, so that no Carbon is needed.
package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/time/rate"

	"fluxgate/sdk"
	"fluxgate/sdk/schema"
)

func main() { sdk.ServeSink(defaults(), open) }

// defaults is what holds where nothing is configured. A path has to be.
func defaults() config {
	return config{
		Retentions:   "60s:1d,10m:7d,1h:90d",
		Aggregation:  "average",
		XFilesFactor: 0.5,
		MaxWaiting:   256 << 20,
	}
}

// A config says where files lie and how new ones are made. A file that exists
// keeps its own archives, aggregation and xFilesFactor.
type config struct {
	Path             string  `koanf:"path" required:"true" help:"root folder of the files; made when it is first written or checked"`
	Schemas          string  `koanf:"schemas" help:"Carbon's storage-schemas.conf, whose rules say what archives a new file has; empty: there are no rules"`
	Aggregations     string  `koanf:"aggregations" help:"Carbon's storage-aggregation.conf, whose rules say how a new file fills its coarser archives; empty: there are no rules"`
	Retentions       string  `koanf:"retentions" help:"archives of a new file that no rule of schemas is for: step and span with s, m, h, d, w or y"`
	Aggregation      string  `koanf:"aggregation" help:"aggregation of a new file that no rule of aggregations is for: average, sum, last, max, min, avg_zero, absmax or absmin"`
	XFilesFactor     float64 `koanf:"xfilesfactor" help:"the share of points that must be known for that, 0 to 1"`
	CreatesPerMinute int     `koanf:"creates_per_minute" unit:"files" help:"how many files are made in a minute; 0: as many as are needed"`
	MaxWaiting       int64   `koanf:"max_waiting" unit:"bytes" help:"room for datapoints whose file may not be made yet, at least 1 MiB"`
}

// minWaiting has room for a usual batch, in bytes.
const minWaiting = 1 << 20

func (c config) Validate() error {
	if c.Path == "" {
		return errors.New("path is empty: set it to the folder of the whisper files")
	}
	if _, err := c.schema(); err != nil {
		return err
	}
	if c.CreatesPerMinute < 0 {
		return fmt.Errorf("creates_per_minute %d: must be at least 1, or 0 for no limit", c.CreatesPerMinute)
	}
	if c.MaxWaiting < minWaiting {
		return fmt.Errorf("max_waiting %d: must be at least %d bytes", c.MaxWaiting, minWaiting)
	}
	return nil
}

// schema returns what a new file is made from where no rule is for it.
func (c config) schema() (s schema.Schema, err error) {
	if s.Retentions, err = schema.ParseRetentions(c.Retentions); err != nil {
		return s, err
	}
	if s.Aggregation, err = schema.ParseAggregation(c.Aggregation); err != nil {
		return s, err
	}
	if !(c.XFilesFactor >= 0 && c.XFilesFactor <= 1) {
		return s, fmt.Errorf("xfilesfactor %v: must be 0 to 1", c.XFilesFactor)
	}
	s.XFilesFactor = c.XFilesFactor
	return s, nil
}

// open reads the files of rules, and nothing of the tree.
func open(_ context.Context, c config) (sdk.Sink, error) {
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return nil, err
	}
	otherwise, err := c.schema()
	if err != nil {
		return nil, sdk.Invalidf("%w", err)
	}
	s := &sink{path: path, limited: c.CreatesPerMinute > 0, creations: rate.NewLimiter(rate.Inf, 0)}
	if s.limited { // as Carbon counts: what was not used of a minute is left for the next
		s.creations = rate.NewLimiter(rate.Limit(c.CreatesPerMinute)/60, c.CreatesPerMinute)
	}
	s.waiting.most = c.MaxWaiting
	if s.rules, err = newRules(c.Schemas, c.Aggregations, otherwise); err != nil {
		return nil, err
	}
	return s, nil
}
