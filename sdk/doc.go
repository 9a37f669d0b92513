// Package sdk is all that the author of a Fluxgate plugin imports.
//
// Fluxgate takes metrics in over HTTP and hands them on. What it takes in,
// where it hands them, and how it resamples them are plugins: programs of their
// own, started by Fluxgate and spoken to over a local socket. There are three
// kinds, and each is one method:
//
//	Input      Decode    an HTTP request becomes a submission
//	Sink       Write     a batch of datapoints is stored
//	Resampler  Resample  a series is brought to another step
//
// A plugin's author implements one of them and calls [ServeInput], [ServeSink]
// or [ServeResampler] from main. A host calls [StartInput], [StartSink] or
// [StartResampler]. The protocol between the two, for other languages, is
// fluxgate.proto and PROTOCOL.md in this folder.
//
// An input and a sink are called over a data socket beside gRPC, which carries many
// requests, or several batches, at once. Where it cannot be used they are called over
// gRPC. Two abilities are for speed alone: [BulkSink] and [Recycler].
package sdk
