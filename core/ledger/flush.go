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

// collectLimit is how many entries are taken at once, so that no request waits long.
const collectLimit = 1000

// Collect takes the newest accepted datapoint of each metric of which that is not
// recorded yet. The function that it returns records them, and must be called until
// it returns nil before Collect is called again. It is nil when there are none.
func (l *Ledger) Collect() (record func(context.Context) error) {
	l.mu.Lock()
	numbers := l.dirty
	l.dirty = nil
	l.mu.Unlock()
	s := &snapshot{ledger: l, batch: make(sdk.Batch, 0, len(numbers)), at: make([]uint32, 0, len(numbers))}
	for piece := range slices.Chunk(numbers, collectLimit) {
		l.mu.Lock()
		s.take(piece)
		l.mu.Unlock()
	}
	if len(s.batch) == 0 {
		return nil
	}
	return s.record
}

// flushed notes that what a flush took of entries is recorded.
func (l *Ledger) flushed(numbers []uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, number := range numbers {
		l.table.entry(number).state &^= flushed
	}
	l.trim(len(numbers))
}

// A snapshot is what was accepted and not recorded at one time.
type snapshot struct {
	ledger *Ledger
	batch  sdk.Batch
	at     []uint32 // the entries
}

// take adds the entries that are still to be recorded. It is called with the lock
// held, so not for too many at once.
func (s *snapshot) take(numbers []uint32) {
	var names []byte
	from := len(s.batch)
	t := s.ledger.table
	for _, number := range numbers {
		e := t.entry(number)
		if e.state&dirty == 0 {
			continue // recorded meanwhile, or taken already
		}
		e.state = e.state&^dirty | flushed
		names = t.names.appendTo(names, e.place, e.length)
		s.at = append(s.at, number)
		s.batch = append(s.batch, sdk.Datapoint{Timestamp: e.newest, Value: e.value})
	}
	text := string(names)
	for i := from; i < len(s.batch); i++ {
		length := t.length(s.at[i])
		s.batch[i].Metric, text = text[:length], text[length:]
	}
}

// record records the snapshot, and may be called again after an error: then it goes
// on with what failed.
func (s *snapshot) record(ctx context.Context) error {
	for len(s.batch) > 0 {
		n := min(len(s.batch), recordLimit)
		err := s.ledger.record(ctx, s.batch[:n])
		if s.ledger.note(err); err != nil {
			return err
		}
		s.ledger.flushed(s.at[:n])
		s.batch, s.at = s.batch[n:], s.at[n:]
	}
	return nil
}
