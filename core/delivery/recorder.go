package delivery

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"fluxgate/core/journal"
	"fluxgate/sdk"
)

const (
	// recorderName is that of the ledger's cursor. No sink can have it.
	recorderName = "+ledger"

	// recordPause is the shortest time between two flushes of the ledger. What is
	// accepted meanwhile is recorded together.
	recordPause = 50 * time.Millisecond

	// lastRecords is how long the flushes at the end may take.
	lastRecords = 1500 * time.Millisecond

	// keepUp is for how long a flush waits until what it has collected is delivered.
	// Lanes that keep up need less; else what is delivered is read from the journal.
	keepUp = 100 * time.Millisecond

	// followLimit is how many datapoints of the journal are recorded at once.
	followLimit = 20_000
)

// A recorder has the ledger record what every required sink has. Its cursor is never
// ahead of theirs, nor of what is not recorded, but is moved on by the journal, like
// that of an optional sink, where the room is needed.
type recorder struct {
	stream *Stream
	reader *journal.Reader
	ledger Ledger

	// What lies before mark is known to the ledger once settled says so.
	mark    journal.Position
	settled func() bool // nil: there is no mark

	// What was collected, which lies before end and may be recorded when that is
	// delivered, and whether the cursor may then move to the mark.
	collected bool // there is a collection
	record    func(context.Context) error
	end       journal.Position
	passes    bool

	batch sdk.Batch // of the last piece of the journal, whose room the next has
}

// newRecorder tells the ledger what is accepted and not recorded yet.
func newRecorder(s *Stream, l Ledger) (*recorder, error) {
	reader, err := s.log.Reader(recorderName, true)
	if err != nil {
		return nil, err
	}
	return &recorder{stream: s, reader: reader, ledger: l}, restore(s, reader.Saved(), l)
}

// restore tells the ledger what lies in the journal from a place on, record by record
// in the same batch. What cannot be read is logged and passed over.
func restore(s *Stream, from journal.Position, l Ledger) error {
	var b sdk.Batch
	return s.log.Replay(from, func(summary []byte) (err error) {
		if b, err = sdk.ReadBatch(b[:0], summary); err != nil {
			slog.Error("a summary of the journal cannot be read: what it sums up may be taken once more", "journal", s.name, "err", err)
		}
		l.Restore(b)
		return nil
	}, func(r journal.Record) error {
		b, _ = s.decode(b[:0], []journal.Record{r})
		l.Restore(b)
		return nil
	})
}

// summarize is the newest datapoint of each metric in a segment, as a batch, without
// the records that lanes pass over.
func summarize(records iter.Seq[journal.Record]) []byte {
	newest := make(map[string]sdk.Datapoint)
	var b sdk.Batch
	for r := range records {
		var err error
		if b, err = readBatch(b[:0], r.Data); err != nil || len(b) != r.Count {
			continue
		}
		for _, d := range b {
			if d.Timestamp > newest[d.Metric].Timestamp {
				newest[d.Metric] = d
			}
		}
	}
	b = b[:0]
	for _, d := range newest {
		b = append(b, d)
	}
	return sdk.AppendBatch(nil, b)
}

// run records until ctx ends, and then what is delivered by then.
func (r *recorder) run(ctx context.Context) {
	ending, cancel := longer(ctx, lastRecords)
	defer cancel()
	for {
		moved := r.stream.next()
		if r.reader.Saved().Before(r.stream.slowest()) || r.ripe() {
			if !r.flush(ctx, ending) {
				r.follow(ctx, ending) // what is left is recorded after the next start
				return
			}
			sleep(ctx, recordPause)
			continue
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

// flush records what is accepted, once it is delivered, and moves the cursor. It
// rests on an order:
//
//   - The mark is the journal's end of a moment, after which it is asked who was
//     judged and is not settled. Who is not judged yet comes to lie behind the mark.
//   - When those are settled the ledger has what lies before the mark; only then is
//     something collected with which the cursor may move there.
//   - The end up to which a delivery is awaited is read after that. What is collected
//     was on disk before it was settled, so all of it lies before that end, as does
//     the mark.
//   - The cursor moves to the mark when all that was collected is recorded.
//
// Where the delivery takes long, it is for the next flush to record what was
// collected, and until then what is delivered is recorded from the journal, with
// which the cursor may come to lie behind the mark.
//
// It returns false at the end of ctx, if not all that was collected is delivered and
// recorded, and the cursor moved.
func (r *recorder) flush(ctx, ending context.Context) (more bool) {
	patience := time.Duration(0)
	if !r.collected {
		patience = keepUp
		r.collect()
	}
	if !r.delivered(ctx, patience) {
		return r.follow(ctx, ending) && ctx.Err() == nil
	}
	if r.record != nil && !r.insist(ctx, ending, r.record) {
		return false
	}
	r.collected, r.record = false, nil
	if !r.passes {
		return ctx.Err() == nil
	}
	r.settled = nil
	if err := r.reader.Pass(r.mark); err != nil {
		slog.Error("a cursor cannot be saved", "journal", r.stream.name, "err", err)
	}
	return true
}

// collect has the ledger collect, in the order that flush rests on.
func (r *recorder) collect() {
	if r.settled == nil {
		r.mark = r.stream.log.End()
		r.settled = r.ledger.Underway()
	}
	r.passes = r.settled()
	r.record = r.ledger.Collect()
	r.end = r.stream.log.End()
	r.collected = true
}

// ripe reports whether there is a collection of which all is delivered.
func (r *recorder) ripe() bool { return r.collected && !r.stream.slowest().Before(r.end) }

// delivered waits until the collection is ripe, for no longer than patience. At the
// end of ctx nothing is delivered any more.
func (r *recorder) delivered(ctx context.Context, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		moved, ended := r.stream.next(), ctx.Err() != nil
		if ripe := r.ripe(); ripe || ended {
			return ripe
		}
		select {
		case <-moved:
		case <-ctx.Done():
		}
	}
}

// follow records what is delivered, as it lies in the journal, until the collection
// is ripe, and moves the cursor. It returns false when ending has ended before.
func (r *recorder) follow(ctx, ending context.Context) bool {
	end := r.stream.slowest()
	for r.reader.Saved().Before(end) && !r.ripe() {
		found, err := r.reader.Next(ending, journal.Limit{Bytes: 4 * maxBytes, Count: followLimit, Until: end})
		if err != nil {
			r.stream.unreadable(ctx, recorderName, err)
			return ending.Err() == nil
		}
		r.batch, _ = r.stream.decode(r.batch[:0], found)
		if !r.insist(ctx, ending, func(ctx context.Context) error { return r.ledger.Record(ctx, r.batch) }) {
			return false
		}
		if err := r.reader.Save(len(r.batch), 0); err != nil {
			slog.Error("a cursor cannot be saved", "journal", r.stream.name, "err", err)
		}
	}
	return true
}

// insist calls a function of the ledger until it succeeds or ending ends. From the
// end of ctx on it tries without long waits.
func (r *recorder) insist(ctx, ending context.Context, record func(context.Context) error) bool {
	wait := newBackoff()
	for record(ending) != nil {
		sleep(ctx, wait.NextBackOff())
		if ctx.Err() != nil {
			sleep(ending, recordPause)
		}
		if ending.Err() != nil {
			return false
		}
	}
	return true
}
