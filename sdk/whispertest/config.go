// Package whispertest runs a whole Fluxgate inside a test: the program that
// ships, with the whisper sink, in a folder of the test's own. What the code
// under test sends is read back from the whisper files.
//
//	func TestReports(t *testing.T) {
//		gate := whispertest.Start(t)
//		report(gate.URL+"/flux/metric_data_post", gate.Key)
//		gate.Want("vista.nodes.one.cpu", sdk.Point{Timestamp: minute, Value: 1.5})
//	}
//
// Neither Graphite nor Redis is needed. Gates are independent of each other, so
// tests may run in parallel, and nothing is left when the test ends, however it
// ends.
//
// The program is the first that is found of: the path in the environment
// variable WHISPERTEST_FLUXGATE; one that is built from the module fluxgate,
// where that is the module under test or one that it requires; fluxgate on the
// PATH; fluxgate beside the folder of the module fluxgate/sdk. Its plugins are
// found as it finds them, in the folder plugins beside it. Variables that begin
// with FLUXGATE_ do not reach it.
package whispertest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"
)

// A Config says what a gate is like. [Defaults] is where to begin.
type Config struct {
	Schemas      string  // path of Carbon's storage-schemas.conf; empty: no rules
	Aggregations string  // path of Carbon's storage-aggregation.conf; empty: no rules
	Retentions   string  // archives of files that no rule of Schemas is for
	Aggregation  string  // how files that no rule of Aggregations is for fill their coarser archives
	XFilesFactor float64 // the share of points that must be known for that, 0 to 1

	// Patience is how long the methods that begin with Want wait.
	Patience time.Duration

	// Settings are further ones of Fluxgate, as in its file, such as an input to
	// be tested. They are laid over the gate's own, section by section.
	Settings map[string]any
}

// Defaults returns what [Start] uses: files as Fluxgate makes them where nothing
// is configured, and ten seconds of patience.
func Defaults() Config {
	return Config{
		Retentions:   "60s:1d,10m:7d,1h:90d",
		Aggregation:  "average",
		XFilesFactor: 0.5,
		Patience:     10 * time.Second,
	}
}

// write writes the configuration of a gate that keeps everything in folder, and
// returns the path of the file.
func (c Config) write(folder string) (string, error) {
	sink, err := c.sink(filepath.Join(folder, "whisper"))
	if err != nil {
		return "", err
	}
	settings := map[string]any{
		"listen": "127.0.0.1:0",
		"admin":  "127.0.0.1:0",
		"data":   filepath.Join(folder, "data"),
		"limits": map[string]any{"backfill": 0}, // as fast as the sink takes it
		"inputs": map[string]any{"flux": map[string]any{
			"plugin": "fluxgate-input-flux", "routes": []any{"GET /metric_data", "POST " + door},
		}},
		"sinks": map[string]any{"whisper": map[string]any{"plugin": "fluxgate-sink-whisper", "config": sink}},
	}
	overlay(settings, c.Settings)
	text, err := json.Marshal(settings) // which is YAML too
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "fluxgate.yaml")
	return path, os.WriteFile(path, text, 0o600)
}

// sink returns the settings of the sink that writes below root.
func (c Config) sink(root string) (map[string]any, error) {
	s := map[string]any{
		"path": root, "retentions": c.Retentions, "aggregation": c.Aggregation, "xfilesfactor": c.XFilesFactor,
	}
	for name, path := range map[string]string{"schemas": c.Schemas, "aggregations": c.Aggregations} {
		if path == "" {
			continue
		}
		var err error
		if s[name], err = filepath.Abs(path); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// overlay sets what over holds in settings. A section that both have is
// overlaid in turn.
func overlay(settings, over map[string]any) {
	for name, value := range over {
		under, ok := settings[name].(map[string]any)
		section, both := value.(map[string]any)
		if ok && both {
			overlay(under, section)
			continue
		}
		settings[name] = value
	}
}
