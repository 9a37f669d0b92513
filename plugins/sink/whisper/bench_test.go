package main

import (
	"fmt"
	"testing"
	"time"

	"fluxgate/sdk"
)

// perDatapoint reports how long each of the 450 datapoints of a batch took.
func perDatapoint(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*450), "ns/datapoint")
}

func benchSink(b *testing.B) (sdk.Sink, func(i int) sdk.Batch) {
	b.Helper()
	s, err := open(b.Context(), benchConfig(b))
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now().Unix()
	return s, func(i int) sdk.Batch {
		batch := make(sdk.Batch, 450)
		for m := range batch {
			batch[m] = sdk.Datapoint{Metric: fmt.Sprintf("bench.%d.metric-%d", i, m), Timestamp: now, Value: 1}
		}
		return batch
	}
}

// BenchmarkNewMetrics writes the first datapoint of 450 metrics.
func BenchmarkNewMetrics(b *testing.B) {
	s, batch := benchSink(b)
	n := 0
	for b.Loop() {
		n++
		if err := s.Write(b.Context(), batch(n)); err != nil {
			b.Fatal(err)
		}
	}
	perDatapoint(b)
}

// BenchmarkKnownMetrics writes one datapoint more to each of 450 metrics.
func BenchmarkKnownMetrics(b *testing.B) {
	s, batch := benchSink(b)
	if err := s.Write(b.Context(), batch(0)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := s.Write(b.Context(), batch(0)); err != nil {
			b.Fatal(err)
		}
	}
	perDatapoint(b)
}

func benchConfig(b *testing.B) config {
	c := defaults()
	c.Path = b.TempDir()
	return c
}
