package journal

import (
	"errors"
	"fmt"
)

// errTorn says that the log ends with a commit that was never finished.
var errTorn = errors.New("the journal ends with a commit that was never finished")

// A tail is what the newest segment ends with.
type tail struct {
	end     Position
	commit  int64 // where the last commit begins
	torn    bool  // there is more, of a commit that was never acknowledged
	damages []Damage
}

// tail reads the end of a segment from what is known to be on disk. It returns an
// error where more may stand behind that, and cannot be read.
func (l *Log) tail(s *segment, known Position) (tail, error) {
	t := tail{end: s.first(), commit: s.size}
	if known.Segment == s.segment && known.Number >= s.start && known.Offset >= dataStart {
		t.end = known
	}
	file, err := l.Files.Open(s.name())
	if err != nil {
		return t, fmt.Errorf("%s may hold datapoints that are acknowledged, so nothing is written: start again when it can be opened: %w", s.name(), err)
	}
	defer func() { l.tell(file.Close()) }()
	var maybe []Damage
	scan := scanner{file: file, segment: s.segment, chunk: defaultBytes, patient: true, unchecked: l.unchecked,
		damage: func(d Damage) { maybe = append(maybe, d) },
		visit: func(h header, _ []byte, end Position) {
			t.end, t.commit = end, min(int64(h.commit)*align, end.Offset)
			t.damages, maybe = append(t.damages, maybe...), nil
		},
	}
	_, _ = scan.walk(span{t.end, s.size, unknown}) // a patient scanner never fails
	if t.torn = scan.dirty; scan.unread > t.end.Offset {
		return t, s.hides(t.end.Offset, scan.reason)
	}
	return t, nil
}

// hides returns the error of a segment that cannot be read behind its last good
// record, with the remedy.
func (s *segment) hides(end int64, reason error) error {
	return fmt.Errorf("%s cannot be read behind byte %d, where datapoints may stand that are acknowledged, so nothing is written: start again when the disk gives them, or give them up: put a copy of its first %d bytes in its place (head -c %d), or move it away if those cannot be read either: %w", s.name(), end, end, end, reason)
}

// openEnd finds the end of the log and opens the newest segment for writing, if
// it is sound. It returns an error where the end cannot be read. The caller holds mu.
func (l *Log) openEnd(known Position) error {
	l.end = known
	n := len(l.segments)
	if n == 0 {
		return nil
	}
	s := l.segments[n-1]
	if s.head.end < 0 && s.end == dataStart {
		l.end = Position{s.segment, max(s.start, known.Number), s.end}
		return s.unread
	}
	t, err := l.tail(s, known)
	if err != nil {
		return err
	}
	for _, d := range t.damages {
		l.damaged(d)
	}
	if t.torn {
		l.tell(fmt.Errorf("%w: what lies behind byte %d of segment %x is cut off", errTorn, t.end.Offset, s.segment))
	}
	s.end, l.end = t.end.Offset, t.end
	if lost := max(known.Number, l.end.Number) - l.end.Number; lost > 0 {
		l.damaged(Damage{s.segment, s.end, lost})
		l.end.Number = known.Number
		return nil
	}
	if s.head.end < 0 || s.end > s.size {
		return nil
	}
	if err := l.reopen(s, t.commit); err != nil {
		l.tell(fmt.Errorf("the newest segment cannot be written, another takes its place: %w", err))
	}
	return nil
}

// reopen opens the newest segment for writing. Its last commit may never have been
// synced, or in vain, so it is written and synced once more. That segments behind it
// were removed must be durable before: one that came back would follow it where it
// ends now.
func (l *Log) reopen(s *segment, commit int64) error {
	if err := l.Files.Sync(); err != nil {
		return err
	}
	file, err := l.Files.Open(s.name())
	if err != nil {
		return err
	}
	if commit < s.end {
		err = rewrite(file, commit, s.end)
	}
	if err != nil {
		l.tell(file.Close())
		return err
	}
	s.file, l.active = file, s
	return nil
}

// rewrite writes the bytes from one offset to another once more, and syncs them.
// The first commit takes the header with it.
func rewrite(file File, from, to int64) error {
	if from <= dataStart {
		from = 0
	}
	b := make([]byte, to-from)
	if _, err := file.ReadAt(b, from); err != nil {
		return err
	}
	if _, err := file.WriteAt(b, from); err != nil {
		return err
	}
	return file.Sync()
}
