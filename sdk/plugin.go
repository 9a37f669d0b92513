package sdk

import (
	"context"
	"net/http"
	"time"
)

// An Input understands one request format.
//
// Decode reads a request and judges its form alone: keys, metric names and the
// age of timestamps are the host's business. It returns an error wrapping
// [ErrInvalid] only when not even a key can be read; what is wrong behind the
// key goes into [Submission.Invalid]. It must be safe for concurrent use and
// must not keep the request; what it returns may refer to the request's bytes.
// Requests that travel together have one context, which ends with the last of their
// deadlines, or when nobody waits for any of them.
type Input interface {
	Decode(context.Context, Request) (Submission, error)
}

// A Sink stores datapoints.
//
// Write returns nil only when the whole batch is stored, or safely in the hands
// of whoever stores it. It returns an error wrapping [ErrUnavailable] when the
// same batch may succeed later, and [ErrInvalid] when it never will; any other
// error counts as ErrUnavailable. The host retries a batch whole, so a sink must
// accept a datapoint it already has. A batch holds at most 5,000 datapoints or
// 512 KiB. Write must be safe for concurrent use and must not keep the batch, whose
// memory is another batch's when Write has returned: what goes on behind it, such as in a
// goroutine that was not waited for, needs a copy. The strings in it may be kept.
type Sink interface {
	Write(context.Context, Batch) error
}

// A Resampler brings a series to a resolution of one point for each step.
//
// The result is in ascending order of time, and its timestamps are multiples of
// step, which is a number of whole seconds. An interval without points is left
// out: a resampler never invents data. Resample must be safe for concurrent use
// and must not keep the series.
type Resampler interface {
	Resample(ctx context.Context, s Series, step time.Duration) (Series, error)
}

// A Checker is a plugin that can tell whether it would work now, such as by
// reaching its server. Implementing it is optional.
type Checker interface {
	Check(context.Context) error
}

// A BulkSink is a [Sink] that stores several batches at once for less than one after
// the other, such as over one connection. Implementing it is optional.
//
// WriteAll stores the batches in their order, and returns nil only when all are
// stored. Its errors mean what those of Write do, for all of them together: the
// host then writes fewer at once, down to one. It must not keep the batches.
type BulkSink interface {
	WriteAll(context.Context, []Batch) error
}

// A Recycler is an [Input] that uses the memory of its submissions again.
// Implementing it is optional. Recycle is called at most once for each [Submission]
// that Decode has returned without an error, when nothing refers to it any more, and
// must be safe for concurrent use, also with Decode.
type Recycler interface {
	Recycle(Submission)
}

// A plugin that holds resources may implement [io.Closer]. Close is called once,
// after the last call has returned, and should not take longer than a second.

// A Request is an HTTP request as an [Input] sees it: read whole, within the
// host's limit, and no longer gzipped.
type Request struct {
	Route  string // as configured, such as "POST /metric_data_post"
	Method string
	Query  string // raw, as in url.URL.RawQuery; need not be UTF-8
	Header http.Header
	Body   []byte
}

// A Submission is what a request asks for.
//
// A request that turns out to be malformed behind its key is described by
// Invalid, while Batch and Backfill hold what was read before that place: the
// host judges those first, so that a sender is told of the first fault.
//
// Submissions that a host gets may share memory with those of other requests, all of
// which stays for as long as any of them does: whoever keeps a part for long copies it.
type Submission struct {
	Key      string // the API key that the request carried, for the host to judge
	Batch    Batch  // to be stored if fresh
	Backfill Batch  // to be stored whatever its age
	Dropped  []string
	DryRun   bool   // to be judged, and not stored
	KeyCheck bool   // asks only whether the key is admitted
	Invalid  string // why the request is refused; told once the key is admitted
	Reply    *Reply // an answer that needs neither key nor datapoints
}

// A Reply is an answer that an [Input] gives by itself. One with status 200 is
// a health check, and counts as a sign of life.
type Reply struct {
	Status int    // an HTTP status, 200 to 599
	Body   []byte // JSON, or empty
}
