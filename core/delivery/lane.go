package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fluxgate/sdk"
)

const (
	// WriteTimeout is how long a sink may take over one batch.
	WriteTimeout = 10 * time.Second

	// turnTimeout is how long the lane works on what it has taken from its
	// queue: batch by batch, and once more request by request if it is refused.
	turnTimeout = 20 * time.Second
)

// What a sink is sent at once.
const (
	maxBatch = 5000      // datapoints
	maxBytes = 512 << 10 // bytes on the wire, about
)

// backlog is how many datapoints may wait for an optional sink. What comes
// beyond that it misses.
const backlog = 100_000

var errStopping = sdk.Unavailablef("the server is stopping")

// A lane is the road to one sink. One write is under way; what arrives
// meanwhile forms the next batch, in the order of arrival.
type lane struct {
	sink           Sink
	taken, expired prometheus.Counter

	mu      sync.Mutex
	queue   []*parcel
	waiting int // datapoints in queue
	stopped bool
	wake    chan struct{}

	failing bool // of run alone: the last write failed
}

func newLane(s Sink, taken, expired prometheus.Counter) *lane {
	return &lane{sink: s, taken: taken, expired: expired, wake: make(chan struct{}, 1)}
}

// put adds p to the queue, or answers it at once where there is no room.
func (l *lane) put(p *parcel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.stopped:
		l.finish(p, errStopping)
		return
	case !l.sink.Required && l.waiting > 0 && l.waiting+len(p.batch) > backlog:
		l.finish(p, sdk.Unavailablef("%d datapoints are waiting already", l.waiting))
		return
	}
	l.queue = append(l.queue, p)
	l.waiting += len(p.batch)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lane) run(ctx context.Context) {
	for {
		select {
		case <-l.wake:
			for ctx.Err() == nil && l.turn(ctx) {
			}
		case <-ctx.Done():
			l.stop()
			return
		}
	}
}

// next takes the parcels of the next batch from the queue: as many as are
// within bounds, and at least one.
func (l *lane) next() []*parcel {
	l.mu.Lock()
	defer l.mu.Unlock()
	var datapoints, bytes, n int
	for n < len(l.queue) {
		b := l.queue[n].batch
		datapoints, bytes = datapoints+len(b), bytes+size(b)
		if n > 0 && (datapoints > maxBatch || bytes > maxBytes) {
			break
		}
		n++
	}
	parcels := l.queue[:n:n]
	l.queue = l.queue[n:]
	for _, p := range parcels {
		l.waiting -= len(p.batch)
	}
	return parcels
}

// turn delivers the next batch, and reports whether there was one. When the
// sink is unavailable, all that waits for it is answered so too: it would have
// to wait for as long again, and nothing of it is stored.
func (l *lane) turn(ctx context.Context) bool {
	parcels := l.next()
	if len(parcels) == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	if err := l.deliver(ctx, parcels); errors.Is(err, sdk.ErrUnavailable) {
		l.answerAll(err)
	}
	clear(parcels) // the queue's memory holds on to them
	return true
}

func (l *lane) stop() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	l.answerAll(errStopping)
}

// answerAll empties the queue.
func (l *lane) answerAll(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.queue {
		l.finish(p, err)
	}
	l.queue, l.waiting = nil, 0
}

// deliver writes parcels as one batch. One that is refused is written again
// parcel by parcel, so that each gets the answer of its own. It returns the last
// error.
func (l *lane) deliver(ctx context.Context, parcels []*parcel) error {
	err := l.write(ctx, together(parcels))
	if len(parcels) == 1 || !errors.Is(err, sdk.ErrInvalid) {
		for _, p := range parcels {
			l.finish(p, err)
		}
		return err
	}
	err = nil
	for _, p := range parcels {
		if !errors.Is(err, sdk.ErrUnavailable) { // else the rest need not be tried
			err = l.write(ctx, p.batch)
		}
		l.finish(p, err)
	}
	return err
}

// together returns the datapoints of parcels in their order.
func together(parcels []*parcel) sdk.Batch {
	if len(parcels) == 1 {
		return parcels[0].batch
	}
	var n int
	for _, p := range parcels {
		n += len(p.batch)
	}
	b := make(sdk.Batch, 0, n)
	for _, p := range parcels {
		b = append(b, p.batch...)
	}
	return b
}

// write passes b to the sink, in pieces if it is out of bounds; when a later
// piece is refused the sink has the earlier ones. Every error but a refusal
// comes back as [sdk.ErrUnavailable].
func (l *lane) write(ctx context.Context, b sdk.Batch) error {
	for len(b) > 0 {
		n := piece(b)
		err := l.writePiece(ctx, b[:n])
		l.note(err, n)
		if err != nil && !errors.Is(err, sdk.ErrInvalid) {
			return sdk.Unavailablef("%w", err)
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (l *lane) writePiece(ctx context.Context, b sdk.Batch) error {
	ctx, cancel := context.WithTimeout(ctx, WriteTimeout)
	defer cancel()
	return l.sink.Write(ctx, b)
}

// note logs when the sink begins to fail and when it is well again.
func (l *lane) note(err error, datapoints int) {
	switch {
	case err == nil && l.failing:
		slog.Info("the sink takes datapoints again", "sink", l.sink.Name)
	case errors.Is(err, sdk.ErrInvalid):
		slog.Warn("the sink refuses datapoints", "sink", l.sink.Name, "datapoints", datapoints, "err", err)
	case err != nil && !l.failing:
		slog.Warn("the sink does not take datapoints", "sink", l.sink.Name, "required", l.sink.Required, "err", err)
	}
	l.failing = err != nil && !errors.Is(err, sdk.ErrInvalid)
}

// finish counts what became of a parcel and tells who waits for it.
func (l *lane) finish(p *parcel, err error) {
	switch {
	case err == nil:
		l.taken.Add(float64(len(p.batch)))
	case !l.sink.Required:
		l.expired.Add(float64(len(p.batch)))
	}
	p.result <- err
}

// piece returns how many datapoints of b are within bounds; at least one.
func piece(b sdk.Batch) int {
	bytes := 0
	for i, d := range b {
		if bytes += datapointSize(d); i > 0 && (i >= maxBatch || bytes > maxBytes) {
			return i
		}
	}
	return len(b)
}

func size(b sdk.Batch) (bytes int) {
	for _, d := range b {
		bytes += datapointSize(d)
	}
	return bytes
}

// datapointSize is an upper bound for ordinary timestamps: the name and its
// length, a timestamp of at most five bytes, a value of eight.
func datapointSize(d sdk.Datapoint) int { return len(d.Metric) + 3 + 5 + 8 }
