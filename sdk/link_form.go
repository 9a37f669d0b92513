package sdk

import (
	"net"
	"net/http"
	"time"

	"fluxgate/sdk/internal/frame"
)

// A call to an input is the time that is left, in nanoseconds (0: no limit), the number
// of requests, and each request.
//
// A request on a data socket is its route, method and query, the number of headers,
// each with its name, the number of its values and these, and the body. A submission
// is a number of flags, the key, the fault, the reply's status and body, the number
// of dropped names and these, the batch and the backfill. Text and batches stand
// behind their length, in bytes.

// callSize is how much of a call to an input stands before its requests, in bytes.
const callSize = 8 + 4

// appendCall appends a frame that calls an input. Long bodies are parts of their own. It
// returns all parts, the bytes appended, and the length of the frame behind its header.
func appendCall(dst []byte, call uint64, group []*decoding) (parts net.Buffers, b []byte, length int) {
	const long = 8 << 10 // bytes from which a copy costs more than another part
	b = frame.AppendUint64(frame.Begin(dst, frame.Call, call), timeLeft(latest(group)))
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

// latest is the last deadline of the requests; zero if one has none.
func latest(group []*decoding) (last time.Time) {
	for _, d := range group {
		if d.deadline.IsZero() {
			return time.Time{}
		}
		if d.deadline.After(last) {
			last = d.deadline
		}
	}
	return last
}

func appendHead(b []byte, r *Request) []byte {
	b = frame.AppendText(b, r.Route)
	b = frame.AppendText(b, r.Method)
	b = frame.AppendText(b, r.Query)
	b = frame.AppendUint32(b, uint32(len(r.Header)))
	for name, values := range r.Header {
		b = frame.AppendText(b, name)
		b = frame.AppendUint32(b, uint32(len(values)))
		for _, value := range values {
			b = frame.AppendText(b, value)
		}
	}
	return b
}

// requestSize is how much of a frame a request takes, in bytes.
func requestSize(r *Request) int {
	size := minRequest + len(r.Route) + len(r.Method) + len(r.Query) + len(r.Body)
	for name, values := range r.Header {
		size += 4 + len(name) + 4
		for _, value := range values {
			size += 4 + len(value)
		}
	}
	return size
}

// minRequest is the least that a request takes, in bytes.
const minRequest = 4 * 5

func readRequest(c *frame.Cursor) Request {
	r := Request{Route: c.Text(), Method: c.Text(), Query: c.Text()}
	const usual = 32 // headers, whatever their number is said to be
	headers := c.Count(8)
	r.Header = make(http.Header, min(headers, usual))
	var room []string // for values of several headers
	for left := headers; left > 0; left-- {
		name, n := c.Text(), c.Count(4)
		if room == nil || len(room) < n {
			room = make([]string, max(n, min(left, usual)))
		}
		values := room[:n:n]
		room = room[n:]
		for i := range values {
			values[i] = c.Text()
		}
		r.Header[name] = values
	}
	r.Body = c.Bytes()
	return r
}

// The flags of a submission.
const (
	flagDryRun = 1 << iota
	flagKeyCheck
	flagReply
)

func appendSubmission(b []byte, s *Submission) []byte {
	var flags uint32
	var reply Reply
	if s.DryRun {
		flags |= flagDryRun
	}
	if s.KeyCheck {
		flags |= flagKeyCheck
	}
	if s.Reply != nil {
		flags |= flagReply
		reply = *s.Reply
	}
	b = frame.AppendUint32(b, flags)
	b = frame.AppendText(b, s.Key)
	b = frame.AppendText(b, s.Invalid)
	b = frame.AppendUint32(b, uint32(reply.Status))
	b = frame.AppendText(b, reply.Body)
	b = frame.AppendUint32(b, uint32(len(s.Dropped)))
	for _, name := range s.Dropped {
		b = frame.AppendText(b, name)
	}
	return appendColumns(appendColumns(b, s.Batch), s.Backfill)
}

// appendColumns appends a batch behind its length; nothing but a length of 0 where
// it is empty.
func appendColumns(b []byte, batch Batch) []byte {
	at := len(b)
	b = frame.AppendUint32(b, 0)
	if len(batch) > 0 {
		b = AppendBatch(b, batch)
		frame.PutUint32(b[at:], uint32(len(b)-at-4))
	}
	return b
}

// readSubmission reads a submission, whose datapoints it appends to rows.
func readSubmission(c *frame.Cursor, rows Batch) (s Submission, all Batch, err error) {
	flags := c.Uint32()
	s = Submission{DryRun: flags&flagDryRun != 0, KeyCheck: flags&flagKeyCheck != 0, Key: c.Text(), Invalid: c.Text()}
	reply := Reply{Status: int(int32(c.Uint32())), Body: c.Bytes()}
	if flags&flagReply != 0 {
		s.Reply = &reply
	}
	if n := c.Count(4); n > 0 {
		s.Dropped = make([]string, n)
		for i := range s.Dropped {
			s.Dropped[i] = c.Text()
		}
	}
	if s.Batch, rows, err = readColumns(c, rows); err != nil {
		return s, rows, err
	}
	s.Backfill, rows, err = readColumns(c, rows)
	return s, rows, err
}

func readColumns(c *frame.Cursor, rows Batch) (b, all Batch, err error) {
	data := c.Bytes()
	if len(data) == 0 {
		return nil, rows, nil
	}
	all, err = ReadBatch(rows, data)
	if len(all) > len(rows) {
		b = all[len(rows):len(all):len(all)]
	}
	return b, all, err
}

// The answer to a call of an input comes in one frame or several. Each has the number
// of datapoints in it and the number of requests that it answers, and for each of
// these its place in the call, from 0, its outcome and, if that is success, a
// submission.

// minOutcome is the least that a request takes in an answer, in bytes.
const minOutcome = 12

// An answeredRequest is a request that has an outcome.
type answeredRequest struct {
	request int
	outcome
}

// readOutcomes reads an answer, or a part of it, to so many requests.
func readOutcomes(answer []byte, requests int) ([]answeredRequest, error) {
	c := frame.Parts(answer)
	datapoints := c.Count(datapointSize)
	answered := c.Count(minOutcome)
	if answered == 0 || answered > requests {
		return nil, Invalidf("an answer to %d requests of %d", answered, requests)
	}
	outcomes := make([]answeredRequest, answered)
	rows := make(Batch, 0, datapoints)
	for i := range outcomes {
		place := c.Uint32()
		if place >= uint32(requests) {
			return nil, Invalidf("an answer to request %d of %d", place, requests)
		}
		o := &outcomes[i]
		o.request = int(place)
		code, err := outcomeOf(&c)
		if o.err = err; err != nil {
			if code == codeTooLong {
				o.err = errNoLink
			}
			continue
		}
		if o.submission, rows, err = readSubmission(&c, rows); err != nil {
			return nil, err
		}
	}
	if len(rows) != datapoints {
		return nil, Invalidf("an answer with %d datapoints, and not %d", len(rows), datapoints)
	}
	return outcomes, c.Err()
}
