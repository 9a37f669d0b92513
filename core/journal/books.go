package journal

import (
	"slices"
	"strings"
	"time"
)

// Books are what has become of the datapoints that were appended since a reader
// was made. They are kept with its cursor.
type Books struct {
	Reader   string
	Optional bool

	Accepted  uint64 // appended since the reader was made
	Delivered uint64
	Dead      uint64 // dead letters
	Expired   uint64 // an optional reader was moved past them for want of room
	Damaged   uint64 // they could not be read any more, or made no sense to the reader
	Waiting   uint64 // behind the cursor

	Oldest time.Time // of the record at the cursor, to the millisecond; zero: nothing waits
}

// Imbalance returns accepted datapoints less those whose fate is known. It is 0
// unless something is wrong.
func (b Books) Imbalance() int64 {
	return int64(b.Accepted - (b.Delivered + b.Dead + b.Expired + b.Damaged + b.Waiting))
}

// Saved returns the reader's cursor.
func (r *Reader) Saved() Position {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	return r.state.at
}

// Books returns those of the reader as of now.
func (r *Reader) Books() Books {
	r.log.lock()
	b, at, known := r.books()
	r.log.unlock()
	if b.Waiting == 0 || known {
		return b
	}
	b.Oldest = r.peek(at)
	return b
}

// books returns the books, the cursor, and whether Oldest is set. The caller holds
// mu.
func (r *Reader) books() (Books, Position, bool) {
	s, end := r.state, r.log.end.Number
	b := Books{
		Reader: r.name, Optional: s.optional,
		Accepted: end - s.birth, Delivered: s.delivered, Dead: s.dead,
		Expired: s.expired + r.expired, Damaged: s.damaged + r.damaged,
		Waiting: end - s.at.Number - r.expired - r.damaged,
	}
	known := r.peeked == s.at && !r.oldest.IsZero()
	if known && b.Waiting > 0 {
		b.Oldest = r.oldest
	}
	return b, s.at, known
}

// peek returns the time of the first good record from a place on, and keeps it.
func (r *Reader) peek(at Position) time.Time {
	l := r.log
	var src source
	defer src.close()
	for from := at; ; {
		l.lock()
		i := l.find(from.Segment)
		if i == len(l.segments) {
			l.unlock()
			return time.Time{}
		}
		s := l.segments[i]
		end, next := l.bounds(i)
		l.unlock()
		if s.segment != from.Segment {
			from = s.first()
		}
		f, err := src.read(l, s, span{from, end, next}, Limit{Bytes: page, Count: 1})
		if err == nil && len(f.records) > 0 {
			l.lock()
			defer l.unlock()
			if r.state.at == at {
				r.peeked, r.oldest = at, f.records[0].Time
			}
			return f.records[0].Time
		}
		from = Position{Segment: s.segment + 1}
	}
}

// Stored returns the books of every reader with a cursor on disk, open or not,
// sorted by name.
func (l *Log) Stored() []Books {
	l.lock()
	readers := make([]*Reader, 0, len(l.readers))
	for _, r := range l.readers {
		readers = append(readers, r)
	}
	l.unlock()
	slices.SortFunc(readers, func(a, b *Reader) int { return strings.Compare(a.name, b.name) })
	books := make([]Books, len(readers))
	for i, r := range readers {
		books[i] = r.Books()
	}
	return books
}
