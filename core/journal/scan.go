package journal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A Damage is a place of a segment where datapoints cannot be read any more.
type Damage struct {
	Segment uint64
	Offset  int64
	Count   uint64 // of datapoints
}

func (d Damage) Error() string {
	return fmt.Sprintf("%d datapoints are damaged in segment %x from byte %d on: they are passed over and counted", d.Count, d.Segment, d.Offset)
}

// page is the least that is given up where a disk cannot be read. In bytes.
const page = 4096

// A scanner reads the records of one segment. Its window of bytes is good until it
// is moved.
type scanner struct {
	file      File
	segment   uint64
	chunk     int64 // bytes of the window
	unchecked bool  // sums are believed
	patient   bool  // what cannot be read counts as zeros
	fixed     bool  // the window is in use: walk ends where it ends

	accept func(h header, offset int64) bool         // whether to read on; nil: always
	visit  func(h header, data []byte, end Position) // of each good record
	damage func(Damage)

	window []byte
	from   int64 // where the window begins
	end    int64 // of what is read: behind it another may be writing
	dirty  bool  // what follows the last good record is not all zeros
	unread int64 // behind the last page that counts as zeros; 0: none does
	reason error // why that one cannot be read
}

// a span is the part of a segment that walk goes through, and the number of the
// first datapoint behind it.
type span struct {
	from Position
	end  int64
	next uint64
}

// walk visits the good records of a span in order and returns the place behind
// the last one, or where accept stopped it. Records that lie before or behind the
// span by number are none of it.
func (s *scanner) walk(sp span) (Position, error) {
	at := sp.from
	at.Segment, at.Offset = s.segment, max(aligned(at.Offset), dataStart)
	s.end = sp.end
	gap := int64(-1)
	for offset := at.Offset; offset < sp.end; {
		if s.fixed && !s.has(offset, min(recordSize, sp.end-offset)) {
			return at, nil
		}
		h, good, err := s.header(offset, sp.end)
		switch {
		case err != nil:
			return at, err
		case !good:
			if gap < 0 {
				gap = offset
			}
			offset += align
			continue
		case h.number < at.Number || h.end() > sp.next:
			offset += h.size()
			continue
		}
		if h.number > at.Number {
			s.damage(Damage{s.segment, max(gap, at.Offset), h.number - at.Number})
		}
		at, gap = Position{s.segment, h.number, offset}, -1
		if s.accept != nil && !s.accept(h, offset) {
			return at, nil
		}
		if at, err = s.record(h, at); err != nil {
			return at, err
		}
		offset = at.Offset
	}
	at.Offset = max(at.Offset, sp.end)
	return at, nil
}

// record visits the record of h at a place, and returns the place behind it.
func (s *scanner) record(h header, at Position) (Position, error) {
	data, err := s.bytes(at.Offset+recordSize, int64(h.length))
	if err != nil {
		return at, err
	}
	end := Position{s.segment, h.end(), at.Offset + h.size()}
	if s.unchecked || crc32.Checksum(data, castagnoli) == h.sum {
		s.dirty = false
		s.visit(h, data, end)
	} else {
		s.dirty = true
		s.damage(Damage{s.segment, at.Offset, uint64(h.count)})
	}
	return end, nil
}

// header returns that of the record at offset, if there is a good one and the
// record ends before end.
func (s *scanner) header(offset, end int64) (header, bool, error) {
	if offset+recordSize > end {
		return header{}, false, nil
	}
	b, err := s.bytes(offset, recordSize)
	if err != nil {
		return header{}, false, err
	}
	s.dirty = s.dirty || !blank(b[:align])
	h, good := parseHeader(b, s.segment, offset, s.unchecked)
	return h, good && offset+h.size() <= end, nil
}

// has says whether n bytes from offset on are in the window.
func (s *scanner) has(offset, n int64) bool {
	return offset >= s.from && offset+n <= s.from+int64(len(s.window))
}

// bytes returns n bytes from offset on, zeros behind the end of the file. They are
// good until the next call.
func (s *scanner) bytes(offset, n int64) ([]byte, error) {
	if !s.has(offset, n) {
		if err := s.move(offset, max(n, min(s.chunk, s.end-offset))); err != nil {
			return nil, err
		}
	}
	return s.window[offset-s.from:][:n:n], nil
}

// move fills the window with n bytes from offset on.
func (s *scanner) move(offset, n int64) error {
	if int64(cap(s.window)) < n {
		s.window = make([]byte, n)
	}
	s.window, s.from = s.window[:n], offset
	read, err := s.file.ReadAt(s.window, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		if !s.patient {
			s.window = s.window[:0]
			return err
		}
		read = s.piecewise(offset)
	}
	clear(s.window[read:])
	return nil
}

// piecewise fills the window page by page, with zeros for a page that cannot be
// read, which is noted, and returns how far it came.
func (s *scanner) piecewise(offset int64) int {
	for at := 0; at < len(s.window); at += page {
		piece := s.window[at:min(at+page, len(s.window))]
		from := offset + int64(at)
		if err := readAgain(s.file, piece, from); err != nil {
			s.unread, s.reason = from+int64(len(piece)), fmt.Errorf("at byte %d: %w", from, err)
		}
	}
	return len(s.window)
}
