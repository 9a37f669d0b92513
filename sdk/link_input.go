package sdk

import (
	"context"
	"sync"
	"time"
)

const (
	// maxGathered bounds a frame with several requests, in bytes, unless the limit of the
	// socket is less. A longer request leaves alone.
	maxGathered = 1 << 20

	// overdue is how long a frame may hold back the next without an answer to any of
	// its requests: a slow one does not hold up those that come later.
	overdue = 20 * time.Millisecond
)

// A gathering has the requests that arrive while a frame is under way leave
// together on the next, so that there are fewer frames the more there is to do, and
// a lone request leaves at once.
type gathering struct {
	link    *link
	overdue time.Duration
	late    *time.Timer // has the next frame leave

	mu      sync.Mutex // nobody takes it who holds link.mu
	waiting []*decoding
	leaving bool    // a frame is being written
	newest  *flight // the frame that holds back the next; nil: none does
}

func newGathering(l *link) *gathering {
	g := &gathering{link: l, overdue: overdue}
	g.late = time.AfterFunc(time.Hour, g.goOn)
	g.late.Stop()
	return g
}

// A decoding is one request under way.
type decoding struct {
	request  Request
	size     int          // of request in a frame
	deadline time.Time    // zero: none
	flight   *flight      // nil: it waits
	givenUp  bool         // while it waited
	place    int          // in flight
	done     chan outcome // has room for one
}

type outcome struct {
	submission Submission
	err        error
}

var decodings = sync.Pool{New: func() any { return &decoding{done: make(chan outcome, 1)} }}

// decode has a plugin decode a request. When it returns nothing refers to the
// request any more. The submissions that were answered together share memory, which
// lasts as long as any of them.
func (g *gathering) decode(ctx context.Context, r Request) (Submission, error) {
	if err := ctx.Err(); err != nil {
		return Submission{}, err
	}
	if g.link.isBroken() {
		return Submission{}, errNoLink
	}
	d := decodings.Get().(*decoding)
	d.request, d.size, d.flight = r, requestSize(&r), nil
	d.deadline, _ = ctx.Deadline()
	g.mu.Lock()
	g.waiting = append(g.waiting, d)
	f := g.next()
	g.mu.Unlock()
	g.send(ctx, f)
	select {
	case o := <-d.done:
		d.flight.await(ctx)
		d.request = Request{}
		decodings.Put(d)
		return o.submission, o.err
	case <-ctx.Done():
		g.abandon(d)
		return Submission{}, ctx.Err()
	}
}

// abandon gives a request up.
func (g *gathering) abandon(d *decoding) {
	g.mu.Lock()
	f := d.flight
	if f == nil {
		d.request, d.givenUp = Request{}, true
	}
	g.mu.Unlock()
	if f == nil {
		return
	}
	f.stopNow()
	<-f.left
	d.request = Request{}
	if f.giveUp(d.place) && f.sent {
		go g.link.cancel(f.call)
	}
}

// leave has the next frame leave, unless one holds it back.
func (g *gathering) leave(ctx context.Context) {
	g.mu.Lock()
	f := g.next()
	g.mu.Unlock()
	g.send(ctx, f)
}

// send has a frame leave, unless it is nil. It does not wait for a plugin that does not
// read longer than ctx lasts.
func (g *gathering) send(ctx context.Context, f *flight) {
	if f == nil {
		return
	}
	f.depart(ctx)
	g.mu.Lock()
	g.leaving = false
	if g.newest == f {
		g.late.Reset(g.overdue)
	}
	more := g.newest == nil && len(g.waiting) > 0
	g.mu.Unlock()
	close(f.left)
	if more { // the answer was faster
		go g.leave(context.Background())
	}
}

// goOn has the next frame leave, though the one before it has no answer.
func (g *gathering) goOn() {
	g.mu.Lock()
	g.newest = nil
	g.mu.Unlock()
	g.leave(context.Background())
}

// next returns the next frame, which is leaving then; nil if one holds it back, or
// nobody waits. The caller holds mu.
func (g *gathering) next() *flight {
	if g.leaving || g.newest != nil {
		return nil
	}
	group := g.takeGroup()
	if len(group) == 0 {
		return nil
	}
	f := &flight{gathering: g, group: group, stop: make(chan struct{}), left: make(chan struct{})}
	f.awaited, f.states = len(group), make([]state, len(group))
	for i, d := range group {
		d.flight, d.place = f, i
	}
	g.leaving, g.newest = true, f
	return f
}

// takeGroup takes the requests of the next frame. The caller holds mu.
func (g *gathering) takeGroup() []*decoding {
	const usual = 64 // requests
	group := make([]*decoding, 0, min(len(g.waiting), usual))
	n, bytes, most := 0, callSize, min(maxGathered, g.link.limit)
	for ; n < len(g.waiting); n++ {
		d := g.waiting[n]
		if d.givenUp {
			d.givenUp = false
			decodings.Put(d)
			continue
		}
		if bytes += d.size; len(group) > 0 && bytes > most {
			break
		}
		group = append(group, d)
	}
	rest := copy(g.waiting, g.waiting[n:])
	clear(g.waiting[rest:])
	g.waiting = g.waiting[:rest]
	return group
}
