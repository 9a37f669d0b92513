package journal

import (
	"context"
	"fmt"
	"time"

	"fluxgate/sdk"
)

// A Reader reads the records of a log in order. Next, Save and Pass are for one
// goroutine, the other methods for any.
type Reader struct {
	log    *Log
	name   string
	opened bool
	cursor *cursor
	source source // of Next alone

	// guarded by the log's mu
	state      state
	generation uint64   // of state
	saved      uint64   // the generation that is durable
	durable    Position // of that
	next       Position // behind all that Next has returned, or that was passed over
	held       uint64   // datapoints returned by Next and not saved yet
	expired    uint64   // passed over since state.at
	damaged    uint64
	floor      Position // nothing before it is held for an optional reader
	moves      int      // how often it was moved on
	peeked     Position // where the record of oldest is
	oldest     time.Time
}

// Limit bounds what Next returns beyond its first record.
type Limit struct {
	Bytes int      // of data; 0: 1 MiB
	Count int      // of datapoints; 0: any number
	Until Position // records from there on are left; zero: the end
}

// defaultBytes is what Next reads at once where no limit is set.
const defaultBytes = 1 << 20

// Reader opens a reader, or makes it: a new one begins at the end of the log, and
// is on disk before this returns. Whether it is optional is kept. A name that is
// no file's, or of a reader that is open, gives [sdk.ErrInvalid]; a failing disk
// [sdk.ErrUnavailable].
func (l *Log) Reader(name string, optional bool) (*Reader, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	l.lock()
	defer l.unlock()
	r, found := l.readers[name]
	switch {
	case l.closed:
		return nil, ErrClosed
	case found && r.opened:
		return nil, sdk.Invalidf("the reader %q is open already", name)
	case !found:
		s := state{at: l.end, birth: l.end.Number, optional: optional, end: l.end}
		c, err := l.makeCursor(name, s)
		if err != nil {
			return nil, fmt.Errorf("%w: the cursor of %q cannot be made: %w", sdk.ErrUnavailable, name, err)
		}
		r = &Reader{log: l, name: name, cursor: c, state: s, generation: 2, saved: 2, durable: s.at, next: s.at}
		l.readers[name] = r
	case r.state.optional != optional:
		r.state.optional = optional
		r.generation++
	}
	r.opened = true
	return r, nil
}

// SetOptional says whether the reader may be moved on where the room is needed.
func (r *Reader) SetOptional(optional bool) {
	r.log.lock()
	defer r.log.unlock()
	if r.state.optional != optional {
		r.state.optional = optional
		r.generation++
	}
}

// maxName bounds the name of a reader, so that its file's fits a folder. In bytes.
const maxName = 200

// checkName says whether a reader may have a name.
func checkName(name string) error {
	good := name != "" && name[0] != '.' && len(name) <= maxName
	for i := 0; i < len(name) && good; i++ {
		good = name[i] > ' ' && name[i] != '/' && name[i] != 0x7f
	}
	if !good {
		return sdk.Invalidf("a reader cannot be called %q: it needs a name of up to %d bytes, without blanks or slashes, that begins with no dot", name, maxName)
	}
	return nil
}

// Next returns the records that follow those of the last Next: at least one, else
// within limit. It waits for one until ctx ends or the log is closed; none is
// returned when limit.Until has been reached. Damaged ones are passed over and
// counted. A record's data is good until the next Next. Where the disk cannot be
// read the error wraps [sdk.ErrUnavailable], and the same call may be tried again;
// after a few tries what cannot be read counts as damaged.
func (r *Reader) Next(ctx context.Context, limit Limit) ([]Record, error) {
	for {
		r.log.lock()
		sp, segment, some := r.span()
		closed, changed, moves := r.log.closed, r.log.changed, r.moves
		reached := limit.Until != Position{} && !r.next.Before(limit.Until)
		r.log.unlock()
		switch {
		case closed:
			r.source.close()
			return nil, ErrClosed
		case reached:
			return nil, nil
		case some:
			found, err := r.source.read(r.log, segment, sp, limit)
			if err != nil {
				return nil, fmt.Errorf("%w: the journal cannot be read: %w", sdk.ErrUnavailable, err)
			}
			if r.take(found, moves) {
				return found.records, nil
			}
		default:
			select {
			case <-changed:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// span returns the part of a segment that is to be read next, if there is one. It
// passes over what is missing before it. The caller holds mu.
func (r *Reader) span() (span, *segment, bool) {
	l := r.log
	for {
		i := l.find(r.next.Segment)
		if i == len(l.segments) {
			r.pass(l.end)
			return span{}, nil, false
		}
		s := l.segments[i]
		if s.segment != r.next.Segment {
			r.pass(s.first())
		}
		end, next := l.bounds(i)
		if r.next.Offset < end {
			return span{r.next, end, next}, s, true
		}
		if i == len(l.segments)-1 {
			r.pass(Position{s.segment, next, end})
			return span{}, nil, false
		}
		r.pass(l.segments[i+1].first())
	}
}

// pass moves the reader on to a place, with nothing to read before it: what is
// missing is damaged. The caller holds mu.
func (r *Reader) pass(to Position) {
	if to.Number > r.next.Number {
		d := Damage{r.next.Segment, r.next.Offset, to.Number - r.next.Number}
		r.log.damaged(d)
		r.damaged += d.Count
	}
	to.Number = max(to.Number, r.next.Number)
	r.next = to
	r.settle()
}

// take counts what was read, unless the reader was moved on meanwhile, and says
// whether there is something to return.
func (r *Reader) take(found found, moves int) bool {
	r.log.lock()
	defer r.log.unlock()
	if r.moves != moves {
		return false
	}
	for _, d := range found.damages {
		r.log.damaged(d)
		r.damaged += d.Count
	}
	for _, rec := range found.records {
		r.held += uint64(rec.Count)
	}
	if len(found.records) > 0 && r.peeked != r.state.at {
		r.peeked, r.oldest = r.state.at, found.records[0].Time
	}
	r.next = found.end
	r.settle()
	return len(found.records) > 0
}

// settle moves the cursor on when nothing is held. The caller holds mu.
func (r *Reader) settle() {
	if r.held > 0 || r.next == r.state.at {
		return
	}
	r.state.at, r.state.end = r.next, r.log.end
	r.state.expired += r.expired
	r.state.damaged += r.damaged
	r.expired, r.damaged = 0, 0
	r.generation++
}

// hold returns the place from which on segments are kept for the reader. The
// caller holds mu.
func (r *Reader) hold() Position {
	if r.state.at.Before(r.floor) {
		return r.floor
	}
	return r.state.at
}

// leave moves an optional reader on to a place. What it has got already is still
// counted by its Save. The caller holds mu.
func (r *Reader) leave(to Position) {
	if !r.hold().Before(to) {
		return
	}
	r.floor = to
	if r.next.Before(to) {
		r.expired += to.Number - r.next.Number
		r.next = to
		r.moves++
	}
	r.settle()
}
