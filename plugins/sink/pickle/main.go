// Fluxgate-sink-pickle is a sink plugin that hands datapoints to Carbon's pickle
// receiver. See package carbon for what its acknowledgement means.
package main

import (
	"context"

	"fluxgate/sdk"
	"fluxgate/sdk/carbon"
)

func main() {
	sdk.ServeSink(carbon.Config{Address: []string{"127.0.0.1:2004"}, Timeout: carbon.DefaultTimeout}, open)
}

func open(_ context.Context, c carbon.Config) (sdk.Sink, error) {
	return carbon.NewSink(c, format), nil
}

// format is the [carbon.Format] of a pickle receiver.
func format(dst []byte, b sdk.Batch) ([]byte, error) {
	if err := carbon.ValidBatch(b); err != nil {
		return nil, err
	}
	return appendFrames(dst, b), nil
}
