package main

import (
	"net"

	"fluxgate/core/delivery"
	"fluxgate/core/web"
	"fluxgate/sdk"
)

// A witness sees what a server does.
type witness struct {
	ready func(public net.Addr, made string) // requests can come; made is the key that was made, if one was

	// What the server calls in place of a plugin, until it is given another
	// configuration; nil: the plugin.
	input     func(sdk.Input) sdk.Input
	sink      func(sdk.Sink) sdk.Sink
	resampler func(sdk.Resampler) sdk.Resampler
}

func (w witness) inputs(all []web.Input) []web.Input {
	for i := range all {
		if w.input != nil {
			all[i].Input = w.input(all[i].Input)
		}
	}
	return all
}

func (w witness) sinks(all []delivery.Sink) []delivery.Sink {
	for i := range all {
		if w.sink != nil {
			all[i].Sink = w.sink(all[i].Sink)
		}
	}
	return all
}

func (w witness) resamplers(all map[string]sdk.Resampler) map[string]sdk.Resampler {
	for name := range all {
		if w.resampler != nil {
			all[name] = w.resampler(all[name])
		}
	}
	return all
}
