package sdk

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"sync"
	"syscall"
	"time"

	"fluxgate/sdk/internal/frame"
)

// An answerer's function answers a call of a data socket, or returns an error for what
// is no call.
type answerer struct {
	answer  func(ctx context.Context, call *frame.Cursor, v voice) error
	sending *sync.RWMutex // held for reading until an answer has left
}

// A voice sends the answer to one call.
type voice struct {
	limit int                // bytes of a frame behind its header
	send  func(frame []byte) // refers to it no more when it returns
	call  uint64
}

// begin appends the header of an answer, which send completes.
func (v voice) begin(dst []byte) []byte { return frame.Begin(dst, frame.Answer, v.call) }

// A dock is the plugin's end of a data socket.
type dock struct {
	answerer
	limit  int // bytes of a frame
	conn   net.Conn
	relief *time.Timer // of who reads, while that one works

	reading sync.Mutex // held while a frame is read, which but one does at a time: an edge for the race detector
	writing sync.Mutex // held while a frame is written

	mu       sync.Mutex
	underWay map[uint64]context.CancelFunc // calls
}

func newDock(a answerer, limit int, conn net.Conn) *dock {
	return &dock{answerer: a, limit: limit, conn: conn, underWay: make(map[uint64]context.CancelFunc)}
}

// serve answers the host that takes an offer.
func (o *offer) serve(a answerer, limit int) {
	conn, err := o.accept()
	if err != nil {
		slog.Warn("the host has not come to the data socket", "err", err)
	}
	if conn != nil {
		newDock(a, limit, conn).run()
	}
}

// relief is how long who has read a call works on it before somebody else reads on.
const relief = time.Millisecond

// run answers calls until the host closes the socket, or speaks nonsense; perhaps
// beyond its return.
func (d *dock) run() {
	r := bufio.NewReaderSize(d.conn, linkBuffer)
	d.relief = time.AfterFunc(time.Hour, func() { d.read(r) })
	d.relief.Stop()
	d.read(r)
}

// read is run, until it has been relieved. Who has read a call works on it, which saves
// a change of goroutines where that is quick.
func (d *dock) read(r *bufio.Reader) {
	for {
		d.reading.Lock()
		kind, call, data, err := frame.Read(r, d.limit)
		d.reading.Unlock()
		switch {
		case err == nil && kind == frame.Call:
			c := frame.Parts(data)
			ctx, cancel := contextOf(c.Uint64())
			if !d.enter(call, cancel) {
				cancel()
				d.end(fmt.Errorf("call %d is made while it is under way", call))
				return
			}
			d.relief.Reset(relief)
			d.work(ctx, call, &c)
			if !d.relief.Stop() {
				return
			}
		case err == nil && kind == frame.Cancel:
			d.cancel(call)
		default:
			d.end(cmp.Or(err, errNoCall))
			return
		}
	}
}

// end is that of reading, and of all calls under way.
func (d *dock) end(why error) {
	gone := errors.Is(why, io.EOF) || errors.Is(why, io.ErrUnexpectedEOF) || errors.Is(why, net.ErrClosed) || errors.Is(why, syscall.ECONNRESET)
	if !gone {
		d.giveUp(why)
	}
	d.cancelAll()
	_ = d.conn.Close() // the second time it fails
}

// giveUp closes the socket, whose host goes on over the portable plane.
func (d *dock) giveUp(why error) {
	slog.Warn("the host speaks nonsense on the data socket, which is given up and only costs speed", "err", why)
	_ = d.conn.Close()
}

// work answers one call.
func (d *dock) work(ctx context.Context, call uint64, c *frame.Cursor) {
	defer d.exit(call)
	d.sending.RLock()
	defer d.sending.RUnlock()
	if err := d.answer(ctx, c, voice{d.limit, d.send, call}); err != nil {
		d.giveUp(err)
	}
}

// send writes a frame.
func (d *dock) send(b []byte) {
	frame.End(b, 0)
	d.writing.Lock()
	_, err := d.conn.Write(b)
	d.writing.Unlock()
	if err != nil {
		_ = d.conn.Close() // it may be closed
	}
}

// contextOf returns a context that lasts for so many nanoseconds; 0: without end.
func contextOf(left uint64) (context.Context, context.CancelFunc) {
	if left == 0 {
		return context.WithCancel(context.Background())
	}
	return context.WithTimeout(context.Background(), time.Duration(min(left, math.MaxInt64)))
}

// enter notes a call. It returns false if it is under way.
func (d *dock) enter(call uint64, cancel context.CancelFunc) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.underWay[call] != nil {
		return false
	}
	d.underWay[call] = cancel
	return true
}

// exit notes that a call is over.
func (d *dock) exit(call uint64) {
	d.cancel(call)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.underWay, call)
}

// cancel ends the context of a call, if it is under way.
func (d *dock) cancel(call uint64) {
	d.mu.Lock()
	cancel := d.underWay[call]
	d.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

func (d *dock) cancelAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, cancel := range d.underWay {
		cancel()
	}
}
