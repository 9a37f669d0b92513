package main

import (
	"fmt"
	"testing"

	"fluxgate/sdk"
)

// BenchmarkWrite writes one datapoint to each of many files, which exist.
func BenchmarkWrite(b *testing.B) {
	const metrics = 450
	now := int64(1_600_000_000)
	setClock(b, func() int64 { return now })
	s := newSink(b, b.TempDir(), "60s:1d,10m:7d,1h:90d")
	write := func() {
		now += 60
		var batch sdk.Batch
		for m := range metrics {
			batch = append(batch, sdk.Datapoint{Metric: fmt.Sprintf("a.b.c.m%d", m), Timestamp: now, Value: 1})
		}
		if err := s.Write(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	write()
	for b.Loop() {
		write()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*metrics), "us/datapoint")
}
