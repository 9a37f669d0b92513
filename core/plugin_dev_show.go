package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"fluxgate/core/config"
	"fluxgate/sdk"
)

// A stage is where a plugin is tried: it shows what passes through it.
type stage struct {
	candidate
	out       io.Writer
	resampler sdk.Resampler // by the fleet, in a witness
	mu        sync.Mutex    // held by the one that prints
}

// run has a Fluxgate run until ctx ends.
func (s *stage) run(ctx context.Context, c config.Config) error {
	var started sync.WaitGroup
	defer started.Wait()
	ctx, end := context.WithCancel(ctx)
	defer end()
	w := witness{ready: func(public net.Addr, made string) {
		started.Go(func() { s.begin(ctx, public, made) })
	}}
	switch s.kind {
	case "sink":
		w.sink = func(sink sdk.Sink) sdk.Sink { return seenSink{sink, s} }
	case "input":
		w.input = func(in sdk.Input) sdk.Input { return seenInput{in, s} }
	case "resampler":
		w.resampler = func(r sdk.Resampler) sdk.Resampler {
			s.resampler = seenResampler{r, s}
			return s.resampler
		}
	}
	return serve(ctx, c, w, wish{})
}

// begin says how to send something to the plugin, and sends it something.
func (s *stage) begin(ctx context.Context, public net.Addr, made string) {
	s.print("%s %s, version %s, runs; ^C ends it.\n", s.kind, s.name, s.version)
	switch s.kind {
	case "sink":
		s.send(ctx, datapointFor(reachable(public), made))
	case "input":
		s.offer(ctx, reachable(public), made)
	case "resampler":
		_, _ = s.resampler.Resample(ctx, sample(), time.Minute) // it is shown
	}
}

// print prints without another's lines between.
func (s *stage) print(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(legible{s.out}, format, args...)
}

// A seenSink shows the datapoints that a sink gets.
type seenSink struct {
	sdk.Sink
	*stage
}

// Write implements [sdk.Sink].
func (s seenSink) Write(ctx context.Context, b sdk.Batch) error {
	err := s.Sink.Write(ctx, b)
	switch {
	case len(b) == 0:
	case errors.Is(err, sdk.ErrInvalid):
		s.print("refused:\n%s  %v\n", lines(b), err)
	case err != nil:
		s.print("not taken, and tried again:\n%s  %v\n", lines(b), err)
	default:
		s.print("taken:\n%s", lines(b))
	}
	return err
}

// A seenInput shows the submissions that requests become.
type seenInput struct {
	sdk.Input
	*stage
}

// Decode implements [sdk.Input].
func (s seenInput) Decode(ctx context.Context, r sdk.Request) (sdk.Submission, error) {
	sub, err := s.Input.Decode(ctx, r)
	s.print("%s with %d bytes became:\n%s", r.Route, len(r.Query)+len(r.Body), submitted(sub, err))
	return sub, err
}

// A seenResampler shows what series become.
type seenResampler struct {
	sdk.Resampler
	*stage
}

// Resample implements [sdk.Resampler].
func (s seenResampler) Resample(ctx context.Context, in sdk.Series, step time.Duration) (sdk.Series, error) {
	out, err := s.Resampler.Resample(ctx, in, step)
	s.print("%s, resampled to a point for each %v:\n%s", in.Metric, step, resampled(in, out, step, err))
	return out, err
}
