package sdk

import (
	"context"
	"errors"
)

// A flight is the requests of one frame on their way.
type flight struct {
	gathering *gathering
	group     []*decoding
	call      uint64
	sent      bool          // read when left is closed
	left      chan struct{} // closed when nothing refers to the requests any more
	stop      chan struct{} // closed when somebody does not wait for that

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
	link := f.gathering.link
	if f.call, ok = link.begin(f); !ok {
		f.lost()
		return
	}
	buffer := frames.Get().(*[]byte)
	parts, b, length := appendCall((*buffer)[:0], f.call, f.group)
	if length <= link.limit {
		heeded := atEnd(ctx, f.stopNow)
		f.sent = link.send(parts, f.stop)
		heeded()
	}
	keepFrame(buffer, b)
	if !f.sent {
		link.forget(f.call)
		f.lost()
	}
}

// stopNow has the frame leave now or never, as far as whoever sends it is concerned.
func (f *flight) stopNow() {
	f.gathering.mu.Lock()
	first := !f.stopped
	f.stopped = true
	f.gathering.mu.Unlock()
	if first {
		close(f.stop)
	}
	select {
	case <-f.left:
	default:
		f.gathering.link.hurry()
	}
}

// await returns when nothing refers to the requests any more, at the latest soon
// after the end of ctx.
func (f *flight) await(ctx context.Context) {
	select { // as a rule it is so already, and to ask for it alone costs little
	case <-f.left:
		return
	default:
	}
	select {
	case <-f.left:
	case <-ctx.Done():
		f.stopNow()
		<-f.left
	}
}

var errAnsweredTwice = errors.New("a request is answered twice")

// take implements [caller]: it has the next frame leave, and hands outcomes out.
func (f *flight) take(answer []byte) (last bool, err error) {
	outcomes, err := readOutcomes(answer, len(f.group))
	if err != nil {
		return false, err
	}
	wanted := outcomes[:0]
	f.gathering.mu.Lock()
	for _, o := range outcomes {
		if f.states[o.request] == isAnswered {
			err = errAnsweredTwice
			break
		}
		if f.mark(o.request) {
			wanted = append(wanted, o)
		}
	}
	last = f.answered == len(f.group)
	f.release()
	f.gathering.mu.Unlock()
	for i := range wanted {
		f.group[wanted[i].request].done <- wanted[i].outcome
	}
	return last, err
}

// mark notes that a request has an outcome, and reports whether somebody awaits it. The
// caller holds gathering.mu.
func (f *flight) mark(request int) (awaited bool) {
	awaited = f.states[request] == isAwaited
	if awaited {
		f.awaited--
	}
	f.states[request] = isAnswered
	f.answered++
	return awaited
}

// giveUp reports whether this was the last request that was awaited.
func (f *flight) giveUp(request int) bool {
	f.gathering.mu.Lock()
	defer f.gathering.mu.Unlock()
	if f.states[request] != isAwaited {
		return false
	}
	f.states[request] = isGivenUp
	f.awaited--
	return f.awaited == 0 && f.answered < len(f.group)
}

// lost implements [caller].
func (f *flight) lost() {
	f.gathering.mu.Lock()
	defer f.gathering.mu.Unlock()
	for i, d := range f.group {
		if f.states[i] != isAnswered && f.mark(i) {
			d.done <- outcome{err: errNoLink}
		}
	}
	f.release()
}

// release no longer holds back the next frame. The caller holds gathering.mu.
func (f *flight) release() {
	g := f.gathering
	if g.newest != f {
		return
	}
	g.newest = nil
	g.late.Stop()
	if len(g.waiting) > 0 && !g.leaving {
		go g.leave(context.Background())
	}
}
