package journal

import (
	"errors"
	"io/fs"
)

// tries is how often a place that cannot be read gives an error before what cannot
// be read counts as damaged.
const tries = 5

// A source is what a reader reads from.
type source struct {
	scanner
	failed   Position // where reading failed last
	failures int      // there, one after the other
}

// found is what was read from one segment, and the place behind it.
type found struct {
	records []Record
	damages []Damage
	end     Position
}

// read reads some records of a span of a segment: none if there is none, else at
// least one.
func (s *source) read(l *Log, from *segment, sp span, limit Limit) (found, error) {
	if err := s.open(l, from); errors.Is(err, fs.ErrNotExist) {
		return found{end: Position{from.segment, sp.from.Number, sp.end}}, nil
	} else if err != nil {
		return found{}, err
	}
	if limit.Bytes <= 0 {
		limit.Bytes = defaultBytes
	}
	f := found{}
	bytes, count := 0, 0
	s.chunk, s.fixed = int64(limit.Bytes), false
	s.patient = s.failed == sp.from && s.failures >= tries
	s.accept = func(h header, offset int64) bool {
		bytes, count = bytes+int(h.length), count+int(h.count)
		if (limit.Until != Position{}) && h.number >= limit.Until.Number {
			return false
		}
		within := bytes <= limit.Bytes && (limit.Count <= 0 || count <= limit.Count)
		return len(f.records) == 0 || within && s.has(offset, h.size())
	}
	s.visit = func(h header, data []byte, _ Position) {
		f.records = append(f.records, h.record(data))
		s.fixed = true
	}
	s.damage = func(d Damage) { f.damages = append(f.damages, d) }
	end, err := s.walk(sp)
	if err == nil {
		s.failures = 0
		f.end = end
		return f, nil
	}
	if s.failed != sp.from {
		s.failed, s.failures = sp.from, 0
	}
	s.failures++
	return found{}, err
}

// open opens the file of a segment, if it is not the one that is open.
func (s *source) open(l *Log, from *segment) error {
	if s.file != nil && s.segment == from.segment {
		return nil
	}
	s.close()
	file, err := l.Files.Open(from.name())
	if err != nil {
		return err
	}
	s.file, s.segment, s.unchecked = file, from.segment, l.unchecked
	s.window, s.from = s.window[:0], 0
	return nil
}

// close closes the file that is open. It was only read, so there is nothing to
// lose.
func (s *source) close() {
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}

// find returns the index of the first segment with a number from segment on. The
// caller holds mu.
func (l *Log) find(segment uint64) int {
	for i, s := range l.segments {
		if s.segment >= segment {
			return i
		}
	}
	return len(l.segments)
}

// bounds returns where the i-th segment ends, and the number of the first datapoint
// behind it. The caller holds mu.
func (l *Log) bounds(i int) (end int64, next uint64) {
	s := l.segments[i]
	switch {
	case s == l.active:
		return l.end.Offset, l.end.Number
	case i == len(l.segments)-1:
		return s.end, l.end.Number
	}
	return s.end, l.segments[i+1].start
}
