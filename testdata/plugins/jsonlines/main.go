// Fluxgate-sink-jsonlines appends each batch to a file, as a line with a JSON list of datapoints.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fluxgate/sdk"
	"os"
)

func main()                                                     { sdk.ServeSink(sink{"datapoints.jsonl"}, open) }
func open(_ context.Context, configured sink) (sdk.Sink, error) { return configured, nil }

type sink struct {
	Path string `koanf:"path" help:"the file that datapoints are appended to"`
}

func (s sink) Write(_ context.Context, batch sdk.Batch) error {
	line, err := json.Marshal(batch)
	if err != nil {
		return sdk.Invalidf("%w", err)
	}
	file, err := os.OpenFile(s.Path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return sdk.Unavailablef("%w", err)
	}
	_, err = file.WriteString("\n" + string(line) + "\n") // the first ends a line that a full disk has cut short
	return errors.Join(err, file.Sync(), file.Close())
}
