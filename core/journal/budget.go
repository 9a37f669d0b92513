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
			bytes += s.taken()
		}
	}
	return bytes
}

// passed returns how many segments, the oldest first, no reader keeps. The newest
// one is not among them. The caller holds mu.
func (l *Log) passed(keeps func(r *Reader, next uint64) bool) int {
	n := 0
	for ; n < len(l.segments)-1; n++ {
		for _, r := range l.readers {
			if keeps(r, l.segments[n+1].start) {
				return n
			}
		}
	}
	return n
}

// These say whether a reader keeps the segments before the one that starts at
// next: because it reads them, because it must not be moved on, or also because
// the cursor on disk is not past them yet. The caller holds mu.
func reads(r *Reader, next uint64) bool    { return r.hold().Number < next }
func requires(r *Reader, next uint64) bool { return !r.state.optional && reads(r, next) }
func unsaved(r *Reader, next uint64) bool {
	return reads(r, next) || r.durable.Number < next && r.state.at.Number >= next
}

// room makes room for so many bytes in new segments: it removes segments that
// every reader is past, then summaries, and then moves optional readers on, or
// returns [ErrFull] and changes nothing. The caller is the commit under way and
// holds making, and mu, which is free while the disk is at work.
func (l *Log) room(bytes int64) error {
	for l.used()+bytes > l.Budget {
		used := l.used()
		for _, s := range slices.Concat(l.segments[:l.passed(requires)], l.doomed) {
			used -= s.taken()
		}
		for _, s := range l.segments[l.passed(requires):] {
			used -= s.summed
		}
		if used+bytes > l.Budget {
			return l.full(bytes)
		}
		if err := l.shed(); err != nil {
			return fmt.Errorf("%w: a segment or summary that nobody needs cannot be removed: %w", sdk.ErrUnavailable, err)
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
		if !r.state.optional && r.hold().Before(at) {
			name, at = r.name, r.hold()
		}
	}
	return name
}

// shed frees at least one segment or summary, moving optional readers on if it
// must, or returns an error; or neither, if a reader was just then saved past the
// segment. The caller holds mu, which is free while the disk is at work.
func (l *Log) shed() error {
	before := len(l.segments) + len(l.doomed)
	err := l.freeOutside()
	if len(l.segments)+len(l.doomed) < before {
		return nil
	}
	if forgot, failed := l.forget(); forgot {
		return failed
	}
	if l.passed(requires) == 0 {
		return err
	}
	next := l.segments[1].first()
	for _, r := range l.readers {
		r.leave(next)
	}
	err = l.freeOutside()
	if len(l.segments)+len(l.doomed) < before {
		return nil
	}
	return err
}

// forget removes the oldest summary, and says whether there is one. The caller holds
// mu, which is free while the disk is at work.
func (l *Log) forget() (bool, error) {
	i := slices.IndexFunc(l.segments, func(s *segment) bool { return s.summed > 0 })
	if i < 0 {
		return false, nil
	}
	s := l.segments[i]
	size := s.summed
	s.summary, s.summed = given, 0
	l.preparing += size
	l.unlock()
	err := l.remove(numbered(s.segment, summarySuffix))
	l.lock()
	l.preparing -= size
	if err != nil {
		s.summary, s.summed = present, size
	}
	return true, err
}

// freeOutside frees what nobody needs while mu is free. The caller holds mu.
func (l *Log) freeOutside() error {
	l.unlock()
	defer l.lock()
	return l.free()
}

// free makes the cursors durable and removes the segments that every reader is
// past, keeping no one waiting meanwhile.
func (l *Log) free() error {
	err := l.saveCursors()
	l.reclaim()
	return errors.Join(err, l.sweep())
}

// reclaim dooms the segments that every reader is past, with its cursor on disk.
func (l *Log) reclaim() {
	l.lock()
	defer l.unlock()
	n := l.passed(unsaved)
	if n == 0 {
		return
	}
	l.doomed = append(l.doomed, l.segments[:n]...)
	l.segments = slices.Clone(l.segments[n:])
}

// sweep removes the files of the segments that are doomed, and their summaries, which
// count against the budget until then. What cannot be removed is tried again with the
// next sweep.
func (l *Log) sweep() error {
	l.lock()
	doomed := slices.Clone(l.doomed)
	l.unlock()
	var errs []error
	for _, s := range doomed {
		if err := errors.Join(l.remove(numbered(s.segment, summarySuffix)), l.remove(s.name())); err != nil {
			errs = append(errs, err)
			continue
		}
		l.lock()
		l.doomed = slices.DeleteFunc(l.doomed, func(d *segment) bool { return d == s })
		l.unlock()
	}
	return errors.Join(errs...)
}

// remove removes a file that may be missing.
func (l *Log) remove(name string) error {
	if err := l.Files.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
