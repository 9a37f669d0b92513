package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-graphite/go-whisper"

	"fluxgate/sdk"
	"fluxgate/sdk/schema"
)

// maxPath is the longest path that Carbon and Graphite could open, in bytes.
const maxPath = 4095

// writeSeries stores the points of one metric, and makes its file where it is
// missing.
func (s *sink) writeSeries(ctx context.Context, root *os.Root, series sdk.Series) error {
	path, err := schema.Path(series.Metric)
	if err != nil {
		return err
	}
	if len(s.path)+1+len(path) > maxPath {
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
	if err := s.writeFile(ctx, root, path, points); err != nil {
		return fileError(path, err)
	}
	return beyond
}

func (s *sink) writeFile(ctx context.Context, root *os.Root, path string, points []sdk.Point) error {
	unlock, err := s.locks.lock(ctx, path)
	if err != nil {
		return err
	}
	defer unlock()
	file, err := root.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.create(root, path); err != nil {
			return err
		}
		file, err = root.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if err := flock(ctx, file); err != nil {
		return err
	}
	h, err := readHeader(file)
	if err != nil {
		return err
	}
	return update(file, h, points)
}

// create makes a metric's file, empty, if it is still missing. It gets its name
// only when it is whole and on the disk, so that no crash leaves half of one.
func (s *sink) create(root *os.Root, path string) error {
	folder := filepath.Dir(path)
	if err := root.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	dir, err := root.Open(folder)
	if err != nil {
		return err
	}
	defer dir.Close()
	name := temporaryName()
	temporary := filepath.Join(folder, name)
	defer func() { _ = root.Remove(temporary) }()
	retentions := make(whisper.Retentions, len(s.archives))
	for i, a := range s.archives {
		r := whisper.NewRetention(int(a.Step), int(a.Count))
		retentions[i] = &r
	}
	err = guarded(func() error {
		w, err := whisper.Create(filepath.Join(openPath(dir), name), retentions, s.aggregation, s.xFilesFactor)
		if err != nil {
			return err
		}
		return errors.Join(w.File().Sync(), w.Close())
	})
	if err != nil {
		return err
	}
	if err := root.Link(temporary, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// temporaryName returns a name that no metric's file or folder can have, because
// those have no dot except in .wsp.
func temporaryName() string { return fmt.Sprintf(".new-%016x", rand.Uint64()) }

// openPath returns a path that leads to an open file, wherever the file's own
// path leads by now. It is how go-whisper, which opens by path, is kept inside
// the root.
func openPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// flock takes the lock that carbon-cache takes with WHISPER_LOCK_WRITES; it is
// given back when file is closed.
func flock(ctx context.Context, file *os.File) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if err != syscall.EWOULDBLOCK && err != syscall.EINTR {
			return fmt.Errorf("lock: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("locked by another process: %w", ctx.Err())
		case <-time.After(wait):
		}
	}
}

// locks is a lock for each file that is being written. The zero value is ready.
type locks struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when the lock is given back
}

// lock waits for the lock of path. The caller gives it back with unlock.
func (l *locks) lock(ctx context.Context, path string) (unlock func(), err error) {
	for {
		l.mu.Lock()
		busy := l.held[path]
		if busy == nil {
			free := make(chan struct{})
			if l.held == nil {
				l.held = make(map[string]chan struct{})
			}
			l.held[path] = free
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				delete(l.held, path)
				l.mu.Unlock()
				close(free)
			}, nil
		}
		l.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, fmt.Errorf("being written by another batch: %w", ctx.Err())
		}
	}
}

// fileError gives err its kind, and names the file. What the system refuses for
// now is [sdk.ErrUnavailable], such as a full disk or a missing permission; what
// the file or its place would have to change for is [sdk.ErrInvalid].
func fileError(path string, err error) error {
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
