package whispertest

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"time"
)

// A Config is how a Fluxgate is started. It is taken as it is, so begin with
// [Default]:
//
//	c := whispertest.Default()
//	c.Retentions = "10s:1h,5m:1d"
//	gate := c.Start(t)
type Config struct {
	Retentions   string         // the archives of each file, in the form of storage-schemas.conf
	Aggregation  string         // how coarser archives are filled, as storage-aggregation.conf names it
	XFilesFactor float64        // share of points that must be known for that, 0 to 1
	MaxAge       time.Duration  // how old a timestamp may be, in whole seconds; backfill may be older
	Settings     map[string]any // other settings of the whisper sink, by their names
	Patience     time.Duration  // how long a Want waits for points
}

// Default returns the settings of a Fluxgate that is not configured, and a
// patience of ten seconds.
func Default() Config {
	return Config{
		Retentions:   "60s:1d,10m:7d,1h:90d",
		Aggregation:  "average",
		XFilesFactor: 0.5,
		MaxAge:       time.Hour,
		Patience:     10 * time.Second,
	}
}

// configFile returns the path of the configuration of a Fluxgate in folder.
func configFile(folder string) string { return filepath.Join(folder, "fluxgate.yaml") }

// write makes the configuration file of a Fluxgate that keeps its whisper files
// in the folder whisper and everything else beside it. JSON is YAML.
func (c Config) write(path, whisper string) error {
	sink := map[string]any{}
	maps.Copy(sink, c.Settings)
	sink["path"], sink["retentions"] = whisper, c.Retentions
	sink["aggregation"], sink["xfilesfactor"] = c.Aggregation, c.XFilesFactor
	text, err := json.MarshalIndent(map[string]any{
		"listen":   "127.0.0.1:0",
		"admin":    "127.0.0.1:0",
		"data":     filepath.Join(filepath.Dir(path), "data"),
		"validate": map[string]any{"max_age": c.MaxAge.String()},
		"sinks":    map[string]any{"whisper": map[string]any{"plugin": "fluxgate-sink-whisper", "config": sink}},
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}
