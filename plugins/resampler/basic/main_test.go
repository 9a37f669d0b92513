package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/plugintest"
)

func TestMain(m *testing.M) { plugintest.Main(m, main) }

func TestLaws(t *testing.T) {
	for _, method := range names() {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			laws := plugintest.Resampler
			if method == "count" {
				laws = plugintest.Tally
			}
			laws(t, map[string]any{"method": method})
		})
	}
	t.Run("with a share", func(t *testing.T) {
		plugintest.Resampler(t, map[string]any{"min_share": 0.7})
	})
}

func TestReadme(t *testing.T) { plugintest.Readme(t, "README.md") }

func start(t *testing.T, settings map[string]any) (*sdk.Process[sdk.Resampler], error) {
	t.Helper()
	p, err := sdk.StartResampler(t.Context(), sdk.Spec{Name: "basic", Path: os.Args[0], Config: settings})
	if err == nil {
		t.Cleanup(func() {
			if err := p.Stop(context.Background()); err != nil {
				t.Errorf("stop: %v", err)
			}
		})
	}
	return p, err
}

func TestTheDefaultIsTheMeanOfWhateverIsThere(t *testing.T) {
	p, err := start(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	in := sdk.Series{Metric: "a", Points: []sdk.Point{{Timestamp: 59, Value: 1}, {Timestamp: 60, Value: 2}, {Timestamp: 119, Value: 4}, {Timestamp: 240, Value: 5}}}
	got, err := p.Plugin.Resample(t.Context(), in, time.Minute)
	want := []sdk.Point{{Timestamp: 0, Value: 1}, {Timestamp: 60, Value: 3}, {Timestamp: 240, Value: 5}}
	if err != nil || got.Metric != "a" || !slices.Equal(got.Points, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
}

func TestRefusedSettings(t *testing.T) {
	for _, tt := range []struct {
		name     string
		settings map[string]any
		says     string
	}{
		{"a method that is none", map[string]any{"method": "avg"}, `method "avg": must be one of mean, last, first, sum, min, max, median, count`},
		{"no method", map[string]any{"method": ""}, `method ""`},
		{"too great a share", map[string]any{"min_share": 1.01}, "min_share 1.01: must be 0 to 1"},
		{"a share below 0", map[string]any{"min_share": -0.5}, "min_share -0.5"},
		{"a share that is no number", map[string]any{"min_share": "nan"}, "min_share NaN"},
		{"an unknown setting", map[string]any{"minshare": 1}, `did you mean "min_share"?`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := start(t, tt.settings); !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want an invalid one that says %q", err, tt.says)
			}
		})
	}
}
