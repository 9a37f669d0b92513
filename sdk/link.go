package sdk

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"fluxgate/sdk/internal/frame"
)

// errNoLink says that a call did not go over the data socket, or that it broke
// under the call. The portable plane is to be used.
var errNoLink = errors.New("the data socket cannot be used")

// linkBuffer is how much is read from a data socket at once, in bytes.
const linkBuffer = 64 << 10

// A link is the host's end of a data socket. It is closed by what it gets that is no
// answer, and with the process.
type link struct {
	conn  net.Conn
	limit int // bytes of a frame

	writing sync.Mutex // held while a frame is written

	mu     sync.Mutex
	calls  map[uint64]func(answer []byte, err error) // under way
	last   uint64                                    // call
	closed bool
}

// dialLink connects to the data socket that a plugin has named. It must be in the
// folder of the host's sockets, if there is one, from which it is then removed.
func dialLink(ctx context.Context, s Spec, path string) (*link, error) {
	if s.SocketDir != "" && filepath.Dir(path) != filepath.Clean(s.SocketDir) {
		return nil, errors.New("it is not in the folder for sockets")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if s.SocketDir != "" {
		_ = os.Remove(path) // the plugin may have been faster
	}
	l := &link{conn: conn, limit: s.limit(), calls: make(map[uint64]func([]byte, error))}
	go l.receive()
	return l, nil
}

// begin enters a call, whose end is told to done exactly once, from another
// goroutine. It returns false when the link is closed.
func (l *link) begin(done func(answer []byte, err error)) (call uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, false
	}
	l.last++
	l.calls[l.last] = done
	return l.last, true
}

// finish takes a call out; nil if it is not under way any more.
func (l *link) finish(call uint64) func([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	done := l.calls[call]
	delete(l.calls, call)
	return done
}

// send writes the parts of one frame. A link that cannot be written to is closed,
// and so is one whose plugin does not read until ctx ends.
func (l *link) send(ctx context.Context, parts net.Buffers) {
	l.writing.Lock()
	defer l.writing.Unlock()
	defer context.AfterFunc(ctx, l.close)()
	if _, err := parts.WriteTo(l.conn); err != nil {
		l.close()
	}
}

// cancel tells the plugin that nobody waits for a call any more.
func (l *link) cancel(call uint64) {
	l.send(context.Background(), net.Buffers{frame.Begin(nil, frame.Cancel, call)})
}

// receive takes answers until the link is closed.
func (l *link) receive() {
	defer l.close()
	r := bufio.NewReaderSize(l.conn, linkBuffer)
	for {
		kind, call, answer, err := frame.Read(r, l.limit)
		if err != nil || kind != frame.Answer {
			return
		}
		if done := l.finish(call); done != nil {
			done(answer, nil)
		}
	}
}

// close ends the link, and with errNoLink every call under way.
func (l *link) close() {
	l.mu.Lock()
	l.closed = true
	calls := l.calls
	l.calls = nil
	l.mu.Unlock()
	_ = l.conn.Close() // the second time it fails
	for _, done := range calls {
		done(nil, errNoLink)
	}
}

// timeLeft is what is left of ctx's time, as it crosses the wire; 0: no limit.
func timeLeft(ctx context.Context) uint64 {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return uint64(max(time.Until(deadline), 1))
}
