package sdk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"fluxgate/sdk/internal/frame"
)

// errNoLink says that a call did not go over the data socket, or that it broke
// under the call. The portable plane is to be used.
var errNoLink = errors.New("the data socket cannot be used")

const (
	// linkBuffer is how much is read from a data socket at once, in bytes.
	linkBuffer = 64 << 10

	// maxCalls is how many calls are under way on a data socket at most, those that
	// were given up and have no answer included.
	maxCalls = 4096

	// stuckTimeout is how long a plugin may leave a frame half read of which a call
	// was given up.
	stuckTimeout = time.Second
)

// A link is the host's end of a data socket. It is closed by what it gets that is no
// answer, and with the process.
type link struct {
	conn  net.Conn
	limit int           // bytes of a frame
	stuck time.Duration // stuckTimeout

	turn chan struct{} // holds one while a frame is written

	mu    sync.Mutex
	calls map[uint64]caller // under way
	last  uint64            // call

	broken chan struct{} // closed with the link
	why    error         // read when broken is closed
}

// A caller waits for the answer to a call.
type caller interface {
	// take takes an answer, and reports whether it was the last one. The error is for
	// what is no answer.
	take(answer []byte) (last bool, err error)

	// lost is told that no answer will come. It may follow an answer.
	lost()
}

func newLink(conn net.Conn, limit int) *link {
	l := &link{conn: conn, limit: limit, stuck: stuckTimeout, turn: make(chan struct{}, 1), calls: make(map[uint64]caller), broken: make(chan struct{})}
	go l.receive()
	return l
}

// begin enters a call. It returns false when the link is closed, or full.
func (l *link) begin(c caller) (call uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls == nil || len(l.calls) >= maxCalls {
		return 0, false
	}
	l.last++
	l.calls[l.last] = c
	return l.last, true
}

// forget takes a call out that has had its last answer, or was not made.
func (l *link) forget(call uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.calls, call)
}

// send writes the parts of one frame in its turn. It refers to them no more when it
// returns, which is soon after stop is closed and hurry called: what has not left by
// then is copied, and leaves later. It returns false if nothing has left.
func (l *link) send(parts net.Buffers, stop <-chan struct{}) bool {
	select {
	case l.turn <- struct{}{}:
	case <-stop:
		return false
	case <-l.broken:
		return false
	}
	for left := false; ; {
		_ = l.conn.SetWriteDeadline(time.Time{}) // a write tells what is wrong
		select {
		case <-stop:
			if left {
				go l.sendRest(slices.Concat(parts...))
				return true
			}
			<-l.turn
			return false
		default:
		}
		n, err := parts.WriteTo(l.conn)
		left = left || n > 0
		if errors.Is(err, os.ErrDeadlineExceeded) { // it may have been for another send
			continue
		}
		if err != nil {
			l.close(err)
		}
		<-l.turn
		return true
	}
}

// sendRest writes what is left of a frame, in the turn of that.
func (l *link) sendRest(rest []byte) {
	defer func() { <-l.turn }()
	for until := time.Now().Add(l.stuck); len(rest) > 0; {
		_ = l.conn.SetWriteDeadline(until)
		n, err := l.conn.Write(rest)
		rest = rest[n:]
		if err != nil && (!errors.Is(err, os.ErrDeadlineExceeded) || time.Now().After(until)) {
			l.close(fmt.Errorf("a frame does not leave: %w", err))
			return
		}
	}
}

// hurry has a send under way return, if its stop is closed.
func (l *link) hurry() { _ = l.conn.SetWriteDeadline(time.Unix(1, 0)) }

// atEnd has f called at the end of ctx, unless heeded is called before. Of a context that
// does not end it is not told.
func atEnd(ctx context.Context, f func()) (heeded func() bool) {
	if ctx.Done() == nil {
		return func() bool { return true }
	}
	return context.AfterFunc(ctx, f)
}

// cancel tells the plugin that nobody waits for a call any more.
func (l *link) cancel(call uint64) {
	l.send(net.Buffers{frame.Begin(nil, frame.Cancel, call)}, nil)
}

// receive takes answers until the link is closed. It never waits for a frame to
// leave, so that a plugin which reads nothing until its answer has left is served.
func (l *link) receive() {
	r := bufio.NewReaderSize(l.conn, linkBuffer)
	for {
		kind, call, answer, err := frame.Read(r, l.limit)
		if err == nil && kind != frame.Answer {
			err = fmt.Errorf("frame of kind %d, and not an answer", kind)
		}
		if err == nil {
			err = l.take(call, answer)
		}
		if err != nil {
			l.close(err)
			return
		}
	}
}

func (l *link) take(call uint64, answer []byte) error {
	l.mu.Lock()
	c := l.calls[call]
	l.mu.Unlock()
	if c == nil {
		return fmt.Errorf("answer to call %d, which is not under way", call)
	}
	last, err := c.take(answer)
	if last {
		l.forget(call)
	}
	return err
}

func (l *link) isBroken() bool {
	select {
	case <-l.broken:
		return true
	default:
		return false
	}
}

// close ends the link, and every call under way.
func (l *link) close(why error) {
	l.mu.Lock()
	calls := l.calls
	if calls != nil {
		l.calls, l.why = nil, why
		close(l.broken)
	}
	l.mu.Unlock()
	_ = l.conn.Close() // the second time it fails
	for _, c := range calls {
		c.lost()
	}
}

// timeLeft is what is left until a deadline, as it crosses the wire; 0: no limit.
func timeLeft(deadline time.Time) uint64 {
	if deadline.IsZero() {
		return 0
	}
	return uint64(max(time.Until(deadline), 1))
}
