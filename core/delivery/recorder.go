package delivery

import (
	"bytes"
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

	// recordLimit is how many datapoints are given to the ledger at once.
	recordLimit = 20_000

	// recordPause is the shortest time between two calls of the ledger. What is
	// delivered meanwhile is recorded together.
	recordPause = 50 * time.Millisecond

	// lastRecords is how long the calls at the end may take.
	lastRecords = 1500 * time.Millisecond
)

// A recorder tells the ledger what every required sink has. It has a cursor of
// its own, which is never ahead of theirs, and which is moved on by the journal,
// like that of an optional sink, where the room is needed.
type recorder struct {
	stream *Stream
	reader *journal.Reader
	ledger Ledger
}

// newRecorder tells the ledger what is accepted and not recorded yet.
func newRecorder(s *Stream, l Ledger) (*recorder, error) {
	reader, err := s.log.Reader(recorderName, true)
	if err != nil {
		return nil, err
	}
	restore := func(data []byte) error {
		b, err := readBatch(nil, data)
		l.Restore(b)
		return err
	}
	err = s.log.Replay(reader.Saved(), restore, func(r journal.Record) error { return restore(r.Data) })
	return &recorder{s, reader, l}, err
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
	return appendBatch(nil, b)
}

// run records until ctx ends, and then what is delivered by then.
func (r *recorder) run(ctx context.Context) {
	ending, cancel := longer(ctx, lastRecords)
	defer cancel()
	for {
		moved := r.stream.next()
		until := r.stream.slowest()
		if r.reader.Saved().Number < until.Number {
			if r.record(ctx, ending, until); ending.Err() != nil {
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

// record gives the ledger the next datapoints before until, once it takes them or
// until ending ends. From the end of ctx on it tries without long waits.
func (r *recorder) record(ctx, ending context.Context, until journal.Position) {
	found, err := r.reader.Next(ending, journal.Limit{Bytes: 4 * maxBytes, Count: recordLimit, Until: until})
	if err != nil {
		sleep(ending, time.Second)
		return
	}
	for i := range found { // the ledger may keep what it is given
		found[i].Data = bytes.Clone(found[i].Data)
	}
	b, _ := r.stream.decode(nil, found)
	wait := newBackoff()
	for r.ledger.Record(ending, b) != nil {
		sleep(ctx, wait.NextBackOff())
		if ctx.Err() != nil {
			sleep(ending, recordPause)
		}
		if ending.Err() != nil {
			return
		}
	}
	if err := r.reader.Save(len(b), 0); err != nil {
		slog.Error("a cursor cannot be saved", "journal", r.stream.name, "err", err)
	}
}
