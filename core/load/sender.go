package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// A sender sends requests over one connection, and opens it again when it must.
type sender struct {
	*run
	requests *requests

	conn    net.Conn
	in      *bufio.Reader
	unwatch func() bool // ends the bond of conn to the context
	begun   bool        // the answer that is awaited has begun
	limit   time.Time   // when the deadline of conn was set
}

// send sends until no request is due any more, or ctx ends.
func (s *sender) send(ctx context.Context) {
	defer s.drop()
	for {
		due, ok := s.times.next()
		if !ok {
			return
		}
		a, err := s.exchange(ctx, s.requests.next(time.Now().Unix()))
		if ctx.Err() != nil && err != nil {
			return
		}
		if err == nil {
			s.answered(a, due)
			continue
		}
		s.failed(err, due)
		if s.Rate == 0 && s.conn == nil { // else nothing keeps it from failing again at once
			_ = Pause(ctx, retryPause) // the schedule knows of the end too
		}
	}
}

const retryPause = 20 * time.Millisecond

// Pause waits, or returns why ctx has ended.
func Pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// An answer is what a server says.
type answer struct {
	status  int
	text    []byte // the beginning of its body, unless it is a success
	closing bool   // no other follows on this connection
}

// exchange sends a request and reads the answer. A connection that the server has
// closed since the last answer is replaced: to send a datapoint twice is harmless.
func (s *sender) exchange(ctx context.Context, request []byte) (a answer, err error) {
	for {
		fresh := s.conn == nil
		if fresh {
			if err := s.open(ctx); err != nil {
				return a, failure{"connect", err}
			}
		}
		if a, err = s.try(request); err != nil || a.closing {
			s.drop()
		}
		if a.closing {
			s.tally.reopen()
		}
		if err == nil || fresh || s.begun || !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			return a, err
		}
		s.tally.reopen()
	}
}

func (s *sender) open(ctx context.Context) error {
	conn, err := s.target.dial(ctx, s.Timeout)
	if err != nil {
		return err
	}
	s.conn, s.limit = conn, time.Time{}
	if s.in == nil {
		s.in = bufio.NewReaderSize(conn, 4<<10)
	}
	s.in.Reset(conn)
	s.unwatch = context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return nil
}

func (s *sender) drop() {
	if s.conn != nil {
		s.unwatch()
		s.conn.Close()
		s.conn = nil
	}
}

// try sends a request over the open connection and reads the answer.
func (s *sender) try(request []byte) (a answer, err error) {
	s.begun = false
	if now := time.Now(); now.Sub(s.limit) > time.Second { // to set it for each request costs more than it is worth
		s.limit = now
		if err := s.conn.SetDeadline(now.Add(s.Timeout + time.Second)); err != nil {
			return a, err
		}
	}
	if _, err = s.conn.Write(request); err != nil {
		return a, err
	}
	start, err := s.in.Peek(len(noContent))
	s.begun = len(start) > 0
	if err != nil {
		return a, err
	}
	if string(start) == noContent {
		return s.readNoContent()
	}
	return s.read()
}

const noContent = "HTTP/1.1 204 "

// readNoContent reads an answer 204, which has no body.
func (s *sender) readNoContent() (a answer, err error) {
	a.status = http.StatusNoContent
	for {
		line, err := s.in.ReadSlice('\n')
		if err != nil {
			return a, malformed(err)
		}
		if len(line) <= 2 {
			return a, nil
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); len(name) == len("connection") && bytes.EqualFold(name, []byte("connection")) {
			a.closing = bytes.EqualFold(bytes.TrimSpace(value), []byte("close"))
		}
	}
}

// read reads any answer.
func (s *sender) read() (a answer, err error) {
	r, err := http.ReadResponse(s.in, &http.Request{Method: s.Method})
	if err != nil {
		return a, malformed(err)
	}
	defer r.Body.Close()
	a.status, a.closing = r.StatusCode, r.Close
	if a.status/100 != 2 {
		if a.text, err = io.ReadAll(io.LimitReader(r.Body, 300)); err != nil {
			return a, malformed(err)
		}
	}
	if _, err = io.Copy(io.Discard, r.Body); err != nil {
		return a, malformed(err)
	}
	return a, nil
}

// A failure is why a request has no answer, with a word for it.
type failure struct {
	word string
	error
}

func (f failure) Unwrap() error { return f.error }

// malformed tells an answer that nobody understands from one that was cut off.
func malformed(err error) error {
	if _, broken := errors.AsType[net.Error](err); broken || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return failure{"malformed", err}
}

// word names the kind of an error.
func word(err error) string {
	f, named := errors.AsType[failure](err)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return "closed"
	case named:
		return f.word
	}
	return "other"
}
