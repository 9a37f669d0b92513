package sdk

import (
	"context"
	"net"
	"sync"

	"google.golang.org/grpc/codes"

	"fluxgate/sdk/internal/frame"
)

// A call to a sink is the time that is left, in nanoseconds (0: no limit), the
// number of batches, and each batch as columns behind its length. Its answer is an
// outcome.

// write has a plugin write batches, in their order.
func (l *link) write(ctx context.Context, batches []Batch) error {
	outcome := make(chan error, 1)
	call, ok := l.begin(func(answer []byte, err error) {
		if err == nil {
			err = readOutcome(answer)
		}
		outcome <- err
	})
	if !ok {
		return errNoLink
	}
	buffer := frames.Get().(*[]byte)
	bytes := frame.AppendUint64(frame.Begin((*buffer)[:0], frame.Call, call), timeLeft(ctx))
	bytes = appendBatches(bytes, batches)
	frame.End(bytes, 0)
	if len(bytes)-frame.HeaderSize > l.limit {
		l.finish(call)
		return errNoLink
	}
	l.send(ctx, net.Buffers{bytes})
	keepFrame(buffer, bytes)
	select {
	case err := <-outcome:
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

// readOutcome reads the outcome of a call. What is none makes the link useless.
func readOutcome(answer []byte) error {
	c := frame.Parts(answer)
	err := outcomeOf(&c)
	if c.Err() != nil {
		return errNoLink
	}
	return err
}

// An outcome is a status code of gRPC, 0 for success, and the text of an error.

func appendOutcome(dst []byte, err error) []byte {
	if err == nil {
		return frame.AppendUint64(dst, 0) // no code, no text
	}
	code, text := codeOf(err)
	return frame.AppendText(frame.AppendUint32(dst, uint32(code)), string([]rune(text))) // as gRPC has it, UTF-8
}

func outcomeOf(c *frame.Cursor) error {
	code, text := c.Uint32(), string(c.Bytes())
	if code == 0 {
		return nil
	}
	return errorOf(codes.Code(code), text)
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
