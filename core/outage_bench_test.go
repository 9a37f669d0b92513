package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"fluxgate/core/load"
)

// postAll sends a load of POSTs, all of which must be taken.
func postAll(b *testing.B, p *process, c load.Config) load.Result {
	b.Helper()
	c.URL, c.Key, c.Method, c.Timeout = "http://"+p.listen, aKey, "POST", time.Minute
	c.Names = c.Connections * c.PerRequest
	r, err := load.Run(b.Context(), c, func(load.Progress) {})
	if err != nil || r.Statuses[204] != int64(c.Requests) {
		b.Fatalf("%+v, %v", r, err)
	}
	return r
}

// BenchmarkOutage compares what senders wait for while a sink takes everything
// with what they wait for while it takes nothing.
func BenchmarkOutage(b *testing.B) {
	yaml := "keys: [{key: " + aKey + "}]\nsinks: {sink: {plugin: %q, config: {act: %q}}}\n"
	well := launch(b, fmt.Sprintf(yaml, os.Args[0], ""))
	away := launch(b, fmt.Sprintf(yaml, os.Args[0], "hang"))
	c := load.Config{Connections: 16, PerRequest: 10, Requests: 16 * 200}
	var ratios []float64
	for range b.N {
		before := postAll(b, well, c)
		ratios = append(ratios, postAll(b, away, c).Latency.P99/before.Latency.P99)
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "p99-of-the-well")
	b.ReportMetric(0, "ns/op")
}

// acknowledge reads every connection to its end, as Carbon does.
func acknowledge(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(io.Discard, conn) // a delivery that is cut off comes again
			conn.Close()
		}()
	}
}

// BenchmarkReplay has millions of datapoints wait for a sink, and then delivers them:
// how fast, and in how much memory.
func BenchmarkReplay(b *testing.B) {
	const requests = 4_500_000 / 450
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { listener.Close() })
	p := launch(b, fmt.Sprintf("keys: [{key: %s}]\nsinks: {lines: {plugin: fluxgate-sink-plaintext, config: {address: %q}}}\n", aKey, listener.Addr()))
	postAll(b, p, load.Config{Connections: 8, PerRequest: 450, Requests: requests}) // nobody accepts what the kernel has queued
	waiting := int(p.labelled(b, "fluxgate_waiting_datapoints", "lines"))
	before := resident(b, p.cmd.Process.Pid, "VmRSS")
	highest, began := before, time.Now()
	go acknowledge(listener)
	for p.labelled(b, "fluxgate_waiting_datapoints", "lines") > 0 {
		highest = max(highest, resident(b, p.cmd.Process.Pid, "VmRSS"))
		time.Sleep(20 * time.Millisecond)
	}
	b.ReportMetric(float64(waiting), "waiting")
	b.ReportMetric(float64(waiting)/time.Since(began).Seconds(), "datapoints/s")
	b.ReportMetric(highest/before, "memory-ratio")
	b.ReportMetric(0, "ns/op")
}
