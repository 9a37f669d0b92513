package journal

import (
	"fmt"
	"math"
	"slices"
	"time"

	"fluxgate/sdk"
)

// maxKept bounds the buffer that is kept from one commit to the next. In bytes.
const maxKept = 4 << 20

// A request is an Append under way.
type request struct {
	records []Record
	time    time.Time
	group   *group
	end     Position
	err     error
}

// A group is the requests that are committed together.
type group struct {
	requests []*request
	done     chan struct{} // closed when what became of all of them is set
}

func newGroup() *group { return &group{done: make(chan struct{})} }

// Append queues records, which belong together, behind all that are queued, and
// must not be changed meanwhile. The function returned waits until they are on
// disk and returns the position behind them; with no records it waits until
// everything queued before is on disk. When it returns an error, none of them
// counts as kept, nor does anything that was queued at that moment. Errors wrap
// [sdk.ErrUnavailable]: [ErrFull], [ErrClosed], or a failing disk; for a count
// that no record can have, [sdk.ErrInvalid]. A crash of an Append under way may
// keep some of its records, each of them whole.
func (l *Log) Append(records []Record) (wait func() (Position, error)) {
	q := &request{records: records, time: l.time()}
	for _, r := range records {
		if r.Count < 1 || int64(r.Count) > math.MaxUint32 {
			err := sdk.Invalidf("a record of %d datapoints: must have between 1 and %d", r.Count, uint32(math.MaxUint32))
			return func() (Position, error) { return Position{}, err }
		}
	}
	l.lock()
	if l.closed {
		l.unlock()
		return func() (Position, error) { return Position{}, ErrClosed }
	}
	q.group = l.queue
	q.group.requests = append(q.group.requests, q)
	l.unlock()
	wake(l.queued)
	return func() (Position, error) {
		if l.quiet {
			l.commit()
		}
		<-q.group.done
		return q.end, q.err
	}
}

// takeQueue takes what is queued. The caller holds mu.
func (l *Log) takeQueue() *group {
	g := l.queue
	l.queue = newGroup()
	return g
}

// commit writes all that is queued and wakes those who wait for it.
func (l *Log) commit() {
	l.committing.Lock()
	defer l.committing.Unlock()
	l.lock()
	g := l.takeQueue()
	d := &draft{log: l, at: l.end, last: l.active}
	l.unlock()
	batch := g.requests
	if len(batch) == 0 {
		return
	}
	fit, err := 0, error(nil)
	for ; fit < len(batch); fit++ {
		if err = d.add(batch[fit]); err != nil {
			break
		}
	}
	if failed := d.write(); failed != nil {
		l.abandon(d)
		fit, err = 0, fmt.Errorf("%w: the journal cannot be written: %w", sdk.ErrUnavailable, failed)
	} else {
		l.keep(d)
	}
	if len(d.parts) > 0 {
		if l.buffer = nil; cap(d.parts[0].bytes) <= maxKept {
			l.buffer = d.parts[0].bytes
		}
	}
	if err != nil {
		l.refuse(batch[fit:], err)
	}
	close(g.done)
}

// keep makes what d has written part of the log.
func (l *Log) keep(d *draft) {
	l.lock()
	defer l.unlock()
	if len(d.parts) == 0 {
		return
	}
	for _, p := range d.parts {
		if p.fresh {
			l.seal(p.segment.head.end)
			l.segments = append(l.segments, p.segment)
			l.active = p.segment
			l.spare = l.spare[1:]
		}
	}
	l.end = d.at
	l.notify()
	if d.fresh > 0 {
		wake(l.untidy)
		wake(l.sealed)
	}
}

// abandon gives up what d has written: the active segment ends where the last good
// commit ended, also when d has not written to it, since a crash may bring back a
// segment that follows it there. The others are removed.
func (l *Log) abandon(d *draft) {
	l.lock()
	l.seal(l.end.Offset)
	l.spare = l.spare[d.fresh:]
	for _, p := range slices.Backward(d.parts) { // so that what a crash leaves of them is their beginning
		if p.fresh {
			l.tell(p.segment.file.Close())
			l.doomed = append(l.doomed, p.segment)
		}
	}
	l.unlock()
	l.report(l.sweep())
	wake(l.untidy)
}

// seal ends the active segment, if there is one. The caller holds mu.
func (l *Log) seal(end int64) {
	if l.active == nil {
		return
	}
	l.active.end = end
	l.tell(l.active.file.Close())
	l.active.file, l.active = nil, nil
}

// refuse fails some requests, and all that are queued behind them, since they may
// have been judged by those.
func (l *Log) refuse(requests []*request, err error) {
	l.lock()
	queued := l.takeQueue()
	l.unlock()
	for _, q := range slices.Concat(requests, queued.requests) {
		q.end, q.err = Position{}, err
	}
	close(queued.done)
}

// A draft is a commit in the making.
type draft struct {
	log   *Log
	last  *segment // the records go to; nil: none yet
	at    Position // behind the last record
	parts []part
	fresh int // segments put to use
}

// A part is what a commit writes to one segment.
type part struct {
	segment *segment
	fresh   bool
	offset  int64
	bytes   []byte
}

// add encodes the records of q, all or none. It prepares the segments that they
// need.
func (d *draft) add(q *request) error {
	if n := d.needs(q.records); n > 0 {
		if err := d.log.prepare(d.fresh+n, true, q); err != nil {
			return err
		}
	}
	left := int64(0) // bytes of the records that follow
	for _, r := range q.records {
		left += sizeOf(len(r.Data))
	}
	for _, r := range q.records {
		size := sizeOf(len(r.Data))
		if d.free() < size {
			d.open()
		} else if len(d.parts) == 0 {
			d.parts = []part{{segment: d.last, offset: d.at.Offset, bytes: d.log.buffer[:0]}}
		}
		p := &d.parts[len(d.parts)-1]
		p.bytes = slices.Grow(p.bytes, int(min(left, max(d.free(), size))))
		left -= size
		r.Time, r.Number = q.time, d.at.Number
		commit := max(p.offset, dataStart)
		p.bytes = appendRecord(p.bytes, r, p.segment.segment, d.at.Offset, commit)
		d.at.Offset += size
		d.at.Number += uint64(r.Count)
	}
	q.end = d.at
	return nil
}

// free returns how many bytes the last segment has left.
func (d *draft) free() int64 {
	if d.last == nil {
		return 0
	}
	return d.last.size - d.at.Offset
}

// needs returns how many more segments are needed for records.
func (d *draft) needs(records []Record) int {
	n, free := 0, d.free()
	for _, r := range records {
		size := sizeOf(len(r.Data))
		if free < size {
			n, free = n+1, d.log.Segment-dataStart
		}
		free -= size
	}
	return n
}

// open puts the next prepared segment to use.
func (d *draft) open() {
	d.log.lock()
	s := d.log.spare[d.fresh]
	if d.last != nil {
		s.previous, s.head.end = d.last.segment, d.at.Offset
	} else if n := len(d.log.segments); n > 0 {
		s.previous, s.head.end = d.log.segments[n-1].segment, d.log.segments[n-1].end
	}
	d.log.unlock()
	s.start = d.at.Number
	d.fresh++
	d.last, d.at.Segment, d.at.Offset = s, s.segment, dataStart
	d.parts = append(d.parts, part{segment: s, fresh: true, bytes: s.head.bytes()})
}

// write writes and syncs the parts, in order.
func (d *draft) write() error {
	for _, p := range d.parts {
		if _, err := p.segment.file.WriteAt(p.bytes, p.offset); err != nil {
			return err
		}
		if err := p.segment.file.Sync(); err != nil {
			return err
		}
	}
	return nil
}
