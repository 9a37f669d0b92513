package sdk

import (
	"net/http"

	"fluxgate/sdk/internal/frame"
)

// A request on a data socket is its route, method and query, the number of headers,
// each with its name, the number of its values and these, and the body. A submission
// is a number of flags, the key, the fault, the reply's status and body, the number
// of dropped names and these, the batch and the backfill. Text and batches stand
// behind their length, in bytes.

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

// minRequest is the least that a request takes, in bytes.
const minRequest = 4 * 5

func readRequest(c *frame.Cursor) Request {
	r := Request{Route: c.Text(), Method: c.Text(), Query: c.Text()}
	headers := c.Count(8)
	r.Header = make(http.Header, headers)
	for range headers {
		name := c.Text()
		values := make([]string, c.Count(4))
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

// The answer to a call of an input is the number of datapoints in it, as far as that
// is known, and for each request its outcome and, if that is success, a submission.

// minOutcome is the least that an outcome takes, in bytes.
const minOutcome = 8

// readOutcomes reads the answer to so many requests.
func readOutcomes(answer []byte, requests int) ([]outcome, error) {
	c := frame.Parts(answer)
	rows := make(Batch, 0, c.Count(datapointSize))
	outcomes := make([]outcome, requests)
	for i := range outcomes {
		o := &outcomes[i]
		if o.err = outcomeOf(&c); o.err != nil {
			continue
		}
		var err error
		if o.submission, rows, err = readSubmission(&c, rows); err != nil {
			return nil, err
		}
	}
	return outcomes, c.Err()
}
