package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"fluxgate/sdk"
)

// used returns the bytes that count against the budget. The caller holds mu.
func (l *Log) used() int64 {
	bytes := l.preparing + l.charged
	for _, list := range [][]*segment{l.segments, l.spare, l.doomed} {
		for _, s := range list {
			bytes += s.size
		}
	}
	return bytes
}

// passed returns how many segments, the oldest first, are of no use to any reader
// that counts. The newest one is not among them. The caller holds mu.
func (l *Log) passed(counts func(*Reader) bool) int {
	n := 0
	for ; n < len(l.segments)-1; n++ {
		for _, r := range l.readers {
			if counts(r) && r.hold().Number < l.segments[n+1].start {
				return n
			}
		}
	}
	return n
}

func everyone(*Reader) bool   { return true }
func required(r *Reader) bool { return !r.state.optional }

// room makes room for so many bytes in new segments: it removes segments that
// every reader is past, and then moves optional readers on, or returns [ErrFull]
// and changes nothing. The caller holds mu.
func (l *Log) room(bytes int64) error {
	used := l.used()
	for _, s := range append(l.segments[:l.passed(required):l.passed(required)], l.doomed...) {
		used -= s.size
	}
	if used+bytes > l.Budget {
		return l.full(bytes)
	}
	for l.used()+bytes > l.Budget {
		if err := l.shed(); err != nil {
			return fmt.Errorf("%w: a segment that nobody needs cannot be removed: %w", sdk.ErrUnavailable, err)
		}
	}
	return nil
}

// full returns the error that names the budget and the remedy. The caller holds mu.
func (l *Log) full(bytes int64) error {
	if most := l.Budget - l.charged; bytes > most {
		return fmt.Errorf("%w: %d bytes of segments are needed at once, more than the budget of %d bytes (%d of them taken by dead letters) ever has: raise the budget, or send less at once", ErrFull, bytes, l.Budget, l.charged)
	}
	slowest := l.slowest()
	return fmt.Errorf("%w: its budget of %d bytes is taken by what %s has not had yet: it takes more when that goes on, or with a larger budget", ErrFull, l.Budget, slowest)
}

// slowest returns the name of the required reader that is farthest behind. The
// caller holds mu.
func (l *Log) slowest() string {
	name, at := "dead letters, or nobody,", l.end
	for _, r := range l.readers {
		if required(r) && r.hold().Before(at) {
			name, at = r.name, r.hold()
		}
	}
	return name
}

// shed frees one segment, moving optional readers on if it must. The caller holds
// mu.
func (l *Log) shed() error {
	if n := len(l.doomed); n > 0 {
		l.sweep()
		if len(l.doomed) < n {
			return nil
		}
	}
	if len(l.segments) < 2 || l.passed(required) == 0 {
		return l.full(l.Segment)
	}
	next := l.segments[1].first()
	for _, r := range l.readers {
		r.leave(next)
	}
	return l.removeOldest()
}

// removeOldest removes the oldest segment, once the cursors that are past it are
// on disk. The caller holds mu.
func (l *Log) removeOldest() error {
	next := l.segments[1].start
	for _, r := range l.readers {
		if r.durable.Number < next && r.state.at.Number >= next {
			if err := r.sync(); err != nil {
				return err
			}
		}
	}
	oldest := l.segments[0]
	l.segments = slices.Clone(l.segments[1:])
	return l.doom(oldest)
}

// reclaim removes the segments that every reader is past. The caller holds mu.
func (l *Log) reclaim() {
	l.sweep()
	for l.passed(everyone) > 0 {
		if err := l.removeOldest(); err != nil {
			l.tell(fmt.Errorf("a segment that nobody needs cannot be removed: %w", err))
			return
		}
	}
}

// doom removes the file of a segment that is no part of the log. What cannot be
// removed counts against the budget and is tried again. The caller holds mu.
func (l *Log) doom(s *segment) error {
	err := l.remove(s.name())
	if err != nil {
		l.doomed = append(l.doomed, s)
		return err
	}
	return l.remove(numbered(s.segment, summarySuffix))
}

// sweep tries once more to remove what is doomed. The caller holds mu.
func (l *Log) sweep() {
	doomed := l.doomed
	l.doomed = nil
	for _, s := range doomed {
		l.tell(l.doom(s))
	}
}

// remove removes a file that may be missing.
func (l *Log) remove(name string) error {
	if err := l.Files.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
