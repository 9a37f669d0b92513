package ledger

import (
	"context"
	"slices"

	"fluxgate/sdk"
)

// Underway returns a function that reports whether all that was judged before the
// call of Underway is settled.
func (l *Ledger) Underway() (settled func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	round := l.underway.next()
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.underway.first > round
	}
}

// collectLimit is how many entries are taken, or let go, at once, so that no request
// waits long.
const collectLimit = 1000

// Collect takes the newest accepted datapoint of each metric of which that is not
// recorded yet. The function that it returns records them, and must be called until
// it returns nil before Collect is called again. It is nil when there are none.
func (l *Ledger) Collect() (record func(context.Context) error) {
	s := &l.snapshot
	l.mu.Lock()
	numbers := l.dirty
	l.dirty = s.numbers
	s.alone, s.overtook = !l.options.Shared, l.overtook
	l.mu.Unlock()
	s.numbers, s.dues = numbers[:0], slices.Grow(s.dues, len(numbers))
	for piece := range slices.Chunk(numbers, collectLimit) {
		l.mu.Lock()
		s.take(l.table, piece)
		l.mu.Unlock()
	}
	if len(s.dues) == 0 {
		s.end()
		return nil
	}
	return l.flush
}

// A snapshot is what was accepted and not recorded at one time. There is one at a
// time, which uses the room of the one before.
type snapshot struct {
	numbers  []uint32 // of entries
	dues     []Due    // of each
	done     int      // how many of them are recorded
	alone    bool     // nobody else records, and no call has failed, so that dues may be the newest
	overtook int      // of the ledger before the first was taken
}

// take adds those of numbers that are still to be recorded. It is called with the
// lock held, so not for too many at once. They may lie in the room of s.numbers,
// behind what that has.
func (s *snapshot) take(t *table, numbers []uint32) {
	var names []byte
	from := len(s.dues)
	for _, number := range numbers {
		e := t.entry(number)
		e.state &^= listed
		if e.state&dirty == 0 {
			continue // recorded meanwhile, or forgotten
		}
		e.state = e.state&^dirty | flushed
		if e.slot == 0 {
			names = t.names.appendTo(names, e.place, e.length)
		}
		s.numbers = append(s.numbers, number)
		s.dues = append(s.dues, Due{
			Datapoint: sdk.Datapoint{Timestamp: e.newest, Value: e.value},
			Slot:      e.slot,
			Newest:    s.alone && e.state&(known|absurd) == known,
		})
	}
	if len(names) == 0 {
		return
	}
	text := string(names)
	for i := from; i < len(s.dues); i++ {
		if d := &s.dues[i]; d.Slot == 0 {
			length := t.length(s.numbers[i])
			d.Metric, text = text[:length], text[length:]
		}
	}
}

// end frees the room, unless it is large.
func (s *snapshot) end() {
	if cap(s.dues) > maxSpare {
		*s = snapshot{}
		return
	}
	clear(s.dues)
	s.numbers, s.dues, s.done = s.numbers[:0], s.dues[:0], 0
}

// flush records the snapshot, and may be called again after an error: then it goes
// on with what failed.
func (l *Ledger) flush(ctx context.Context) error {
	s := &l.snapshot
	for s.done < len(s.dues) {
		until := min(len(s.dues), s.done+l.most)
		err := l.advance(ctx, s.dues[s.done:until])
		if l.note(err); err != nil {
			s.alone = false // what failed may still arrive
			return err
		}
		for s.done < until {
			n := min(until-s.done, collectLimit)
			l.flushed(s.numbers[s.done:s.done+n], s.dues[s.done:])
			s.done += n
		}
	}
	s.end()
	return nil
}

// advance records dues of the snapshot while no call of Record is under way. Once
// any of the snapshot is overtaken they count no more as the newest.
func (l *Ledger) advance(ctx context.Context, dues []Due) error {
	l.recording.Lock()
	defer l.recording.Unlock()
	l.mu.Lock()
	newest := l.snapshot.alone && l.snapshot.overtook == l.overtook
	l.mu.Unlock()
	for i := 0; !newest && i < len(dues); i++ {
		dues[i].Newest = false
	}
	return l.record(ctx, dues)
}

// flushed notes that what a flush took of entries is recorded.
func (l *Ledger) flushed(numbers []uint32, dues []Due) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, number := range numbers {
		e := l.table.entry(number)
		e.state &^= flushed
		e.slot = dues[i].Slot
	}
	l.trim(len(numbers))
}
