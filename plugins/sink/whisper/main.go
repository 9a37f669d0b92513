// Whisper is a sink plugin that writes Graphite's whisper files itself, laid
// out as Carbon lays them out, so that no Carbon is needed.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/go-graphite/go-whisper"

	"fluxgate/sdk"
	"fluxgate/sdk/schema"
)

func main() {
	sdk.ServeSink(config{
		Retentions:   "60s:1d,10m:7d,1h:90d",
		Aggregation:  "average",
		XFilesFactor: 0.5,
	}, open)
}

// A config says where files lie and how new ones are made. A file that exists
// keeps its own archives, aggregation and xFilesFactor.
type config struct {
	Path         string  `koanf:"path"`
	Retentions   string  `koanf:"retentions"`
	Aggregation  string  `koanf:"aggregation"`
	XFilesFactor float64 `koanf:"xfilesfactor"` // share of points that must be known, 0 to 1
}

func (c config) Validate() error {
	if c.Path == "" {
		return errors.New("path is empty: set it to the folder of the whisper files")
	}
	if _, err := schema.ParseRetentions(c.Retentions); err != nil {
		return err
	}
	if _, err := parseAggregation(c.Aggregation); err != nil {
		return err
	}
	if !(c.XFilesFactor >= 0 && c.XFilesFactor <= 1) {
		return fmt.Errorf("xfilesfactor %v: must be 0 to 1", c.XFilesFactor)
	}
	return nil
}

func parseAggregation(name string) (whisper.AggregationMethod, error) {
	for _, a := range []whisper.AggregationMethod{whisper.Average, whisper.Sum, whisper.Last, whisper.Max, whisper.Min} {
		if a.String() == name {
			return a, nil
		}
	}
	return 0, fmt.Errorf("aggregation %q: must be average, sum, last, max or min", name)
}

func open(_ context.Context, c config) (sdk.Sink, error) {
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return nil, err
	}
	archives, err := schema.ParseRetentions(c.Retentions)
	if err != nil {
		return nil, sdk.Invalidf("%w", err)
	}
	aggregation, err := parseAggregation(c.Aggregation)
	if err != nil {
		return nil, sdk.Invalidf("%w", err)
	}
	return &sink{path: path, archives: archives, aggregation: aggregation, xFilesFactor: float32(c.XFilesFactor)}, nil
}

// A sink keeps one whisper file for each metric, below the folder path.
type sink struct {
	path         string
	archives     []schema.Retention
	aggregation  whisper.AggregationMethod
	xFilesFactor float32
	locks        locks
}

// writers is how many files of a batch are written at a time. Most of what a new
// file takes is waiting for the disk, which serves several at once.
const writers = 8

// Write stores the batch, each metric in its file. A metric that cannot be
// stored keeps no other from being stored; of several such errors the first is
// returned, one that wraps [sdk.ErrInvalid] before any other.
func (s *sink) Write(ctx context.Context, b sdk.Batch) error {
	if len(b) == 0 {
		return nil
	}
	root, err := s.openRoot()
	if err != nil {
		return err
	}
	defer root.Close()
	all := bySeries(b)
	errs := make([]error, len(all))
	var next atomic.Int64
	var working sync.WaitGroup
	for range min(writers, len(all)) {
		working.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(all); i = int(next.Add(1)) - 1 {
				if errs[i] = ctx.Err(); errs[i] == nil {
					errs[i] = s.writeSeries(ctx, root, all[i])
				} else {
					errs[i] = sdk.Unavailablef("whisper files: %w", errs[i])
				}
			}
		})
	}
	working.Wait()
	return summary(errs)
}

// summary returns the first error that wraps [sdk.ErrInvalid], else the first,
// and says how many there are besides.
func summary(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 0 {
		return nil
	}
	told := max(0, slices.IndexFunc(errs, func(err error) bool { return errors.Is(err, sdk.ErrInvalid) }))
	if len(errs) == 1 {
		return errs[told]
	}
	return fmt.Errorf("%w; and %d more metrics of the batch", errs[told], len(errs)-1)
}

// Check makes the root folder where it is missing, and a file in it, which it
// takes away again.
func (s *sink) Check(context.Context) error {
	root, err := s.openRoot()
	if err != nil {
		return err
	}
	defer root.Close()
	name := temporaryName()
	if err := root.WriteFile(name, []byte("check"), 0o600); err != nil {
		return sdk.Unavailablef("folder %s cannot be written: %w", s.path, err)
	}
	if err := root.Remove(name); err != nil {
		return sdk.Unavailablef("folder %s: %w", s.path, err)
	}
	return nil
}

// openRoot opens the root folder, and makes it where it is missing. It is opened
// for each batch, so that a folder put in its place meanwhile is found.
func (s *sink) openRoot() (*os.Root, error) {
	if err := os.MkdirAll(s.path, 0o755); err != nil {
		return nil, sdk.Unavailablef("%w", err)
	}
	root, err := os.OpenRoot(s.path)
	if err != nil {
		return nil, sdk.Unavailablef("%w", err)
	}
	return root, nil
}

// bySeries returns the points of each metric in ascending order of time, those
// with the same timestamp in the order of the batch.
func bySeries(b sdk.Batch) []sdk.Series {
	place := make(map[string]int, len(b))
	var all []sdk.Series
	for _, d := range b {
		i, ok := place[d.Metric]
		if !ok {
			i = len(all)
			place[d.Metric] = i
			all = append(all, sdk.Series{Metric: d.Metric})
		}
		all[i].Points = append(all[i].Points, sdk.Point{Timestamp: d.Timestamp, Value: d.Value})
	}
	for i := range all {
		slices.SortStableFunc(all[i].Points, func(a, b sdk.Point) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	}
	return all
}
