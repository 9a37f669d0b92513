package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fluxgate/core/journal"
	"fluxgate/sdk"
)

// A Stream is a journal and the lanes that read it.
type Stream struct {
	name  string
	log   *journal.Log
	lanes []*lane

	letters atomic.Int64 // bytes of dead letters that count against the budget

	mu    sync.Mutex
	moved chan struct{} // closed when a cursor has moved on
}

func newStream(name string, log *journal.Log) *Stream {
	return &Stream{name: name, log: log, moved: make(chan struct{})}
}

// add makes the lane to t.
func (s *Stream) add(t *target, rate int) (*lane, error) {
	reader, err := s.log.Reader(t.sink.Name, !t.sink.Required)
	if err != nil {
		return nil, err
	}
	l := newLane(s, t, reader, rate)
	s.lanes = append(s.lanes, l)
	return l, nil
}

func (s *Stream) lane(name string) *lane {
	for _, l := range s.lanes {
		if l.target.sink.Name == name {
			return l
		}
	}
	return nil
}

// Append puts b behind all that was appended before. The first function that it
// returns waits until b is on disk; its error wraps [sdk.ErrUnavailable], and
// nothing of b counts as kept then. The second may be called after that, and waits
// until every required sink has b, or, with an empty b, all that was kept before;
// its error names the sinks that have not.
func (s *Stream) Append(b sdk.Batch) (kept func() error, delivered func(context.Context) error) {
	if len(b) == 0 {
		kept = func() error { return nil }
		return kept, func(ctx context.Context) error { return s.await(ctx, s.log.End()) }
	}
	var end journal.Position
	room := rooms.Get().(*room)
	wait := s.log.Append(room.hold(b))
	kept = func() (err error) {
		end, err = wait()
		room.free()
		if err == nil && !s.awaited() {
			s.advanced()
		}
		return s.explain(err)
	}
	return kept, func(ctx context.Context) error { return s.await(ctx, end) }
}

// explain adds the remedy where dead letters take the room. Senders read it: it names no
// file of this machine.
func (s *Stream) explain(err error) error {
	if bytes := s.letters.Load(); bytes > 0 && errors.Is(err, journal.ErrFull) {
		return fmt.Errorf("%w; dead letters take %d bytes of it: see fluxgate dead list, and fluxgate dead retry", err, bytes)
	}
	return err
}

// awaited reports whether there is a required sink. Without one all that is kept
// counts as delivered.
func (s *Stream) awaited() bool {
	return slices.ContainsFunc(s.lanes, func(l *lane) bool { return l.required.Load() })
}

// await waits until every required sink has what lies before end.
func (s *Stream) await(ctx context.Context, end journal.Position) error {
	for {
		moved := s.next()
		behind := s.behind(end)
		if len(behind) == 0 {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("sink %s has not taken it", strings.Join(behind, " and "))
		}
	}
}

// behind names the required sinks that have not all that lies before end.
func (s *Stream) behind(end journal.Position) (names []string) {
	for _, l := range s.lanes {
		if l.required.Load() && l.reader.Saved().Number < end.Number {
			names = append(names, strconv.Quote(l.target.sink.Name))
		}
	}
	return names
}

// slowest returns the place up to which every required sink has the datapoints;
// with none required the end of the journal.
func (s *Stream) slowest() journal.Position {
	slowest := s.log.End()
	for _, l := range s.lanes {
		if at := l.reader.Saved(); l.required.Load() && at.Number < slowest.Number {
			slowest = at
		}
	}
	return slowest
}

// next returns what is closed when a cursor has moved on.
func (s *Stream) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.moved
}

func (s *Stream) advanced() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.moved)
	s.moved = make(chan struct{})
}

// decode adds the datapoints of records, whose bytes they share, to b, and returns
// those records that hold some. It logs the others, which no Fluxgate of this version
// has written.
func (s *Stream) decode(b sdk.Batch, records []journal.Record) (all sdk.Batch, good []journal.Record) {
	good = records[:0]
	for _, r := range records {
		longer, err := sdk.ReadBatch(b, r.Data)
		if err != nil || len(longer)-len(b) != r.Count {
			slog.Error("a record of the journal cannot be read and is passed over", "journal", s.name,
				"first", r.Number, "datapoints", r.Count, "err", err)
			continue
		}
		b, good = longer, append(good, r)
	}
	return b, good
}

// unreadable waits a little before a reader reads the journal again.
func (s *Stream) unreadable(ctx context.Context, reader string, err error) {
	if ctx.Err() == nil {
		slog.Error("the journal cannot be read", "journal", s.name, "reader", reader, "err", err)
		sleep(ctx, time.Second)
	}
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// longer returns a context that ends d after ctx, or when cancel is called.
func longer(ctx context.Context, d time.Duration) (later context.Context, cancel context.CancelFunc) {
	later, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		sleep(later, d)
		end()
	})
	return later, func() {
		stop()
		end()
	}
}
