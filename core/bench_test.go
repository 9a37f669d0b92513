package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/mux"
)

// floorEnv makes the test binary the server that GETs are compared with.
const floorEnv = "FLOOR_OF_FLUXGATE"

// floor answers 204 to every GET, through net/http and gorilla/mux, and does
// nothing else. It prints its address.
func floor() {
	router := mux.NewRouter()
	router.HandleFunc("/metric_data", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}).Methods(http.MethodGet)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr())
	panic(http.Serve(listener, router))
}

func startFloor(b *testing.B) (address string) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), floorEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// A load is GETs of one metric each over connections that stay open. Every
// datapoint is fresh.
type load struct {
	conns []net.Conn
	sent  []int // for each connection
	start int64 // the oldest timestamp
}

func newLoad(b *testing.B, address string, connections int) *load {
	b.Helper()
	l := &load{sent: make([]int, connections), start: time.Now().Unix() - 3500}
	for range connections {
		c, err := net.Dial("tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		l.conns = append(l.conns, c)
	}
	return l
}

// run sends requests in all, and returns how many are answered each second.
func (l *load) run(b *testing.B, requests int) float64 {
	began := time.Now()
	errs := make([]error, len(l.conns))
	var senders sync.WaitGroup
	for i := range l.conns {
		senders.Go(func() { errs[i] = l.send(i, requests/len(l.conns)) })
	}
	senders.Wait()
	for _, err := range errs {
		if err != nil {
			b.Fatal(err)
		}
	}
	return float64(requests) / time.Since(began).Seconds()
}

func (l *load) send(connection, n int) error {
	const perMetric = 3500 // as many timestamps as are young enough
	c := l.conns[connection]
	answers := bufio.NewReader(c)
	var request []byte
	for range n {
		i := l.sent[connection]
		l.sent[connection]++
		request = append(request[:0], "GET /metric_data?metric=bench.connection-"...)
		request = strconv.AppendInt(request, int64(connection), 10)
		request = append(request, ".number-"...)
		request = strconv.AppendInt(request, int64(i/perMetric), 10)
		request = append(request, "&value=4567.775&timestamp="...)
		request = strconv.AppendInt(request, l.start+int64(i%perMetric), 10)
		request = append(request, "&key="+aKey+" HTTP/1.1\r\nHost: fluxgate\r\n\r\n"...)
		if _, err := c.Write(request); err != nil {
			return err
		}
		if err := noContent(answers); err != nil {
			return err
		}
	}
	return nil
}

// noContent reads one answer, which has no body.
func noContent(r *bufio.Reader) error {
	first, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(first, []byte("HTTP/1.1 204 ")) {
		rest, _ := io.ReadAll(io.LimitReader(r, 400))
		return fmt.Errorf("answered %s%s", first, rest)
	}
	for {
		line, err := r.ReadSlice('\n')
		if err != nil || len(line) <= 2 {
			return err
		}
	}
}

// BenchmarkGET compares GETs of one metric, through the input plugin and a sink
// plugin that throws datapoints away, with the floor: in turns, in one run, as
// the median of the turns' ratios.
func BenchmarkGET(b *testing.B) {
	p := launch(b, fmt.Sprintf("keys: [{key: %s}]\nsinks: {nothing: {plugin: %q}}\n", aKey, os.Args[0]))
	bottom := startFloor(b)
	for _, connections := range []int{1, 32, 128} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
			ours, theirs := newLoad(b, p.listen, connections), newLoad(b, bottom, connections)
			requests := 4096 * min(8, connections)
			var rates, floors, shares []float64
			for range b.N {
				floors = append(floors, theirs.run(b, requests))
				rates = append(rates, ours.run(b, requests))
				shares = append(shares, rates[len(rates)-1]/floors[len(floors)-1])
			}
			b.ReportMetric(median(rates), "requests/s")
			b.ReportMetric(median(floors), "floor-requests/s")
			b.ReportMetric(median(shares), "share-of-floor")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// BenchmarkIdleMemory reports what fluxgate and four plugins hold at rest.
func BenchmarkIdleMemory(b *testing.B) {
	p := launch(b, fmt.Sprintf("keys: [{key: %s}]\nsinks:\n  whisper: {plugin: fluxgate-sink-whisper, config: {path: %q}}\n"+
		"  pickle: {plugin: fluxgate-sink-pickle}\n  plaintext: {plugin: fluxgate-sink-plaintext}\n", aKey, b.TempDir()))
	var rss, pss float64
	for range b.N {
		rss, pss = 0, 0
		for _, pid := range append(p.plugins(b), p.cmd.Process.Pid) {
			rss += memory(b, pid, "Rss:")
			pss += memory(b, pid, "Pss:")
		}
	}
	b.ReportMetric(float64(len(p.plugins(b))), "plugins")
	b.ReportMetric(rss, "RSS-MB")
	b.ReportMetric(pss, "PSS-MB")
	b.ReportMetric(0, "ns/op")
}

// memory returns a figure of a process's memory in megabytes.
func memory(b *testing.B, pid int, field string) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			kB, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			if err != nil {
				b.Fatal(err)
			}
			return kB * 1024 / 1e6
		}
	}
	b.Fatalf("no %s in the memory of process %d", field, pid)
	return 0
}
