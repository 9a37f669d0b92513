package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"fluxgate/sdk"
)

const (
	// againAfter is how long a file that cannot be made lets others go first.
	againAfter = time.Minute

	// makeTimeout is how long a file may take that another process has locked.
	makeTimeout = 10 * time.Second
)

// A drain makes the files that datapoints wait for, in the background.
type drain struct {
	mu      sync.Mutex
	cancel  context.CancelFunc // nil: it has not begun
	working sync.WaitGroup
	failing atomic.Bool // the last file could not be made
}

// pickUp begins with what waits, also from a process before this one. Its error
// says why no file can be made now.
func (s *sink) pickUp() error {
	s.drain.mu.Lock()
	defer s.drain.mu.Unlock()
	if s.drain.cancel != nil {
		return nil
	}
	opened, err := s.waiting.open(s.path, s.limited)
	if err != nil {
		return sdk.Unavailablef("%w", err)
	}
	if !opened {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.drain.cancel = cancel
	for range writers {
		s.drain.working.Go(func() { s.makeFiles(ctx) })
	}
	return nil
}

// stop returns when no file is being made any more.
func (d *drain) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cancel != nil {
		d.cancel()
	}
	d.working.Wait()
}

// makeFiles makes the files that are waited for, as fast as they may be made,
// until ctx ends.
func (s *sink) makeFiles(ctx context.Context) {
	for {
		f, ok := s.waiting.next(ctx)
		if !ok {
			return
		}
		err := s.makeFile(ctx, f)
		if ctx.Err() != nil {
			return
		}
		if failed := err != nil; failed != s.drain.failing.Swap(failed) && failed {
			slog.Warn("a file cannot be made, its datapoints go on waiting", "metric", f.metric, "err", fileError(f.path, err))
		}
		if err != nil {
			time.AfterFunc(againAfter, func() { s.waiting.again(f.path) })
		}
	}
}

// makeFile puts what waits for a file into it, and makes it if it may, unless
// somebody has.
func (s *sink) makeFile(ctx context.Context, f filing) error {
	root, err := s.openRoot()
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := root.Stat(f.path); errors.Is(err, fs.ErrNotExist) {
		if err := s.creations.Wait(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	_, err = s.store(ctx, root, f, func() (bool, error) { return len(s.waiting.of(f.path)) > 0, nil })
	return err
}

// keep lets filings wait for their files.
func (s *sink) keep(early []filing) error {
	if len(early) == 0 {
		return nil
	}
	err := s.waiting.add(early)
	if full, ok := errors.AsType[fullError](err); ok {
		room := time.Duration(float64(full.files) / float64(s.creations.Limit()) * float64(time.Second))
		return sdk.Unavailablef("%d metrics of the batch have no file yet, and %w: there is room again in about %v",
			len(early), full, room.Round(time.Second))
	}
	if err != nil {
		return sdk.Unavailablef("datapoints that wait for their files: %w", err)
	}
	return nil
}
