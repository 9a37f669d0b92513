package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"fluxgate/core/config"
	"fluxgate/core/populate"
	"fluxgate/sdk"
)

// basicPlugin is the program that ships with Fluxgate for resampling.
const basicPlugin = "fluxgate-resampler-basic"

// resampling returns what finds the resampler of a job, among plugins by their
// names: the one that is asked for, or without a name the one for the metric.
func resampling(c config.Config, plugins map[string]sdk.Resampler) (func(name, metric string) (populate.Resampler, error), error) {
	choose, err := choice(c.Populate)
	if err != nil {
		return nil, err
	}
	return func(name, metric string) (populate.Resampler, error) {
		if name == "" {
			name = choose(metric)
		}
		plugin, ok := plugins[name]
		if !ok {
			known := strings.Join(slices.Sorted(maps.Keys(plugins)), ", ")
			return populate.Resampler{}, sdk.Invalidf("there is no resampler %q: it is one of %s", name, known)
		}
		return populate.Resampler{Resampler: plugin, Name: name, OverTime: overTime(c.Resamplers[name])}, nil
	}, nil
}

// choice returns what names the resampler that is configured for a metric.
func choice(p config.Populate) (func(metric string) string, error) {
	patterns := make([]*regexp.Regexp, len(p.Patterns))
	for i, pattern := range p.Patterns {
		var err error
		if patterns[i], err = regexp.Compile(pattern.Pattern); err != nil {
			return nil, fmt.Errorf("populate.patterns[%d]: %w", i, err)
		}
	}
	return func(metric string) string {
		for i, pattern := range patterns {
			if pattern.MatchString(metric) {
				return p.Patterns[i].Resampler
			}
		}
		return p.Resampler
	}, nil
}

// overTime returns the function of Prometheus that does to a range what a resampler
// does to an interval, or "" if none is known to. For a mean Prometheus then sends
// one point for each interval.
func overTime(r config.Resampler) string {
	if filepath.Base(r.Plugin) != basicPlugin {
		return ""
	}
	if method, given := r.Config["method"]; given && method != "mean" {
		return ""
	}
	return "avg_over_time"
}
