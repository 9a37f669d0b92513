package sdk

import (
	"context"
	"errors"
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
	*link
	overdue time.Duration
	late    *time.Timer // has the next frame leave

	mu      sync.Mutex
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
	place    int          // in flight
	done     chan outcome // has room for one
}

type outcome struct {
	submission Submission
	err        error
}

var decodings = sync.Pool{New: func() any { return &decoding{done: make(chan outcome, 1)} }}

// decode has a plugin decode a request. When it returns nothing refers to the
// request any more, but the submission may.
func (g *gathering) decode(ctx context.Context, r Request) (Submission, error) {
	if err := ctx.Err(); err != nil {
		return Submission{}, err
	}
	d := decodings.Get().(*decoding)
	d.request, d.size, d.flight = r, requestSize(&r), nil
	d.deadline, _ = ctx.Deadline()
	g.mu.Lock()
	g.waiting = append(g.waiting, d)
	g.mu.Unlock()
	g.leave(ctx)
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
	for i, other := range g.waiting {
		if other == d {
			g.waiting = append(g.waiting[:i:i], g.waiting[i+1:]...)
			break
		}
	}
	f := d.flight
	g.mu.Unlock()
	if f == nil {
		return
	}
	f.stopNow()
	<-f.left
	d.request = Request{}
	if f.giveUp(d.place) && f.sent {
		go g.cancel(f.call)
	}
}

// leave has the next frame leave, unless one holds it back. It does not wait for a
// plugin that does not read longer than ctx lasts.
func (g *gathering) leave(ctx context.Context) {
	g.mu.Lock()
	if len(g.waiting) == 0 || g.leaving || g.newest != nil {
		g.mu.Unlock()
		return
	}
	f := &flight{gathering: g, group: g.next(), stop: make(chan struct{}), left: make(chan struct{})}
	f.awaited, f.states = len(f.group), make([]state, len(f.group))
	for i, d := range f.group {
		d.flight, d.place = f, i
	}
	g.leaving, g.newest = true, f
	g.mu.Unlock()
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

// next takes the requests of the next frame. The caller holds mu.
func (g *gathering) next() []*decoding {
	n, bytes, most := 0, callSize, min(maxGathered, g.limit)
	for ; n < len(g.waiting); n++ {
		if bytes += g.waiting[n].size; n > 0 && bytes > most {
			break
		}
	}
	group := append([]*decoding(nil), g.waiting[:n]...)
	rest := copy(g.waiting, g.waiting[n:])
	clear(g.waiting[rest:])
	g.waiting = g.waiting[:rest]
	return group
}

// A flight is the requests of one frame on their way.
type flight struct {
	*gathering
	group []*decoding
	call  uint64
	sent  bool          // read when left is closed
	left  chan struct{} // closed when nothing refers to the requests any more
	stop  chan struct{} // closed when somebody does not wait for that

	// gathering.mu is held for these.
	stopped  bool
	states   []state // of each request
	awaited  int     // requests that are
	answered int     // requests that were
}

// A state is what became of a request.
type state uint8

const (
	isAwaited state = iota
	isGivenUp
	isAnswered
)

// depart sends the frame. The plugin is not waited for longer than ctx lasts.
func (f *flight) depart(ctx context.Context) {
	var ok bool
	if f.call, ok = f.begin(f); !ok {
		f.lost()
		return
	}
	buffer := frames.Get().(*[]byte)
	parts, b, length := appendCall((*buffer)[:0], f.call, f.group)
	if length <= f.limit {
		heeded := context.AfterFunc(ctx, f.stopNow)
		f.sent = f.send(parts, f.stop)
		heeded()
	}
	keepFrame(buffer, b)
	if !f.sent {
		f.forget(f.call)
		f.lost()
	}
}

// stopNow has the frame leave now or never, as far as whoever sends it is concerned.
func (f *flight) stopNow() {
	f.mu.Lock()
	first := !f.stopped
	f.stopped = true
	f.mu.Unlock()
	if first {
		close(f.stop)
	}
	select {
	case <-f.left:
	default:
		f.hurry()
	}
}

// await returns when nothing refers to the requests any more, at the latest soon
// after the end of ctx.
func (f *flight) await(ctx context.Context) {
	select {
	case <-f.left:
	case <-ctx.Done():
		f.stopNow()
		<-f.left
	}
}

var errAnsweredTwice = errors.New("a request is answered twice")

// take implements [caller]: it hands outcomes out, and has the next frame leave.
func (f *flight) take(answer []byte) (last bool, err error) {
	outcomes, err := readOutcomes(answer, len(f.group))
	if err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range outcomes {
		if err := f.hand(outcomes[i].request, outcomes[i].outcome); err != nil {
			return false, err
		}
	}
	f.release()
	return f.answered == len(f.group), nil
}

// hand gives a request its outcome. The caller holds mu.
func (f *flight) hand(request int, o outcome) error {
	switch f.states[request] {
	case isAnswered:
		return errAnsweredTwice
	case isAwaited:
		f.awaited--
		f.group[request].done <- o
	}
	f.states[request] = isAnswered
	f.answered++
	return nil
}

// giveUp reports whether this was the last request that was awaited.
func (f *flight) giveUp(request int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.states[request] != isAwaited {
		return false
	}
	f.states[request] = isGivenUp
	f.awaited--
	return f.awaited == 0 && f.answered < len(f.group)
}

// lost implements [caller].
func (f *flight) lost() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.group {
		_ = f.hand(i, outcome{err: errNoLink}) // one that is answered stays so
	}
	f.release()
}

// release no longer holds back the next frame. The caller holds mu.
func (f *flight) release() {
	if f.newest != f {
		return
	}
	f.newest = nil
	f.late.Stop()
	if len(f.waiting) > 0 && !f.leaving {
		go f.leave(context.Background())
	}
}
