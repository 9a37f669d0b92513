package ledger

import (
	"context"
	"slices"
	"strings"

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
	s := &snapshot{ledger: l, items: make([]due, 0, len(numbers))}
	for piece := range slices.Chunk(numbers, collectLimit) {
		l.mu.Lock()
		s.take(piece)
		l.mu.Unlock()
	}
	if len(s.items) == 0 {
		return nil
	}
	if _, ok := l.store.(ordered); ok {
		slices.SortFunc(s.items, func(a, b due) int { return strings.Compare(a.Metric, b.Metric) })
	}
	return s.record
}

// An ordered store takes a flush in the order of metrics sooner than in any other.
type ordered interface{ ordered() }

// flushed notes that what a flush took of entries is recorded.
func (l *Ledger) flushed(items []due) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, i := range items {
		l.table.entry(i.number).state &^= flushed
	}
	l.trim(len(items))
}

// A snapshot is what was accepted and not recorded at one time.
type snapshot struct {
	ledger *Ledger
	items  []due
	batch  sdk.Batch // of the items that are being recorded
}

// A due is what is to be recorded of a metric.
type due struct {
	sdk.Datapoint
	number uint32 // of the entry
}

// take adds the entries that are still to be recorded. It is called with the lock
// held, so not for too many at once.
func (s *snapshot) take(numbers []uint32) {
	var names []byte
	from := len(s.items)
	t := s.ledger.table
	for _, number := range numbers {
		e := t.entry(number)
		if e.state&dirty == 0 {
			continue // recorded meanwhile, or taken already
		}
		e.state = e.state&^dirty | flushed
		names = t.names.appendTo(names, e.place, e.length)
		s.items = append(s.items, due{sdk.Datapoint{Timestamp: e.newest, Value: e.value}, number})
	}
	text := string(names)
	for i := from; i < len(s.items); i++ {
		length := t.length(s.items[i].number)
		s.items[i].Metric, text = text[:length], text[length:]
	}
}

// record records the snapshot, and may be called again after an error: then it goes
// on with what failed.
func (s *snapshot) record(ctx context.Context) error {
	for len(s.items) > 0 {
		piece := s.items[:min(len(s.items), recordLimit)]
		s.batch = s.batch[:0]
		for _, i := range piece {
			s.batch = append(s.batch, i.Datapoint)
		}
		err := s.ledger.record(ctx, s.batch)
		if s.ledger.note(err); err != nil {
			return err
		}
		s.ledger.flushed(piece)
		s.items = s.items[len(piece):]
	}
	return nil
}
