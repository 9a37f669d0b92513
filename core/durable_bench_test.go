package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fluxgate/sdk"
)

// inMemory is a folder whose files no sync has to wait for.
func inMemory(b *testing.B) string {
	b.Helper()
	folder, err := os.MkdirTemp("/dev/shm", "fluxgate-bench-")
	if err != nil {
		b.Skipf("no file system in memory: %v", err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(folder) })
	return folder
}

// A poster sends POSTs of so many metrics each over connections that stay open.
type poster struct {
	address string
	metrics int
	clients []*http.Client
	sent    []int // for each client
	start   int64
}

func newPoster(address string, clients, metrics int) *poster {
	p := &poster{address: address, metrics: metrics, sent: make([]int, clients), start: time.Now().Unix() - 3500}
	for range clients {
		p.clients = append(p.clients, &http.Client{Transport: &http.Transport{}})
	}
	return p
}

// run sends requests in all, and returns how many are answered each second, and
// how long each took.
func (p *poster) run(b *testing.B, requests int) (rate float64, took []time.Duration) {
	began := time.Now()
	each := make([][]time.Duration, len(p.clients))
	errs := make([]error, len(p.clients))
	var senders sync.WaitGroup
	for i := range p.clients {
		senders.Go(func() {
			for range requests / len(p.clients) {
				sent := time.Now()
				if errs[i] = p.post(i); errs[i] != nil {
					return
				}
				each[i] = append(each[i], time.Since(sent))
			}
		})
	}
	senders.Wait()
	for _, err := range errs {
		if err != nil {
			b.Fatal(err)
		}
	}
	took = slices.Concat(each...)
	return float64(len(took)) / time.Since(began).Seconds(), took
}

func (p *poster) post(client int) error {
	const perMetric = 3500 // as many timestamps as are young enough
	n := p.sent[client]
	p.sent[client]++
	var body strings.Builder
	fmt.Fprintf(&body, `{"key":%q,"metrics":[`, aKey)
	for i := range p.metrics {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"metric":"bench.client-%d.part-%d.metric-%d","timestamp":%d,"value":4567.775}`,
			client, n/perMetric, i, p.start+int64(n%perMetric))
	}
	body.WriteString("]}")
	response, err := p.clients[client].Post("http://"+p.address+"/metric_data_post", "application/json", strings.NewReader(body.String()))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	if response.StatusCode != http.StatusNoContent {
		return fmt.Errorf("answered %s", response.Status)
	}
	return err
}

func p99(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)*99/100]
}

// BenchmarkDurable compares a journal on disk with one in memory, where a sync is
// nothing to wait for: in turns, in one run.
func BenchmarkDurable(b *testing.B) {
	yaml := fmt.Sprintf("keys: [{key: %s}]\nsinks: {nothing: {plugin: %q}}\n", aKey, os.Args[0])
	for _, metrics := range []int{1, 450} {
		b.Run(fmt.Sprintf("metrics=%d", metrics), func(b *testing.B) {
			const connections = 64
			disk := newPoster(launch(b, yaml).listen, connections, metrics)
			memory := newPoster(launch(b, yaml, "--data", filepath.Join(inMemory(b), "data")).listen, connections, metrics)
			requests := 64 * 100
			if metrics > 1 {
				requests = 64 * 10
			}
			var rates, shares, later []float64
			for range b.N {
				fast, without := memory.run(b, requests)
				rate, with := disk.run(b, requests)
				rates, shares = append(rates, rate), append(shares, rate/fast)
				later = append(later, (p99(with)-p99(without)).Seconds()*1000)
			}
			b.ReportMetric(median(rates), "requests/s")
			b.ReportMetric(median(shares), "share-of-no-sync")
			b.ReportMetric(median(later), "ms-more-at-p99")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkOutage compares what senders wait for while a sink takes everything
// with what they wait for while it takes nothing.
func BenchmarkOutage(b *testing.B) {
	yaml := "keys: [{key: " + aKey + "}]\nsinks: {sink: {plugin: %q, config: {act: %q}}}\n"
	const clients = 16
	well := newPoster(launch(b, fmt.Sprintf(yaml, os.Args[0], "")).listen, clients, 10)
	away := newPoster(launch(b, fmt.Sprintf(yaml, os.Args[0], "hang")).listen, clients, 10)
	var ratios []float64
	for range b.N {
		_, before := well.run(b, clients*200)
		_, during := away.run(b, clients*200)
		ratios = append(ratios, float64(p99(during))/float64(p99(before)))
	}
	b.ReportMetric(median(ratios), "p99-of-the-well")
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

// BenchmarkReplay has ten million datapoints wait for a sink, and then delivers
// them: how fast, compared with the same sink fed by hand, and in how much memory.
func BenchmarkReplay(b *testing.B) {
	const clients, metrics, requests = 8, 450, 10_000_000 / 450
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { listener.Close() })
	p := launch(b, fmt.Sprintf("keys: [{key: %s}]\nsinks: {lines: {plugin: fluxgate-sink-plaintext, config: {address: %q}}}\n", aKey, listener.Addr()))
	newPoster(p.listen, clients, metrics).run(b, requests) // nobody accepts what the kernel has queued
	waiting := int(p.labelled(b, "fluxgate_waiting_datapoints", "lines"))
	before := memory(b, p.cmd.Process.Pid, "Rss:")
	highest, began := before, time.Now()
	go acknowledge(listener)
	for p.labelled(b, "fluxgate_waiting_datapoints", "lines") > 0 {
		highest = max(highest, memory(b, p.cmd.Process.Pid, "Rss:"))
		time.Sleep(200 * time.Millisecond)
	}
	rate := float64(waiting) / time.Since(began).Seconds()
	b.ReportMetric(float64(waiting), "waiting")
	b.ReportMetric(rate, "datapoints/s")
	b.ReportMetric(rate/byHand(b, filepath.Join(filepath.Dir(fluxgateBinary(b)), "plugins", "fluxgate-sink-plaintext"), listener.Addr().String()), "share-of-the-sink-alone")
	b.ReportMetric(highest/before, "memory-ratio")
	b.ReportMetric(0, "ns/op")
}

// byHand returns how many datapoints a second the sink takes from a host that
// does nothing else.
func byHand(b *testing.B, program, address string) float64 {
	b.Helper()
	p, err := sdk.StartSink(b.Context(), sdk.Spec{Name: "lines", Path: program, Config: map[string]any{"address": address}})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = p.Stop(b.Context()) }()
	batch := make(sdk.Batch, 4950)
	for i := range batch {
		batch[i] = sdk.Datapoint{Metric: fmt.Sprintf("bench.client-1.part-0.metric-%d", i), Timestamp: time.Now().Unix(), Value: 4567.775}
	}
	const batches = 200
	began := time.Now()
	for range batches {
		if err := p.Plugin.Write(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	return batches * float64(len(batch)) / time.Since(began).Seconds()
}
