package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"

	"fluxgate/sdk"
)

// A sink keeps one whisper file for each metric, below the folder path.
type sink struct {
	path      string
	rules     *rules
	locks     locks
	limited   bool          // there is a limit on creations
	creations *rate.Limiter // paces them
	waiting   waiting       // datapoints whose file may not be made yet
	drain     drain         // makes those files
}

// writers is how many files of a batch are written at a time. Most of what a new
// file takes is waiting for the disk, which serves several at once.
const writers = 8

// Write stores the batch, each metric in its file. Datapoints whose file may not
// be made yet it keeps safe on the disk, where they wait for it.
//
// A metric that cannot be stored keeps no other from being stored; of several
// such errors the first is returned, one that wraps [sdk.ErrInvalid] before any
// other.
func (s *sink) Write(ctx context.Context, b sdk.Batch) error {
	if len(b) == 0 {
		return nil
	}
	root, err := s.openRoot()
	if err != nil {
		return err
	}
	defer root.Close()
	r := round{sink: s, root: root, barred: s.pickUp()}
	all := bySeries(b)
	errs := make([]error, len(all), len(all)+1)
	var next atomic.Int64
	var working sync.WaitGroup
	for range min(writers, len(all)) {
		working.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(all); i = int(next.Add(1)) - 1 {
				if errs[i] = ctx.Err(); errs[i] == nil {
					errs[i] = r.write(ctx, all[i])
				} else {
					errs[i] = sdk.Unavailablef("whisper files: %w", errs[i])
				}
			}
		})
	}
	working.Wait()
	return summary(append(errs, s.keep(r.early)))
}

// A round is one batch on its way into the files.
type round struct {
	sink   *sink
	root   *os.Root
	barred error // why no file can be made

	mu    sync.Mutex
	early []filing // whose file may not be made yet
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

// Close stops making files. Datapoints that still wait for theirs are picked up
// by whoever writes to the folder next.
func (s *sink) Close() error {
	s.drain.stop()
	return s.waiting.close()
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
