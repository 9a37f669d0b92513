package main

import (
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/carbon"
)

// metrics returns a datapoint of each of n metrics.
func metrics(n int) sdk.Batch {
	b := make(sdk.Batch, n)
	for i := range b {
		b[i] = sdk.Datapoint{Metric: fmt.Sprintf("vista.nodes.skyline-%d.cpu.user", i), Timestamp: 1478021700, Value: 12.5 + float64(i)/7}
	}
	return b
}

// compare does each of works in turn, each time 100 times, and returns the median
// of what a datapoint took, in nanoseconds.
func compare(b *testing.B, datapoints int, works map[string]func()) map[string]float64 {
	const times = 100
	all := make(map[string][]float64)
	for b.Loop() {
		for name, work := range works {
			start := time.Now()
			for range times {
				work()
			}
			all[name] = append(all[name], float64(time.Since(start).Nanoseconds())/float64(times*datapoints))
		}
	}
	b.ReportMetric(0, "ns/op")
	took := make(map[string]float64)
	for name := range works {
		took[name] = median(all[name])
	}
	return took
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// BenchmarkAppendFrames encodes 450 datapoints, in relation to copying their bytes.
func BenchmarkAppendFrames(b *testing.B) {
	batch := metrics(450)
	ready := appendFrames(nil, batch)
	buf := make([]byte, len(ready))
	took := compare(b, len(batch), map[string]func(){
		"ready":   func() { copy(buf, ready) },
		"encoded": func() { buf = appendFrames(buf[:0], batch) },
		"judged":  func() { buf, _ = format(buf[:0], batch) },
	})
	b.ReportMetric(took["encoded"], "ns/datapoint")
	b.ReportMetric(took["judged"], "judged-ns/datapoint")
	b.ReportMetric(took["encoded"]/took["ready"], "x-copying")
}

// BenchmarkConnection writes 450 datapoints to a far end that discards them, in
// relation to writing their bytes when they are ready.
func BenchmarkConnection(b *testing.B) {
	conn := discarding(b)
	batch := metrics(450)
	ready := appendFrames(nil, batch)
	var buf []byte
	took := compare(b, len(batch), map[string]func(){
		"ready": func() {
			if _, err := conn.Write(ready); err != nil {
				b.Fatal(err)
			}
		},
		"encoded": func() {
			var err error
			if buf, err = format(buf[:0], batch); err == nil {
				_, err = conn.Write(buf)
			}
			if err != nil {
				b.Fatal(err)
			}
		},
	})
	b.ReportMetric(1e9/took["encoded"], "datapoints/s")
	b.ReportMetric(took["ready"]/took["encoded"], "of-ready")
}

// discarding returns a connection on loopback whose far end reads.
func discarding(b *testing.B) net.Conn {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		buf := make([]byte, 256<<10)
		for err := error(nil); err == nil; {
			_, err = io.ReadFull(far, buf)
		}
		far.Close()
	})
	b.Cleanup(reading.Wait)
	b.Cleanup(func() { near.Close() })
	return near
}

// BenchmarkWriteAll writes batches of 5,000 datapoints over one connection, which
// the far end acknowledges. There are at most 50 connections a second.
func BenchmarkWriteAll(b *testing.B) {
	for _, batches := range []int{1, 13} {
		b.Run(fmt.Sprintf("%d datapoints", 5000*batches), func(b *testing.B) {
			s := carbon.NewSink(carbon.Config{Address: []string{acknowledging(b)}, Timeout: carbon.DefaultTimeout}, format)
			var all []sdk.Batch
			for range batches {
				all = append(all, metrics(5000))
			}
			for b.Loop() {
				if err := s.WriteAll(b.Context(), all); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(5000*batches*b.N)/b.Elapsed().Seconds(), "datapoints/s")
		})
	}
}

// acknowledging returns an address on loopback whose connections are read to their
// ends.
func acknowledging(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			reading.Go(func() {
				_, _ = io.Copy(io.Discard, struct{ io.Reader }{c})
				c.Close()
			})
		}
	})
	b.Cleanup(reading.Wait)
	b.Cleanup(func() { l.Close() })
	return l.Addr().String()
}
