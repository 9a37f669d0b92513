package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"fluxgate/sdk"
	"fluxgate/sdk/plugintest"
)

func TestMain(m *testing.M) { plugintest.Main(m, main) }

func TestSink(t *testing.T) {
	path := filepath.Join(t.TempDir(), "datapoints.jsonl")
	plugintest.Sink(t, map[string]any{"path": path}, func() (stored sdk.Batch) {
		text, _ := os.ReadFile(path) // it is not there before the first datapoint is
		for line := range bytes.Lines(text) {
			var batch sdk.Batch
			if json.Unmarshal(line, &batch) == nil {
				stored = append(stored, batch...)
			}
		}
		return stored
	})
}
