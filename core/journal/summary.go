package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"slices"
)

// A summary file is a header, little endian, and the bytes of the summary:
//
//	magic    8 bytes
//	segment  uint64
//	end      uint64  where the records of the segment end
//	length   uint64
//	sum      uint32  CRC32C of the fields above and the summary
const (
	summaryMagic = "fluxsum1"
	summarySize  = 36
)

// A summary says what is known of a sealed segment's.
type summary int

const (
	missing summary = iota
	present         // perhaps damaged
	given           // up: it could not be made, or there was no room
)

// summarize makes the summaries of the sealed segments that have none and that
// some reader is not past.
func (l *Log) summarize() {
	if l.Summarize == nil {
		return
	}
	for s := l.unsummarized(); s != nil; s = l.unsummarized() {
		b, err := l.makeSummary(s)
		size := int64(len(b))
		if err == nil && !l.reserve(size) {
			size, err = 0, fmt.Errorf("the budget has no room for %d bytes", size)
		}
		if err == nil {
			err = l.install(numbered(s.segment, summarySuffix), b)
		}
		l.summarized(s, size, err)
	}
}

// reserve takes the room for a summary, if there is some.
func (l *Log) reserve(bytes int64) bool {
	l.lock()
	defer l.unlock()
	if l.used()+bytes > l.Budget {
		return false
	}
	l.preparing += bytes
	return true
}

// summarized keeps what became of a summary, for which room was reserved. That of a
// segment that is gone meanwhile is removed.
func (l *Log) summarized(s *segment, size int64, err error) {
	l.lock()
	defer l.unlock()
	s.summary = present
	if err != nil {
		s.summary = given
	}
	i := l.find(s.segment)
	switch {
	case i == len(l.segments) || l.segments[i] != s:
		l.unlock()
		l.report(l.remove(numbered(s.segment, summarySuffix)))
		l.lock()
	case err != nil:
		l.tell(fmt.Errorf("segment %x is not summed up, which only costs time at the next start: %w", s.segment, err))
	default:
		s.summed = size
	}
	l.preparing -= size
}

// unsummarized returns the oldest segment that needs a summary. The newest of those
// that are sealed needs none: readers that keep up will soon be past it.
func (l *Log) unsummarized() *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	for i := l.passed(reads); i < len(l.segments)-2; i++ {
		if s := l.segments[i]; s.summary == missing {
			return s
		}
	}
	return nil
}

// makeSummary returns the bytes of the file of a segment's summary.
func (l *Log) makeSummary(s *segment) ([]byte, error) {
	file, err := l.Files.Open(s.name())
	if err != nil {
		return nil, err
	}
	b := append(make([]byte, 0, summarySize), summaryMagic...)
	b = binary.LittleEndian.AppendUint64(b, s.segment)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.end))
	scan := &scanner{file: file, segment: s.segment, chunk: defaultBytes, unchecked: l.unchecked}
	bytes := l.Summarize(func(yield func(Record) bool) { err = scan.each(s.whole(), yield) })
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(len(bytes)))
	sum := crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, bytes)
	return append(binary.LittleEndian.AppendUint32(b, sum), bytes...), nil
}

// whole returns the span of all records of a sealed segment.
func (s *segment) whole() span { return span{s.first(), s.end, unknown} }

// install writes a file whole and durably, or not at all.
func (l *Log) install(name string, b []byte) error {
	file, err := l.Files.Create(name + newSuffix)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(b, 0)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = l.Files.Rename(name+newSuffix, name)
	}
	if err != nil {
		return errors.Join(err, l.remove(name+newSuffix))
	}
	return nil
}

// readSummary returns the summary of a segment, if there is a good one.
func (l *Log) readSummary(s *segment) ([]byte, bool) {
	file, err := l.Files.Open(numbered(s.segment, summarySuffix))
	if err != nil {
		return nil, false
	}
	defer func() { _ = file.Close() }() // it was only read
	size, err := file.Size()
	if err != nil || size < summarySize || size > 2*maxSegment {
		return nil, false
	}
	b := make([]byte, size)
	if _, err := file.ReadAt(b, 0); err != nil {
		return nil, false
	}
	v := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	head, bytes := b[:summarySize-4], b[summarySize:]
	sum := crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, bytes)
	good := string(b[:8]) == summaryMagic && v(8) == s.segment && v(16) == uint64(s.end) &&
		v(24) == uint64(len(bytes)) && binary.LittleEndian.Uint32(b[summarySize-4:]) == sum
	return bytes, good
}

// loadSummaries finds the summaries that exist, and removes those of segments that
// do not.
func (l *Log) loadSummaries(names []string) {
	for _, name := range names {
		number, ok := numberOf(name, summarySuffix)
		if !ok {
			continue
		}
		if i := l.find(number); i < len(l.segments) && l.segments[i].segment == number {
			l.segments[i].summary, l.segments[i].summed = present, l.bytesOf(name)
		} else {
			l.tell(l.remove(name))
		}
	}
}

// bytesOf returns the size of a file, or 0 where the disk does not tell it. The caller
// holds mu.
func (l *Log) bytesOf(name string) int64 {
	file, err := l.Files.Open(name)
	if err != nil {
		l.tell(err)
		return 0
	}
	size, err := file.Size()
	l.tell(errors.Join(err, file.Close()))
	return size
}

// Replay passes everything from a position to the end as of the call, in order: a
// segment that lies behind it as a whole as its summary, if there is a good one,
// else record by record, and so always the first and the newest segment. What is
// damaged or removed meanwhile is left out. The data is good until the function
// returns. It ends with the first error.
func (l *Log) Replay(from Position, summarized func([]byte) error, record func(Record) error) error {
	l.mu.Lock()
	segments, end := slices.Clone(l.segments), l.end
	spans := make([]span, len(segments))
	for i := range segments {
		spans[i].from = segments[i].first()
		spans[i].end, spans[i].next = l.bounds(i)
	}
	l.mu.Unlock()
	first := true
	for i, s := range segments {
		sp := spans[i]
		if s.segment < from.Segment || sp.next <= from.Number {
			continue
		}
		if s.segment == from.Segment {
			sp.from = from
		} else if !first && i < len(segments)-1 && sp.from.Number >= from.Number && end.Segment != s.segment {
			if b, good := l.readSummary(s); good {
				if err := summarized(b); err != nil {
					return err
				}
				continue
			}
			l.again(s)
		}
		first = false
		sp.from.Number = max(sp.from.Number, from.Number)
		if err := l.replay(s, sp, record); err != nil {
			return err
		}
	}
	return nil
}

// again has the summary of a segment made again that is missing or damaged.
func (l *Log) again(s *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.summary == present {
		s.summary = missing
		wake(l.sealed)
	}
}

// replay passes the records of a span of a segment.
func (l *Log) replay(s *segment, sp span, record func(Record) error) (err error) {
	file, err := l.Files.Open(s.name())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	var failed error
	scan := &scanner{file: file, segment: s.segment, chunk: defaultBytes, unchecked: l.unchecked, patient: true}
	err = scan.each(sp, func(r Record) bool {
		failed = record(r)
		return failed == nil
	})
	return errors.Join(failed, err)
}

// each yields the good records of a span until it is told to stop.
func (s *scanner) each(sp span, yield func(Record) bool) error {
	more := true
	s.damage = func(Damage) {}
	s.accept = func(header, int64) bool { return more }
	s.visit = func(h header, data []byte, _ Position) { more = yield(h.record(data)) }
	_, err := s.walk(sp)
	return err
}
