package sdk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"fluxgate/sdk"
	"fluxgate/sdk/plugintest"
)

// The plugins of the page for authors that are faster than they need be.

type fastSink struct {
	Path string `koanf:"path" help:"the file that lines are appended to"`
}

var _ sdk.BulkSink = fastSink{}

func (s fastSink) Write(ctx context.Context, b sdk.Batch) error {
	return s.WriteAll(ctx, []sdk.Batch{b})
}

func (s fastSink) WriteAll(_ context.Context, batches []sdk.Batch) error {
	var lines bytes.Buffer
	for _, b := range batches {
		for _, d := range b {
			if strings.ContainsAny(d.Metric, " \n") || d.Metric == "" {
				return sdk.Invalidf("metric %q: it cannot be a word of a line", d.Metric)
			}
			fmt.Fprintln(&lines, d.Metric, d.Value, d.Timestamp)
		}
	}
	return s.store(lines.Bytes()) // one write and one sync for all
}

func (s fastSink) store(lines []byte) error {
	file, err := os.OpenFile(s.Path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return sdk.Unavailablef("%w", err)
	}
	_, err = file.Write(lines)
	return errors.Join(err, file.Sync(), file.Close())
}

type fastInput struct{ lists *sync.Pool }

func (f fastInput) Decode(_ context.Context, r sdk.Request) (sdk.Submission, error) {
	key := r.Header.Get("Key")
	if key == "" {
		return sdk.Submission{}, sdk.Invalidf("no key")
	}
	s := sdk.Submission{Key: key, Batch: (*f.lists.Get().(*sdk.Batch))[:0]}
	for line := range strings.Lines(string(r.Body)) {
		var d sdk.Datapoint
		if n, _ := fmt.Sscanf(line, "%s %g %d", &d.Metric, &d.Value, &d.Timestamp); n < 3 || d.Value-d.Value != 0 {
			s.Invalid = "line: " + line
			break
		}
		s.Batch = append(s.Batch, d)
	}
	return s, nil
}

var _ sdk.Recycler = fastInput{}

func (f fastInput) Recycle(s sdk.Submission) { f.lists.Put(&s.Batch) }

func serveFast(kind string) {
	if kind == "sink" {
		sdk.ServeSink(fastSink{}, func(_ context.Context, s fastSink) (sdk.Sink, error) { return s, nil })
		return
	}
	sdk.ServeInput(sdk.NoConfig{}, func(context.Context, sdk.NoConfig) (sdk.Input, error) {
		return fastInput{&sync.Pool{New: func() any { return new(sdk.Batch) }}}, nil
	})
}

func TestFastPluginsMeetTheContract(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "lines")
	judgeAll(t, plugintest.Program{
		Path: trapNamed(t, "fast-sink"), Kind: "sink", Settings: map[string]any{"path": file},
		Stored: func() (sdk.Batch, error) { return plugintest.LinesOf(file) },
	})
	judgeAll(t, plugintest.Program{Path: trapNamed(t, "fast-input"), Kind: "input", Cases: "plugintest/testdata/cases"})
}
