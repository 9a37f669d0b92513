// Flux is an input plugin for the two requests that Skyline Flux takes: one
// metric in the query of a GET, and one or many in the JSON of a POST.
package main

import (
	"context"
	"net/http"
	"strings"
	"time"

	"fluxgate/sdk"
)

func main() { sdk.ServeInput(sdk.NoConfig{}, open) }

func open(context.Context, sdk.NoConfig) (sdk.Input, error) { return &input{now: time.Now}, nil }

// An input reads a GET by its query and every other method by its body. The
// time stands in for timestamps that are not given; it is read once a request.
type input struct {
	now    func() time.Time
	memory lists
}

func (in *input) Decode(_ context.Context, r sdk.Request) (sdk.Submission, error) {
	now := in.now().Unix()
	if r.Method == http.MethodGet {
		return decodeQuery(r.Query, r.Header, now, &in.memory)
	}
	if s, taken := scanBody(r.Body, r.Header, now, &in.memory); taken {
		return s, nil
	}
	return decodeBody(r.Body, r.Header, now)
}

func (in *input) Recycle(s sdk.Submission) {
	in.memory.give(s.Batch)
	in.memory.give(s.Backfill)
}

// testOnly reports whether the header asks for a dry run. Its value, even an
// empty one, does not matter.
func testOnly(h http.Header) bool { return len(h.Values("X-Test-Only")) > 0 }

// healthy is the answer to a health check.
func healthy() sdk.Submission {
	return sdk.Submission{Reply: &sdk.Reply{Status: http.StatusOK, Body: []byte(`{"status": "ok"}`)}}
}

// maxQuote bounds what a message repeats of a request, in bytes.
const maxQuote = 1024

// quote returns s, which is UTF-8, as a message repeats it: whole where it fits
// maxQuote, else its beginning and three dots.
func quote(s string) string {
	const dots = "..."
	if len(s) <= maxQuote {
		return s
	}
	return strings.ToValidUTF8(s[:maxQuote-len(dots)], "") + dots // a character cut in half goes
}
