package sdk

import (
	"context"
	"net"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"

	"fluxgate/sdk/internal/frame"
)

// A call to a sink is the time that is left, in nanoseconds (0: no limit), the
// number of batches, and each batch as columns behind its length. Its answer is an
// outcome.

// A writing is one call to a sink.
type writing struct{ outcome chan error } // has room for an answer and its loss

// take implements [caller].
func (w writing) take(answer []byte) (last bool, err error) {
	outcome, err := readOutcome(answer)
	if err == nil {
		w.outcome <- outcome
	}
	return err == nil, err
}

func (w writing) lost() { w.outcome <- errNoLink }

// write has a plugin write batches, in their order.
func (l *link) write(ctx context.Context, batches []Batch) error {
	w := writing{make(chan error, 2)}
	call, ok := l.begin(w)
	if !ok {
		return errNoLink
	}
	buffer := frames.Get().(*[]byte)
	deadline, _ := ctx.Deadline()
	bytes := frame.AppendUint64(frame.Begin((*buffer)[:0], frame.Call, call), timeLeft(deadline))
	bytes = appendBatches(bytes, batches)
	frame.End(bytes, 0)
	sent := len(bytes)-frame.HeaderSize <= l.limit
	if sent {
		heeded := atEnd(ctx, l.hurry)
		sent = l.send(net.Buffers{bytes}, ctx.Done())
		heeded()
	}
	keepFrame(buffer, bytes)
	if !sent {
		l.forget(call)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return errNoLink
	}
	select {
	case err := <-w.outcome:
		return err
	case <-ctx.Done():
		go l.cancel(call)
		return ctx.Err()
	}
}

// maxKeptFrame bounds a buffer that is used again, in bytes.
const maxKeptFrame = 8 << 20

// frames are buffers for frames that leave.
var frames = sync.Pool{New: func() any { return new([]byte) }}

// keepFrame has a buffer used again, which has become b.
func keepFrame(buffer *[]byte, b []byte) {
	if *buffer = b; cap(b) <= maxKeptFrame {
		frames.Put(buffer)
	}
}

// readOutcome reads the outcome of a call.
func readOutcome(answer []byte) (outcome, err error) {
	c := frame.Parts(answer)
	_, outcome = outcomeOf(&c)
	return outcome, c.Err()
}

// An outcome is a status code of gRPC, 0 for success, and the text of an error.

// codeTooLong is that of a request whose submission is longer than a frame may be. It is
// to be asked for over the portable plane.
const codeTooLong = codes.ResourceExhausted

func appendOutcome(dst []byte, err error) []byte {
	if err == nil {
		return frame.AppendUint64(dst, 0) // no code, no text
	}
	code, text := codeOf(err)
	return frame.AppendText(frame.AppendUint32(dst, uint32(code)), text)
}

// outcomeOf reads an outcome. The error keeps nothing of the frame.
func outcomeOf(c *frame.Cursor) (codes.Code, error) {
	code, text := codes.Code(c.Uint32()), cut(c.Text(), maxErrorText)
	if code == codes.OK {
		return code, nil
	}
	return code, errorOf(code, strings.Clone(text))
}

func appendBatches(dst []byte, batches []Batch) []byte {
	dst = frame.AppendUint32(dst, uint32(len(batches)))
	for _, b := range batches {
		begin := len(dst)
		dst = AppendBatch(frame.AppendUint32(dst, 0), b)
		frame.PutUint32(dst[begin:], uint32(len(dst)-begin-4))
	}
	return dst
}
