package sdk

import (
	"fmt"
	"testing"
)

// touched keeps what a benchmark reads from being left out.
var touched float64

// BenchmarkBoundary is a batch of 450 datapoints written as columns, copied as a socket
// does, read back, and each datapoint looked at; and that copy alone. The figure is
// nanoseconds per datapoint.
func BenchmarkBoundary(b *testing.B) {
	const datapoints = 450
	batch := make(Batch, datapoints)
	for i := range batch {
		batch[i] = Datapoint{fmt.Sprintf("vista.nodes.skyline-%d.cpu.user", i), 1478021700 + int64(i), float64(i) / 4}
	}
	data := AppendBatch(nil, batch)
	arrived, rows := make([]byte, len(data)), make(Batch, 0, datapoints)
	b.Run("memcpy", func(b *testing.B) {
		for b.Loop() {
			copy(arrived, data)
		}
		perDatapoint(b, datapoints)
	})
	b.Run("append", func(b *testing.B) {
		for b.Loop() {
			data = AppendBatch(data[:0], batch)
		}
		perDatapoint(b, datapoints)
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			rows, _ = ReadBatch(rows[:0], data)
			touch(rows)
		}
		perDatapoint(b, datapoints)
	})
	b.Run("both", func(b *testing.B) {
		for b.Loop() {
			data = AppendBatch(data[:0], batch)
			got, err := ReadBatch(rows[:0], data)
			if err != nil {
				b.Fatal(err)
			}
			touch(got)
		}
		perDatapoint(b, datapoints)
	})
}

func perDatapoint(b *testing.B, datapoints int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(datapoints), "ns/datapoint")
	b.ReportAllocs()
}

// touch reads datapoints.
func touch(rows Batch) {
	var sum float64
	var all int64
	for i := range rows {
		sum += rows[i].Value
		all += rows[i].Timestamp + int64(len(rows[i].Metric))
	}
	touched = sum + float64(all)
}
