package carbon

import (
	"context"

	"fluxgate/sdk"
)

// A Format appends a batch to dst as the bytes that a receiver reads. Where the
// receiver could not keep a datapoint, it returns an error that wraps
// [sdk.ErrInvalid] and names the metric.
type Format func(dst []byte, b sdk.Batch) ([]byte, error)

// A Sink writes batches to Carbon in a format. It is an [sdk.Sink], an
// [sdk.BulkSink] and an [sdk.Checker].
type Sink struct {
	*Sender
	format Format
}

// NewSink returns a sink for valid settings. It connects to nothing yet.
func NewSink(c Config, f Format) Sink { return Sink{NewSender(c), f} }

// Write delivers b as WriteAll does.
func (s Sink) Write(ctx context.Context, b sdk.Batch) error { return s.WriteAll(ctx, []sdk.Batch{b}) }

// WriteAll delivers the batches over one connection. When one has an invalid
// datapoint, nothing of any is sent.
func (s Sink) WriteAll(ctx context.Context, batches []sdk.Batch) error {
	p := s.take()
	for _, b := range batches {
		bytes, err := s.format(p.bytes, b)
		if err != nil {
			s.release(p)
			return err
		}
		p.bytes = bytes
	}
	if len(p.bytes) == 0 {
		s.release(p)
		return nil
	}
	return s.send(ctx, p)
}
