package journal

import (
	"errors"
	"fmt"

	"fluxgate/sdk"
)

// zeroed is how many zeros of a new segment are written and synced at once, in bytes:
// a commit meanwhile waits behind so many, and not behind a whole segment.
const zeroed = 1 << 20

// prepare makes segments until n are prepared. With must it makes room for them
// as an Append may; without, only where there is room.
func (l *Log) prepare(n int, must bool, q *request) error {
	if q != nil {
		for _, r := range q.records {
			if size := sizeOf(len(r.Data)); size > l.Segment-dataStart {
				return fmt.Errorf("%w: a record of %d bytes is larger than a segment of %d bytes: send less at once", ErrFull, size, l.Segment)
			}
		}
	}
	l.making.Lock()
	defer l.making.Unlock()
	for {
		number, err := l.claim(n, must)
		if number == 0 || err != nil {
			return err
		}
		s, err := l.makeSegment(number)
		if err := l.made(s, err); err != nil {
			return err
		}
	}
}

// claim takes the room for one of n segments. It returns the number of the segment
// to make, or 0 when there is nothing to make.
func (l *Log) claim(n int, must bool) (uint64, error) {
	l.lock()
	defer l.unlock()
	missing := int64(n - len(l.spare))
	if missing <= 0 {
		return 0, nil
	}
	if l.time().Before(l.retry) {
		return 0, l.failure
	}
	if must {
		if err := l.room(missing * l.Segment); err != nil {
			return 0, err
		}
	} else if l.used()+l.Segment > l.Budget || l.closed {
		return 0, nil
	}
	l.number++
	l.preparing += l.Segment
	return l.number, nil
}

// makeSegment makes a segment of zeros, durably.
func (l *Log) makeSegment(number uint64) (*segment, error) {
	s := &segment{head: head{segment: number}, size: l.Segment}
	file, err := l.Files.Create(s.name())
	if err != nil {
		return s, err
	}
	s.file = file
	zeros := make([]byte, min(zeroed, l.Segment))
	for at := int64(0); at < l.Segment; at += int64(len(zeros)) {
		if _, err := file.WriteAt(zeros[:min(int64(len(zeros)), l.Segment-at)], at); err != nil {
			return s, err
		}
		if err := file.Sync(); err != nil {
			return s, err
		}
	}
	return s, l.Files.Sync()
}

// made takes a prepared segment over, or what was left of it. An error is kept:
// until the next try every Append gets it at once.
func (l *Log) made(s *segment, err error) error {
	if err == nil {
		l.lock()
		defer l.unlock()
		l.preparing -= l.Segment
		l.spare = append(l.spare, s)
		return nil
	}
	if s.file != nil {
		err = errors.Join(err, s.file.Close())
	}
	err = fmt.Errorf("%w: no segment of the journal can be made: %w", sdk.ErrUnavailable, err)
	l.lock()
	l.preparing -= l.Segment
	l.doomed = append(l.doomed, s)
	l.failure, l.retry = err, l.time().Add(pause)
	l.tell(err)
	l.unlock()
	l.report(l.sweep())
	return err
}

// tidy prepares the next segment, saves cursors, and frees segments.
func (l *Log) tidy() {
	_ = l.prepare(1, false, nil) // it was reported, and whoever needs it tries again
	l.report(l.free())
	_ = l.prepare(1, false, nil) // in the room that is free now
}
