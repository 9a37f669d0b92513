package web

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"fluxgate/sdk"
)

// bodyTime is how long a sender may take to send a body.
const bodyTime = 60 * time.Second

var (
	errTooLarge = errors.New("the request is too large")
	errSlow     = errors.New("the request took too long to arrive")
	errBusy     = sdk.Unavailablef("too many requests are being worked on, send it again later")
)

// read returns the body of r, unpacked if it says that it is gzipped and is.
func (d *Door) read(w http.ResponseWriter, r *http.Request, held *share) ([]byte, error) {
	if err := held.add(len(r.RequestURI)); err != nil {
		return nil, err
	}
	if r.Body == http.NoBody {
		return nil, nil
	}
	if r.ContentLength > d.maxBody {
		return nil, d.tooLarge()
	}
	// Without a deadline a sender could hold the request as long as it likes. A
	// writer without one is a test's.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	before := held.bytes
	body, err := d.readAll(r.Body, max(r.ContentLength, 0), held)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errSlow
	case errors.Is(err, errTooLarge) || errors.Is(err, sdk.ErrUnavailable):
		return nil, err
	case err != nil:
		return nil, sdk.Invalidf("the body did not arrive whole")
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
		body, err = d.readAll(unzip, 0, held)
		if err == nil || errors.Is(err, errTooLarge) || errors.Is(err, sdk.ErrUnavailable) {
			return body, err
		}
	}
	held.shrink(before)
	return gzipped, held.add(len(gzipped))
}

// readAll reads src to its end, within the limit for bodies, and counts each
// byte as it comes. It makes room for expected bytes only as they arrive.
func (d *Door) readAll(src io.Reader, expected int64, held *share) ([]byte, error) {
	const first, most = 4 << 10, 1 << 20
	body := make([]byte, 0, min(max(expected+1, first), most))
	for {
		n, err := src.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if int64(len(body)) > d.maxBody {
			return nil, d.tooLarge()
		}
		if err := held.add(n); err != nil {
			return nil, err
		}
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return nil, err
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
	}
}

func (d *Door) tooLarge() error {
	return fmt.Errorf("%w: at most %d bytes, also when unpacked", errTooLarge, d.maxBody)
}

// A budget bounds the bytes of all requests that are being worked on.
type budget struct {
	limit int64
	used  atomic.Int64
}

func newBudget(limit int64) *budget { return &budget{limit: limit} }

// hold returns an empty share, to be released.
func (b *budget) hold() *share { return &share{budget: b} }

// A share is what one request holds of the budget.
type share struct {
	budget *budget
	bytes  int64
}

// add takes n bytes more, or returns errBusy.
func (s *share) add(n int) error {
	if s.budget.used.Add(int64(n)) > s.budget.limit {
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

func (s *share) release() { s.shrink(0) }
