package main

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"fluxgate/core/config"
	"fluxgate/sdk"
	"fluxgate/sdk/schema"
)

// A schemas says what is known of a metric's archives in a sink.
type schemas func(sink, metric string) (schema.Schema, bool)

// schemasOf returns what c says of them: for every sink, or else the settings of
// the whisper sinks, each for its own new files. What their plugin refuses, it says
// itself.
func schemasOf(c config.Config) (schemas, error) {
	of, err := configured(c.Populate.Schema)
	if err != nil {
		return nil, err
	}
	if of != nil {
		return func(_, metric string) (schema.Schema, bool) { return of(metric), true }, nil
	}
	written := make(map[string]func(metric string) schema.Schema)
	for name, s := range c.Sinks {
		if filepath.Base(s.Plugin) != whisperPlugin {
			continue
		}
		if found, err := whisperSchema(s.Config); err == nil {
			written[name] = found
		}
	}
	return func(sink, metric string) (schema.Schema, bool) {
		of, known := written[sink]
		if !known {
			return schema.Schema{}, false
		}
		return of(metric), true
	}, nil
}

// configured returns what populate.schema says of each metric; nil: nothing.
func configured(s config.Schema) (of func(metric string) schema.Schema, err error) {
	if s.Retentions == "" && s.Schemas == "" {
		return nil, nil
	}
	aggregation, err := schema.ParseAggregation(s.Aggregation)
	if err != nil {
		return nil, err
	}
	var archives []schema.Retention
	if s.Retentions != "" {
		if archives, err = schema.ParseRetentions(s.Retentions); err != nil {
			return nil, err
		}
	}
	rules, err := schema.Load(s.Schemas, s.Aggregations)
	if err != nil {
		return nil, fmt.Errorf("populate.schema: %w", err)
	}
	for _, warning := range rules.Warnings() {
		slog.Warn("populate.schema", "warning", warning)
	}
	return func(metric string) schema.Schema {
		known := rules.Of(metric)
		if archives != nil {
			known.Retentions = archives
		}
		if !rules.Consolidated(metric) {
			known.Aggregation, known.XFilesFactor = aggregation, s.XFilesFactor
		}
		return known
	}, nil
}

// whisperSchema returns the archives that the whisper sink gives a new file, with
// the settings of its plugin and the rules as they are now.
func whisperSchema(settings config.Settings) (of func(metric string) schema.Schema, err error) {
	c := struct {
		Path             string  `koanf:"path"`
		Schemas          string  `koanf:"schemas"`
		Aggregations     string  `koanf:"aggregations"`
		Retentions       string  `koanf:"retentions"`
		Aggregation      string  `koanf:"aggregation"`
		XFilesFactor     float64 `koanf:"xfilesfactor"`
		CreatesPerMinute int     `koanf:"creates_per_minute"`
		MaxWaiting       int64   `koanf:"max_waiting"`
	}{Retentions: "60s:1d,10m:7d,1h:90d", Aggregation: "average", XFilesFactor: 0.5} // the plugin's defaults
	if err := sdk.Configure(settings, &c); err != nil {
		return nil, err
	}
	otherwise := schema.Schema{XFilesFactor: c.XFilesFactor}
	if otherwise.Retentions, err = schema.ParseRetentions(c.Retentions); err != nil {
		return nil, err
	}
	if otherwise.Aggregation, err = schema.ParseAggregation(c.Aggregation); err != nil {
		return nil, err
	}
	rules, err := schema.Load(c.Schemas, c.Aggregations)
	if err != nil {
		return nil, err
	}
	return func(metric string) schema.Schema { return rules.OfOr(metric, otherwise) }, otherwise.Validate()
}
