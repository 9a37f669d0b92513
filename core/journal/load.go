package journal

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// load reads what is in the folder, and repairs it. The caller holds mu.
func (l *Log) load() error {
	names, err := l.Files.Names()
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if strings.HasSuffix(name, cursorSuffix+newSuffix) || strings.HasSuffix(name, summarySuffix+newSuffix) {
			l.tell(l.remove(name))
		} else if reader, ok := strings.CutSuffix(name, cursorSuffix); ok && checkName(reader) == nil {
			err = l.loadCursor(reader)
		} else if number, ok := numberOf(name, segmentSuffix); ok {
			err = l.loadSegment(number)
		}
		if err != nil {
			return err
		}
	}
	if err := l.link(); err != nil {
		return err
	}
	known := l.known()
	l.number = max(l.number, known.Segment)
	if err := l.openEnd(known); err != nil {
		return err
	}
	for _, r := range l.readers {
		l.place(r)
	}
	l.loadSummaries(names)
	return nil
}

// loadCursor opens the cursor of a reader.
func (l *Log) loadCursor(name string) error {
	c, s, err := openCursor(l.Files, name)
	if c == nil {
		return err
	}
	r := &Reader{log: l, name: name, cursor: c, state: s, generation: c.generation}
	if c.synced {
		r.durable = s.at
	}
	if err != nil {
		l.tell(fmt.Errorf("the cursor of %s is damaged: it begins again with the oldest record", name))
		r.state.at.Offset = -1
	}
	l.readers[name] = r
	return nil
}

// loadSegment takes over the segment of a number, unless it was never used.
func (l *Log) loadSegment(number uint64) error {
	l.number = max(l.number, number)
	s := &segment{head: head{segment: number, end: -1}}
	file, err := l.Files.Open(s.name())
	if err != nil {
		return err
	}
	defer func() { l.tell(file.Close()) }()
	if s.size, err = file.Size(); err != nil {
		return err
	}
	b := make([]byte, dataStart)
	err = readAgain(file, b, 0)
	if err == nil && blank(b) {
		l.doom(s)
		return nil
	}
	h, good, err := parseHead(b, number)
	if err != nil {
		return err
	}
	if good {
		s.head = h
	} else {
		l.tell(fmt.Errorf("the header of segment %x is damaged", number))
		s.start, s.unread = l.firstNumber(file, s)
	}
	l.segments = append(l.segments, s)
	return nil
}

// doom removes the file of a segment that is no part of the log, before the log is
// in use. What cannot be removed counts against the budget and is tried again. The
// caller holds mu.
func (l *Log) doom(s *segment) {
	err := l.remove(s.name())
	if err != nil {
		l.doomed = append(l.doomed, s)
	}
	l.tell(err)
}

// readAgain reads what stands at an offset of a file, zeros behind its end. A disk
// that cannot is asked again a few times, before all of it counts as zeros.
func readAgain(f File, b []byte, offset int64) (err error) {
	for range tries {
		var n int
		if n, err = f.ReadAt(b, offset); err == nil || errors.Is(err, io.EOF) {
			clear(b[n:])
			return nil
		}
	}
	clear(b)
	return err
}

// unknown is the start of a segment of which nothing can be read.
const unknown = ^uint64(0)

// firstNumber returns the number of the first good record of a segment without a
// header, or unknown; with an error where the disk does not give it.
func (l *Log) firstNumber(file File, s *segment) (uint64, error) {
	start := uint64(unknown)
	scan := scanner{file: file, segment: s.segment, chunk: defaultBytes, patient: true, unchecked: l.unchecked,
		damage: func(Damage) {},
		accept: func(header, int64) bool { return start == unknown },
		visit:  func(h header, _ []byte, _ Position) { start = h.number },
	}
	_, _ = scan.walk(span{Position{s.segment, 0, dataStart}, s.size, unknown}) // a patient scanner never fails
	if start == unknown && scan.unread > 0 {
		return start, s.hides(dataStart, scan.reason)
	}
	return start, nil
}

// link finds out which segments follow each other and where each of them ends.
// What was given up by a commit that failed is removed. The caller holds mu.
func (l *Log) link() (err error) {
	kept := l.segments[:0:0]
	before, start := uint64(unknown), uint64(unknown)
	for _, s := range slices.Backward(l.segments) {
		first := before != unknown && s.segment > before
		if first || (s.start != unknown && s.start > start) {
			l.doom(s)
			continue
		}
		if before = unknown; s.head.end >= 0 {
			before = s.previous
		}
		start = min(start, s.start)
		kept = append(kept, s)
	}
	slices.Reverse(kept)
	l.segments = kept
	for i, s := range kept {
		s.end = s.size
		if i+1 < len(kept) && kept[i+1].head.end >= 0 && kept[i+1].previous == s.segment {
			s.end = kept[i+1].head.end
		}
		if s.start == unknown {
			s.end = dataStart
			if s.start, err = l.startOf(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// startOf returns the start of the i-th segment, of which nothing can be read.
func (l *Log) startOf(i int) (uint64, error) {
	for _, s := range l.segments[i:] {
		if s.start != unknown {
			return s.start, nil
		}
	}
	if i == 0 {
		return l.known().Number, nil
	}
	t, err := l.tail(l.segments[i-1], l.known())
	return max(t.end.Number, l.known().Number), err
}

// known returns the farthest place that was on disk once, as the cursors have it.
func (l *Log) known() Position {
	var known Position
	for _, r := range l.readers {
		for _, p := range []Position{r.state.end, r.state.at} {
			if known.Number < p.Number || known.Number == p.Number && known.Segment < p.Segment {
				known = p
			}
		}
	}
	return known
}

// place puts a reader where its cursor is, or behind what is gone.
func (l *Log) place(r *Reader) {
	s := &r.state
	oldest := l.end
	if len(l.segments) > 0 {
		oldest = l.segments[0].first()
	}
	switch {
	case s.at.Offset < 0:
		*s = state{at: oldest, birth: oldest.Number}
		r.durable = Position{}
	case s.at.Segment < oldest.Segment:
		lost := max(oldest.Number, s.at.Number) - s.at.Number
		if s.optional {
			s.expired += lost
		} else if lost > 0 {
			s.damaged += lost
			l.damaged(Damage{s.at.Segment, s.at.Offset, lost})
		}
		oldest.Number = max(oldest.Number, s.at.Number)
		s.at = oldest
	}
	r.generation++ // so that it is written soon, with the end as it is now
	s.end = l.end
	r.next = s.at
}
