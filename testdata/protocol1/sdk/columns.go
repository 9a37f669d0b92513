package sdk

import (
	"net/http"
	"unsafe"

	"fluxgate/testdata/protocol1/wire"
)

// Rows in the code, columns on the wire.

func packBatch(b Batch) *wire.Batch {
	if len(b) == 0 {
		return nil
	}
	w := &wire.Batch{Metric: make([][]byte, len(b)), Timestamp: make([]int64, len(b)), Value: make([]float64, len(b))}
	for i, d := range b {
		w.Metric[i], w.Timestamp[i], w.Value[i] = borrow(d.Metric), d.Timestamp, d.Value
	}
	return w
}

func unpackBatch(w *wire.Batch) (Batch, error) {
	names, timestamps, values := w.GetMetric(), w.GetTimestamp(), w.GetValue()
	if len(names) != len(timestamps) || len(names) != len(values) {
		return nil, Invalidf("batch with %d metrics, %d timestamps and %d values", len(names), len(timestamps), len(values))
	}
	if len(names) == 0 {
		return nil, nil
	}
	b := make(Batch, len(names))
	for i := range b {
		b[i] = Datapoint{text(names[i]), timestamps[i], values[i]}
	}
	return b, nil
}

func packSeries(s Series) *wire.Series {
	w := &wire.Series{Metric: borrow(s.Metric), Timestamp: make([]int64, len(s.Points)), Value: make([]float64, len(s.Points))}
	for i, p := range s.Points {
		w.Timestamp[i], w.Value[i] = p.Timestamp, p.Value
	}
	return w
}

func unpackSeries(w *wire.Series) (Series, error) {
	timestamps, values := w.GetTimestamp(), w.GetValue()
	if len(timestamps) != len(values) {
		return Series{}, Invalidf("series with %d timestamps and %d values", len(timestamps), len(values))
	}
	s := Series{text(w.GetMetric()), make([]Point, len(timestamps))}
	for i := range s.Points {
		s.Points[i] = Point{timestamps[i], values[i]}
	}
	return s, nil
}

func packRequest(r Request) *wire.Request {
	w := &wire.Request{Route: r.Route, Method: r.Method, Query: borrow(r.Query), Body: r.Body}
	w.Header = make([]*wire.Header, 0, len(r.Header))
	for name, values := range r.Header {
		w.Header = append(w.Header, &wire.Header{Name: borrow(name), Value: borrowAll(values)})
	}
	return w
}

func unpackRequest(w *wire.Request) Request {
	header := make(http.Header, len(w.GetHeader()))
	for _, h := range w.GetHeader() {
		header[text(h.GetName())] = texts(h.GetValue())
	}
	return Request{
		Route: w.GetRoute(), Method: w.GetMethod(), Query: text(w.GetQuery()), Header: header, Body: w.GetBody(),
	}
}

func packSubmission(s Submission) *wire.Submission {
	w := &wire.Submission{
		Key: borrow(s.Key), Batch: packBatch(s.Batch), Backfill: packBatch(s.Backfill), Dropped: borrowAll(s.Dropped),
		DryRun: s.DryRun, KeyCheck: s.KeyCheck, Invalid: borrow(s.Invalid),
	}
	if s.Reply != nil {
		w.Reply = &wire.Reply{Status: int32(s.Reply.Status), Body: s.Reply.Body}
	}
	return w
}

func unpackSubmission(w *wire.Submission) (Submission, error) {
	batch, err := unpackBatch(w.GetBatch())
	if err != nil {
		return Submission{}, err
	}
	backfill, err := unpackBatch(w.GetBackfill())
	if err != nil {
		return Submission{}, err
	}
	s := Submission{
		Key: text(w.GetKey()), Batch: batch, Backfill: backfill, Dropped: texts(w.GetDropped()),
		DryRun: w.GetDryRun(), KeyCheck: w.GetKeyCheck(), Invalid: text(w.GetInvalid()),
	}
	if w.GetReply() != nil {
		s.Reply = &Reply{Status: int(w.Reply.Status), Body: w.Reply.Body}
	}
	return s, nil
}

// borrow returns the bytes of s without a copy, for a message that is only
// read, by the encoder.
func borrow(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

func borrowAll(s []string) [][]byte {
	b := make([][]byte, len(s))
	for i := range s {
		b[i] = borrow(s[i])
	}
	return b
}

// text returns b as a string without a copy, for bytes of a decoded message,
// which nothing else refers to and nobody changes.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func texts(b [][]byte) []string {
	if len(b) == 0 {
		return nil
	}
	s := make([]string, len(b))
	for i := range b {
		s[i] = text(b[i])
	}
	return s
}
