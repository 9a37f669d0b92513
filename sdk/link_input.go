package sdk

import (
	"context"
	"net"
	"sync"
	"time"

	"fluxgate/sdk/internal/frame"
)

const (
	// maxGathered is how much of the requests that wait leaves together, in bytes. A
	// longer request leaves alone.
	maxGathered = 1 << 20

	// maxUnderWay is how many frames are under way to an input at most.
	maxUnderWay = 16

	// overdue is how long a frame may take before the next leaves without its
	// answer: one slow request does not hold up those that come later.
	overdue = 20 * time.Millisecond
)

// A gathering has the requests that arrive while a frame is under way leave
// together on the next, so that there are fewer frames the more there is to do, and
// a lone request leaves at once.
type gathering struct {
	*link
	late *time.Timer // has the next frame leave

	mu       sync.Mutex
	waiting  []*decoding
	underWay int // frames
}

func newGathering(l *link) *gathering {
	g := &gathering{link: l}
	g.late = time.AfterFunc(time.Hour, func() { g.leave(true) })
	return g
}

// A decoding is one request under way.
type decoding struct {
	request  Request
	deadline time.Time     // zero: none
	left     chan struct{} // closed when the request is not referred to any more; nil: it waits
	done     chan outcome  // has room for one
}

type outcome struct {
	submission Submission
	err        error
}

var decodings = sync.Pool{New: func() any { return &decoding{done: make(chan outcome, 1)} }}

// decode has a plugin decode a request. When it returns nothing refers to the
// request any more, but the submission may.
func (g *gathering) decode(ctx context.Context, r Request) (Submission, error) {
	d := decodings.Get().(*decoding)
	d.request, d.left = r, nil
	d.deadline, _ = ctx.Deadline()
	g.mu.Lock()
	g.waiting = append(g.waiting, d)
	g.mu.Unlock()
	g.leave(false)
	select {
	case o := <-d.done:
		<-d.left
		d.request = Request{}
		decodings.Put(d)
		return o.submission, o.err
	case <-ctx.Done():
		g.abandon(d)
		return Submission{}, ctx.Err()
	}
}

// abandon gives a request up. One that is stuck on its way costs the link.
func (g *gathering) abandon(d *decoding) {
	g.mu.Lock()
	for i, other := range g.waiting {
		if other == d {
			g.waiting = append(g.waiting[:i:i], g.waiting[i+1:]...)
			break
		}
	}
	left := d.left
	g.mu.Unlock()
	if left == nil {
		return
	}
	select {
	case <-left:
	default:
		g.close()
		<-left
	}
}

// leave has the next frame leave, unless one is under way that is not late.
func (g *gathering) leave(late bool) {
	g.mu.Lock()
	if len(g.waiting) == 0 || g.underWay > 0 && !late || g.underWay >= maxUnderWay {
		g.mu.Unlock()
		return
	}
	group := g.next()
	left := make(chan struct{})
	for _, d := range group {
		d.left = left
	}
	g.underWay++
	g.late.Reset(overdue)
	g.mu.Unlock()
	g.depart(group)
	close(left)
}

// next takes the requests of the next frame. The caller holds mu.
func (g *gathering) next() []*decoding {
	n, bytes := 0, 0
	for ; n < len(g.waiting); n++ {
		if bytes += len(g.waiting[n].request.Body) + len(g.waiting[n].request.Query); n > 0 && bytes > maxGathered {
			break
		}
	}
	group := append([]*decoding(nil), g.waiting[:n]...)
	rest := copy(g.waiting, g.waiting[n:])
	clear(g.waiting[rest:])
	g.waiting = g.waiting[:rest]
	return group
}

// depart sends a frame, whose requests it refers to until it returns.
func (g *gathering) depart(group []*decoding) {
	call, ok := g.begin(func(answer []byte, err error) { g.arrive(group, answer, err) })
	if !ok {
		g.arrive(group, nil, errNoLink)
		return
	}
	buffer := frames.Get().(*[]byte)
	parts, b, length := appendCall((*buffer)[:0], call, group)
	if length > g.limit {
		if done := g.finish(call); done != nil {
			done(nil, errNoLink)
		}
	} else {
		g.send(context.Background(), parts)
	}
	keepFrame(buffer, b)
}

// arrive hands out the answer to a frame, and has the next leave.
func (g *gathering) arrive(group []*decoding, answer []byte, err error) {
	var outcomes []outcome
	if err == nil {
		if outcomes, err = readOutcomes(answer, len(group)); err != nil {
			go g.close()
		}
	}
	g.mu.Lock()
	g.underWay--
	g.mu.Unlock()
	for i, d := range group {
		if err != nil {
			d.done <- outcome{err: errNoLink}
			continue
		}
		d.done <- outcomes[i]
	}
	g.leave(false)
}

// appendCall appends a frame that calls an input: the time that is left, in
// nanoseconds (0: no limit), the number of requests, and each request. Long bodies
// are parts of their own. It returns all parts, the bytes appended, and the length
// of the frame behind its header.
func appendCall(dst []byte, call uint64, group []*decoding) (parts net.Buffers, b []byte, length int) {
	const long = 8 << 10 // bytes from which a copy costs more than another part
	b = frame.AppendUint64(frame.Begin(dst, frame.Call, call), timeOf(group))
	b = frame.AppendUint32(b, uint32(len(group)))
	var cuts []int // where a body comes between
	var bodies [][]byte
	more := 0
	for _, d := range group {
		b = appendHead(b, &d.request)
		b = frame.AppendUint32(b, uint32(len(d.request.Body)))
		if len(d.request.Body) < long {
			b = append(b, d.request.Body...)
			continue
		}
		cuts, bodies = append(cuts, len(b)), append(bodies, d.request.Body)
		more += len(d.request.Body)
	}
	frame.End(b, more)
	from := 0
	for i, cut := range cuts {
		parts = append(parts, b[from:cut], bodies[i])
		from = cut
	}
	if from < len(b) {
		parts = append(parts, b[from:])
	}
	return parts, b, len(b) - frame.HeaderSize + more
}

// timeOf is the longest time that a request of a frame has, as it crosses the wire.
func timeOf(group []*decoding) uint64 {
	var latest time.Time
	for _, d := range group {
		if d.deadline.IsZero() {
			return 0
		}
		if d.deadline.After(latest) {
			latest = d.deadline
		}
	}
	return uint64(max(time.Until(latest), 1))
}
