package main

import (
	"slices"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/plugintest"
)

func TestMain(m *testing.M) { plugintest.Main(m, main) }

func TestResampler(t *testing.T) {
	plugintest.Resampler(t, nil)
	plugintest.Resampler(t, map[string]any{"percent": 50})
}

func TestPercentiles(t *testing.T) {
	var in sdk.Series
	for i := range int64(20) {
		in.Points = append(in.Points, sdk.Point{Timestamp: i, Value: float64(20 - i)})
	}
	for percent, want := range map[float64]float64{95: 19, 50: 10, 100: 20, 0.1: 1} {
		got, err := percentile{percent}.Resample(t.Context(), in, time.Minute)
		if err != nil || !slices.Equal(got.Points, []sdk.Point{{Value: want}}) {
			t.Errorf("%v percent: %v, %v, want %v", percent, got.Points, err, want)
		}
	}
}
