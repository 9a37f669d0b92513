package web

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net/http"
	"os"
	"sync"
	"sync/atomic"

	"fluxgate/sdk"
)

var (
	errTooLarge = errors.New("the request is too large")
	errSlow     = errors.New("the request took too long to arrive")
	errBusy     = sdk.Unavailablef("too many requests are being worked on, send it again later")
)

// read returns the body of r, unpacked if it says that it is gzipped and is.
func (d *Door) read(r *http.Request, held *share) ([]byte, error) {
	if err := held.add(headSize(r)); err != nil {
		return nil, err
	}
	if r.Body == http.NoBody {
		return nil, nil
	}
	before := held.bytes
	body, err := d.receive(r, held)
	if err != nil {
		return nil, err
	}
	if r.Header.Get("Content-Encoding") != "gzip" {
		return body, nil
	}
	held.shrink(before)
	return d.unpack(body, held)
}

// unpack returns what gzipped holds, or gzipped itself if it is not gzip.
func (d *Door) unpack(gzipped []byte, held *share) ([]byte, error) {
	before := held.bytes
	unzip, err := gzip.NewReader(bytes.NewReader(gzipped))
	if err == nil {
		var body []byte
		body, err = d.readAll(unzip, nil, d.maxBody.Load(), held)
		if err == nil || errors.Is(err, errTooLarge) || errors.Is(err, sdk.ErrUnavailable) {
			return body, err
		}
	}
	held.shrink(before)
	return gzipped, held.add(len(gzipped))
}

// receive returns the body of r as it was sent.
func (d *Door) receive(r *http.Request, held *share) ([]byte, error) {
	longest := d.maxBody.Load()
	if r.ContentLength > longest {
		return nil, d.tooLarge()
	}
	if r.ContentLength >= 0 {
		longest = r.ContentLength
	}
	body, err := d.readAll(r.Body, held.room, longest, held)
	held.room = body[:0]
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errSlow
	case errors.Is(err, errTooLarge) || errors.Is(err, sdk.ErrUnavailable):
		return nil, err
	case err != nil:
		return nil, sdk.Invalidf("the body did not arrive whole")
	}
	return body, nil
}

// headSize returns about how many bytes of r's head are kept.
func headSize(r *http.Request) int {
	n := len(r.RequestURI)
	for name, values := range r.Header {
		for _, value := range values {
			n += len(name) + len(value)
		}
	}
	return n
}

// readAll reads src to its end, which must come within longest bytes, and counts
// each byte as it comes. The room that it takes is that of body, or at most twice
// what has come.
func (d *Door) readAll(src io.Reader, body []byte, longest int64, held *share) ([]byte, error) {
	const first = 4 << 10
	if least := min(longest+1, first); int64(cap(body)) < least { // one more than fits, to see the end
		body = make([]byte, 0, least)
	}
	for {
		n, err := src.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if int64(len(body)) > longest {
			return body, d.tooLarge()
		}
		if err := held.add(n); err != nil {
			return body, err
		}
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return body, err
		}
		if len(body) == cap(body) {
			room := int64(1) << bits.Len(uint(cap(body))) // the next power of two
			if room >= longest {
				room = longest + 1
			}
			body = append(make([]byte, 0, room), body...)
		}
	}
}

func (d *Door) tooLarge() error {
	return fmt.Errorf("%w: at most %d bytes, also when unpacked", errTooLarge, d.maxBody.Load())
}

// A budget bounds the bytes of all requests that are being worked on.
type budget struct {
	limit, used atomic.Int64
}

// hold returns an empty share, to be released.
func (b *budget) hold() *share {
	s := shares.Get().(*share)
	s.budget = b
	return s
}

// A share is what one request holds of the budget, and the room that its body is in.
type share struct {
	budget *budget
	bytes  int64
	room   []byte // empty
}

var shares = sync.Pool{New: func() any { return new(share) }}

// maxRoom bounds the room that is used again, in bytes.
const maxRoom = 1 << 20

// add takes n bytes more, or returns errBusy.
func (s *share) add(n int) error {
	if s.budget.used.Add(int64(n)) > s.budget.limit.Load() {
		s.budget.used.Add(-int64(n))
		return errBusy
	}
	s.bytes += int64(n)
	return nil
}

// shrink gives back what is above bytes.
func (s *share) shrink(bytes int64) {
	s.budget.used.Add(bytes - s.bytes)
	s.bytes = bytes
}

// release gives everything back. Nothing may refer to the body any more.
func (s *share) release() {
	s.shrink(0)
	if s.budget = nil; cap(s.room) > maxRoom {
		s.room = nil
	}
	shares.Put(s)
}
