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
	return sink{carbon.NewSender(c)}, nil
}

// A sink is its sender, which also checks it.
type sink struct{ *carbon.Sender }

func (s sink) Write(ctx context.Context, b sdk.Batch) error {
	if len(b) == 0 {
		return nil
	}
	for _, d := range b {
		if err := carbon.Valid(d); err != nil {
			return err
		}
	}
	return s.Send(ctx, appendFrames(make([]byte, 0, framesSize(b)), b))
}
