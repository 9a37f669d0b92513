// Fluxgate-sink-plaintext is a sink plugin that hands datapoints to Carbon's line
// receiver. See package carbon for what its acknowledgement means.
package main

import (
	"context"

	"fluxgate/sdk"
	"fluxgate/sdk/carbon"
)

func main() {
	sdk.ServeSink(carbon.Config{Address: []string{"127.0.0.1:2003"}, Timeout: carbon.DefaultTimeout}, open)
}

func open(_ context.Context, c carbon.Config) (sdk.Sink, error) {
	return carbon.NewSink(c, appendLines), nil
}
