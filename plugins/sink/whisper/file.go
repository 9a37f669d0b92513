package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"syscall"

	"fluxgate/sdk"
	"fluxgate/sdk/schema"
)

// maxPath is the longest path that Carbon and Graphite could open, in bytes.
const maxPath = 4095

// write stores the points of one metric, or notes that their file may not be made
// yet.
func (r *round) write(ctx context.Context, series sdk.Series) error {
	path, err := schema.Path(series.Metric)
	if err != nil {
		return err
	}
	if len(r.sink.path)+1+len(path) > maxPath {
		return sdk.Invalidf("metric %.100q...: the path of its file is longer than %d bytes", series.Metric, maxPath)
	}
	points := series.Points
	var beyond error
	for len(points) > 0 && points[len(points)-1].Timestamp > math.MaxUint32 {
		beyond = sdk.Invalidf("metric %q: timestamp %d does not fit the 32 bits of a whisper file",
			series.Metric, points[len(points)-1].Timestamp)
		points = points[:len(points)-1]
	}
	if len(points) == 0 {
		return beyond
	}
	f := filing{path, series.Metric, points}
	stored, err := r.sink.store(ctx, r.root, f, r.mayCreate)
	if err != nil {
		return fileError(path, err)
	}
	if !stored {
		r.mu.Lock()
		r.early = append(r.early, f)
		r.mu.Unlock()
	}
	return beyond
}

// mayCreate reports whether a file may be made now. Where some wait for theirs,
// others have to wait behind them.
func (r *round) mayCreate() (bool, error) {
	if r.barred != nil || !r.sink.limited {
		return r.barred == nil, r.barred
	}
	return r.sink.waiting.empty() && r.sink.creations.Allow(), nil
}

// store writes points to the file of their metric, behind those that wait for it.
// Where the file is missing it makes it, or reports false if that is not allowed.
func (s *sink) store(ctx context.Context, root *os.Root, f filing, allowed func() (bool, error)) (stored bool, err error) {
	unlock, err := s.locks.lock(ctx, f.path)
	if err != nil {
		return false, err
	}
	defer unlock()
	points, earlier := f.points, s.waiting.of(f.path)
	if len(earlier) > 0 {
		points = slices.Concat(earlier, points)
	}
	file, err := root.OpenFile(f.path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if ok, err := allowed(); !ok {
			return false, err
		}
		file, err = s.create(root, f, points)
	}
	if err == nil && file != nil {
		err = extend(ctx, file, points)
	}
	if err != nil {
		return false, err
	}
	s.waiting.settle(f.path, len(earlier))
	return true, nil
}

// extend writes points to a file that exists, and closes it.
func extend(ctx context.Context, file *os.File, points []sdk.Point) error {
	defer file.Close()
	if err := flock(ctx, file); err != nil {
		return err
	}
	h, err := readHeader(file)
	if err != nil {
		return err
	}
	return updateAll(file, h, points)
}

// fileError gives err its kind, and names the file. What the system refuses for
// now is [sdk.ErrUnavailable], such as a full disk or a missing permission; what
// the file or its place would have to change for is [sdk.ErrInvalid]. An error
// that has its kind stays as it is.
func fileError(path string, err error) error {
	if errors.Is(err, sdk.ErrUnavailable) {
		return err
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = fmt.Errorf("%s: %w", strings.TrimSuffix(p.Op, "at"), p.Err) // its path need not be one of ours
	}
	if mayPass(err) {
		return sdk.Unavailablef("whisper file %s: %w", path, err)
	}
	return sdk.Invalidf("whisper file %s: %w", path, err)
}

func mayPass(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && !slices.Contains([]syscall.Errno{
		syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP, syscall.ENAMETOOLONG, syscall.EILSEQ, syscall.EINVAL,
	}, errno)
}
