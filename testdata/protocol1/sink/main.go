// Sink is a plugin of protocol 1 that appends each datapoint to a file, as a line
// of metric, value and timestamp.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"fluxgate/testdata/protocol1/sdk"
)

func main() {
	sdk.ServeSink(config{}, func(_ context.Context, c config) (sdk.Sink, error) { return &sink{path: c.Path}, nil })
}

type config struct {
	Path string `koanf:"path"`
}

func (c config) Validate() error {
	if c.Path == "" {
		return errors.New("path is empty: name a file")
	}
	return nil
}

type sink struct {
	path string
	mu   sync.Mutex
}

// Write implements [sdk.Sink].
func (s *sink) Write(_ context.Context, b sdk.Batch) error {
	var lines []byte
	for _, d := range b {
		if d.Metric == "refused" {
			return sdk.Invalidf("not to my taste")
		}
		lines = fmt.Appendf(lines, "%s %v %d\n", d.Metric, d.Value, d.Timestamp)
	}
	return s.add(lines)
}

// Check implements [sdk.Checker].
func (s *sink) Check(context.Context) error { return s.add(nil) }

// Close notes that the plugin was drained.
func (s *sink) Close() error { return s.add([]byte("closed\n")) }

func (s *sink) add(lines []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := os.OpenFile(s.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return sdk.Unavailablef("%w", err)
	}
	_, err = f.Write(lines)
	return errors.Join(err, f.Close())
}
