// Input is a plugin of protocol 1 that answers with all that it was asked, so
// that nothing of a request or a submission can get lost on the way unseen.
package main

import (
	"context"
	"fmt"
	"net/http"

	"fluxgate/testdata/protocol1/sdk"
)

func main() {
	sdk.ServeInput(sdk.NoConfig{}, func(context.Context, sdk.NoConfig) (sdk.Input, error) { return input{}, nil })
}

type input struct{}

// Decode implements [sdk.Input].
func (input) Decode(_ context.Context, r sdk.Request) (sdk.Submission, error) {
	switch string(r.Body) {
	case "refused":
		return sdk.Submission{}, sdk.Invalidf("there is no key")
	case "health":
		return sdk.Submission{Reply: &sdk.Reply{Status: http.StatusOK, Body: r.Body}}, nil
	}
	return sdk.Submission{
		Key:      r.Header.Get("key"),
		Batch:    sdk.Batch{{Metric: r.Query, Timestamp: int64(len(r.Query)), Value: 0.5}},
		Backfill: sdk.Batch{{Metric: string(r.Body), Timestamp: -1, Value: -1e300}, {Metric: "b", Timestamp: 1 << 40, Value: 0}},
		Dropped:  []string{r.Route, r.Method, fmt.Sprint(r.Header.Values("x-twice"))},
		DryRun:   r.Header.Get("dry-run") != "",
		KeyCheck: r.Header.Get("key-check") != "",
		Invalid:  r.Header.Get("invalid"),
	}, nil
}
