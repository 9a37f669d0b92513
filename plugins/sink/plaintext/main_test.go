package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/carbon"
	"fluxgate/sdk/plugintest"
	"fluxgate/testdata/carbontest"
	"fluxgate/testdata/servers"
)

func TestMain(m *testing.M) { plugintest.Main(m, main) }

func TestSink(t *testing.T) {
	carbontest.Sink(t, func(c *servers.CarbonServer) string { return c.Line })
}

// TestCarbonKeepsAllBatches writes several batches at once, with values of every
// kind, and reads back what Carbon has of them.
func TestCarbonKeepsAllBatches(t *testing.T) {
	c := servers.Carbon(t)
	s, err := open(t.Context(), carbon.Config{Address: []string{c.Line}, Timeout: carbon.DefaultTimeout})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	values := []float64{0, 1, -999999, 1e6, 123456789, 5e9, 1 << 53, 1e300, 5e-324, -2.2250738585072014e-308, 0.1, 12.5, -99.973, 0.001, 1.0 / 3}
	var batches []sdk.Batch
	var all sdk.Batch
	for i := range 3 {
		var b sdk.Batch
		for j, v := range values {
			b = append(b, sdk.Datapoint{Metric: fmt.Sprintf("test.all.m%d", i), Timestamp: now - int64(j), Value: v})
		}
		batches, all = append(batches, b), append(all, b...)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.(sdk.BulkSink).WriteAll(ctx, batches); err != nil {
		t.Fatal(err)
	}
	c.Await(t, all)
}

func TestReadme(t *testing.T) { plugintest.Readme(t, "README.md") }
