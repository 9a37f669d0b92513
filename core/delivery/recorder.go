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

	// lastLimit is how many datapoints are read at once in the end.
	lastLimit = 20_000
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
}

// newRecorder tells the ledger what is accepted and not recorded yet.
func newRecorder(s *Stream, l Ledger) (*recorder, error) {
	reader, err := s.log.Reader(recorderName, true)
	if err != nil {
		return nil, err
	}
	return &recorder{stream: s, reader: reader, ledger: l}, restore(s.log, reader.Saved(), l)
}

// restore tells the ledger what lies in the journal from a place on, record by record
// in the same batch.
func restore(log *journal.Log, from journal.Position, l Ledger) error {
	var b sdk.Batch
	tell := func(data []byte) (err error) {
		b, err = sdk.ReadBatch(b[:0], data)
		l.Restore(b)
		return err
	}
	return log.Replay(from, tell, func(r journal.Record) error { return tell(r.Data) })
}

// summarize is the newest datapoint of each metric in a segment, as a batch.
func summarize(records iter.Seq[journal.Record]) []byte {
	newest := make(map[string]sdk.Datapoint)
	var b sdk.Batch
	for r := range records {
		var err error
		if b, err = readBatch(b[:0], r.Data); err != nil {
			return nil
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
		if r.reader.Saved().Before(r.stream.slowest()) {
			if !r.flush(ctx, ending) {
				r.finish(ctx, ending)
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
//   - The cursor moves when all that was collected is recorded.
//
// It returns false at the end of ctx, if not all that was collected is delivered and
// recorded, and the cursor moved.
func (r *recorder) flush(ctx, ending context.Context) (more bool) {
	if r.settled == nil {
		r.mark = r.stream.log.End()
		r.settled = r.ledger.Underway()
	}
	settled := r.settled()
	record := r.ledger.Collect()
	if !r.delivered(ctx, r.stream.log.End()) || record != nil && !r.record(ctx, ending, record) {
		return false
	}
	if !settled {
		return ctx.Err() == nil
	}
	r.settled = nil
	if err := r.reader.Pass(r.mark); err != nil {
		slog.Error("a cursor cannot be saved", "journal", r.stream.name, "err", err)
	}
	return true
}

// delivered waits until every required sink has what lies before end. At the end of
// ctx nothing is delivered any more.
func (r *recorder) delivered(ctx context.Context, end journal.Position) bool {
	for {
		moved, ended := r.stream.next(), ctx.Err() != nil
		until := r.stream.slowest()
		if !until.Before(end) || ended {
			return !until.Before(end)
		}
		select {
		case <-moved:
		case <-ctx.Done():
		}
	}
}

// finish records what is delivered where more is accepted, which only the journal
// tells.
func (r *recorder) finish(ctx, ending context.Context) {
	end := r.stream.slowest()
	for r.reader.Saved().Before(end) {
		found, err := r.reader.Next(ending, journal.Limit{Bytes: 4 * maxBytes, Count: lastLimit, Until: end})
		if err != nil {
			return // what is left is recorded after the next start
		}
		b, _ := r.stream.decode(nil, found)
		if !r.record(ctx, ending, func(ctx context.Context) error { return r.ledger.Record(ctx, b) }) {
			return
		}
		if err := r.reader.Save(len(b), 0); err != nil {
			slog.Error("a cursor cannot be saved", "journal", r.stream.name, "err", err)
		}
	}
}

// record calls a function of the ledger until it succeeds or ending ends. From the
// end of ctx on it tries without long waits.
func (r *recorder) record(ctx, ending context.Context, record func(context.Context) error) bool {
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
