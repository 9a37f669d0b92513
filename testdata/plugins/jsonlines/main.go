// Fluxgate-sink-jsonlines appends to a file: for each batch a line, a JSON list of datapoints.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"

	"fluxgate/sdk"
)

func main() { sdk.ServeSink(sink{Path: "datapoints.jsonl"}, open) }

type sink struct {
	Path string `koanf:"path" help:"the file that datapoints are appended to"`
}

func open(_ context.Context, configured sink) (sdk.Sink, error) { return configured, nil }

func (s sink) Write(_ context.Context, batch sdk.Batch) error {
	file, err := os.OpenFile(s.Path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return sdk.Unavailablef("%w", err)
	}
	_, cut := file.WriteString("\n") // it ends a line that a full disk has cut short
	err = json.NewEncoder(file).Encode(batch)
	return errors.Join(cut, err, file.Sync(), file.Close())
}
