package main

import (
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"fluxgate/core/load"
)

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3}, {[]float64{5, 1, 4, 2, 100}, 4}} {
		before := slices.Clone(tt.values)
		if got := median(tt.values); got != tt.want || !slices.Equal(tt.values, before) {
			t.Errorf("%v: got %v, want %v", before, got, tt.want)
		}
	}
	if !math.IsNaN(median(nil)) {
		t.Error("nothing has a median")
	}
}

func TestNumber(t *testing.T) {
	for want, x := range map[string]float64{"0": 0, "0.057": 0.0571, "1.50": 1.5, "12.3": 12.34, "-472": -471.9, "1234567": 1234567.4, "-": math.NaN()} {
		if got := number(x); got != want {
			t.Errorf("%v: got %s, want %s", x, got, want)
		}
	}
}

func TestMarksAreJudged(t *testing.T) {
	for _, tt := range []struct {
		bound  bound
		values []float64
		want   string
		told   string
	}{
		{atLeast(0.6, ""), []float64{0.5, 0.6, 0.9}, "met", "0.600 (0.500 to 0.900)"},
		{atLeast(0.6, ""), []float64{0.9, 0.1, 0.59}, "**missed**", "0.590 (0.100 to 0.900)"},
		{atMost(1.5, " ms"), []float64{1.5}, "met", "1.50 ms"},
		{atMost(1.5, " ms"), []float64{1.6}, "**missed**", "1.60 ms"},
		{between(0.85, 1.15, ""), []float64{1.2}, "**missed**", "1.20"},
		{between(0.85, 1.15, ""), []float64{0.8}, "**missed**", "0.800"},
		{between(0.85, 1.15, ""), []float64{0.9}, "met", "0.900"},
		{atLeast(1, ""), []float64{math.NaN()}, "**missed**", "-"},
		{atLeast(1, ""), nil, "not measured", "-"},
	} {
		m := mark{bound: tt.bound, values: tt.values, why: "-"}
		if m.verdict() != tt.want || m.String() != tt.told {
			t.Errorf("%v, %s: %s, %q; want %s, %q", tt.values, tt.bound, m.verdict(), m, tt.want, tt.told)
		}
	}
}

// roads returns a section with two roads, the first of which does half as much.
func roads() section {
	var s section
	for _, n := range []int64{100, 110, 120} {
		s.add("floor", sample{Result: load.Result{Requests: 2 * n, Datapoints: 2 * n, RequestsPerSecond: float64(2 * n)}, cpu: time.Millisecond * time.Duration(n)})
		s.add("durable", sample{Result: load.Result{Requests: n, Datapoints: n, RequestsPerSecond: float64(n)}, cpu: time.Millisecond * time.Duration(n)})
	}
	return s
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	s := roads()
	s.judgeBeside("rate", atLeast(0.5, ""), "durable", "floor", requestRate, ratio)
	s.judgeBeside("CPU", atMost(2, ""), "durable", "floor", sample.perRequest, ratio)
	s.judgeBeside("nobody", atMost(2, ""), "durable", "nowhere", sample.perRequest, ratio)
	if got := s.marks[0].values; !slices.Equal(got, []float64{0.5, 0.5, 0.5}) {
		t.Errorf("rate: %v", got)
	}
	if got := s.marks[1].verdict() + s.marks[2].verdict(); got != "metnot measured" {
		t.Errorf("verdicts %s: %v", got, s.marks)
	}
	s.fail("durable", io.ErrUnexpectedEOF)
	s.judgeBeside("rate", atLeast(0.5, ""), "durable", "floor", requestRate, ratio)
	if s.marks[3].verdict() != "not measured" || len(s.failed) != 1 || !slices.Equal(s.order, []string{"floor"}) {
		t.Errorf("a road that failed half way is judged: %+v", s)
	}
}

func TestPage(t *testing.T) {
	s := roads()
	s.title, s.text, s.rounds, s.load = "GET", "One after the other.", "Medians of 7 rounds of 9s.", []string{"--rate", "7"}
	s.judgeBeside("a | b", atLeast(0.6, ""), "durable", "floor", requestRate, ratio)
	s.fail("Redis", io.ErrUnexpectedEOF)
	text := page{machine: []string{"a machine"}, versions: []string{"a version"}, sections: []section{s}, quick: true, began: time.Now()}.markdown()
	for _, want := range []string{
		"# How fast\n", "- a machine\n- a version\n", "a quick run", "GOGC=200",
		`| a \| b | 0.500 (0.500 to 0.500) | at least 0.600 | **missed** |` + "\n",
		"## GET\n\nOne after the other. Medians of 7 rounds of 9s.\n\n    fluxgate bench URL --key KEY --rate 7\n\n",
		"\n| floor | 220 | ", "\n| durable | 110 | ", " | 1000 | 1000 | ",
		"- **not measured**: Redis: unexpected EOF\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// What is judged without the ledger's store is not de-duplicated, and no mark is met by
// it.
func TestThePageTellsWhatIsNotDeduplicated(t *testing.T) {
	s := roads()
	s.samples["durable"][1].unchecked = 11
	s.samples["floor"][2].ever = true
	s.judgeBeside("rate", atLeast(0.5, ""), "durable", "floor", requestRate, ratio)
	s.judge("rate", atLeast(1, ""), "durable", requestRate)
	s.judge("rate", atLeast(1, ""), "floor", requestRate)
	text := page{sections: []section{s}}.markdown()
	for want, times := range map[string]int{
		"| **missed**: not all are de-duplicated |\n": 2,
		"| met |\n": 1,
		"\n| durable (**not all is de-duplicated**) | 110 |": 1,
		"\n| floor | 220 |": 1,
		"durable: the ledger's store did not answer in time for up to 10.0 % of a round's datapoints\n": 1,
		"- peak memory is that since each server began":                                                 1,
	} {
		if n := strings.Count(text, want); n != times {
			t.Errorf("%d times %q, want %d, in\n%s", n, want, times, text)
		}
	}
}

func TestRoundsTakeTurns(t *testing.T) {
	list := []string{"a", "b", "c"}
	var all []string
	for round := range 4 {
		all = append(all, strings.Join(turned(list, round), ""))
	}
	if got := strings.Join(all, " "); got != "abc bca cab abc" {
		t.Error(got)
	}
	if len(turned([]string{}, 2)) > 0 {
		t.Error("nobody has a turn")
	}
}

func TestParseBenchmarks(t *testing.T) {
	const printed = "goos: linux\npkg: fluxgate/sdk/internal/frame\nBenchmarkBoundary/both-2 \t 100\t 1800 ns/op\t 4.0 ns/datapoint\t 0 allocs/op\n" +
		"BenchmarkBoundary/both-2 \t 100\t 1700 ns/op\t 3.0 ns/datapoint\t 0 allocs/op\nPASS\nok  \tfluxgate/sdk\t1.2s\n" +
		"pkg: fluxgate/plugins/sink/pickle\nBenchmarkConnection-2 9 0.80 of-ready\n"
	all, err := parseBenchmarks(printed)
	if err != nil || len(all) != 2 || all[0].part != "fluxgate/sdk/internal/frame" || !slices.Equal(all[0].values["ns/datapoint"], []float64{4, 3}) {
		t.Fatalf("%+v, %v", all, err)
	}
	if got, want := all[0].String(), "sdk/internal/frame `Boundary/both-2`, 1750 ns/op, 3.50 ns/datapoint, 0 allocs/op"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	none := measurement{part: "fluxgate/core", name: "BenchmarkX", units: []string{"x/s", "B/op"}, values: map[string][]float64{"x/s": {2}, "B/op": {9}}}
	if got := none.String(); got != "core `X`, 2.00 x/s" {
		t.Errorf("got %s", got)
	}
	for _, failed := range []string{"--- FAIL: BenchmarkX/a-2\n", "BenchmarkX/a-2 \t--- FAIL: BenchmarkX/a\n    x_test.go:8: no\n"} {
		if _, err := parseBenchmarks(printed + failed); err == nil || !strings.Contains(err.Error(), "BenchmarkX") {
			t.Errorf("%q passes: %v", failed, err)
		}
	}
	var s section
	for _, m := range microMarks[:4] {
		s.markMicro(m, all)
	}
	var verdicts []string
	for _, m := range s.marks {
		verdicts = append(verdicts, m.verdict())
	}
	if !slices.Equal(verdicts, []string{"met", "met", "met", "not measured"}) || s.marks[2].values[0] != 0.8 || len(s.failed) != 1 {
		t.Errorf("%v, %+v", verdicts, s)
	}
}

func TestFloor(t *testing.T) {
	server := httptest.NewServer(floorRoutes())
	t.Cleanup(server.Close)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		c := load.Config{URL: server.URL, Method: method, Connections: 2, Requests: 20, PerRequest: 1, Names: 2, Timeout: time.Minute}
		if r, err := load.Run(t.Context(), c, func(load.Progress) {}); err != nil || r.Statuses[204] != 20 {
			t.Errorf("%s: %+v, %v", method, r, err)
		}
	}
}

func TestTheFloorHasTheRoomOfOthers(t *testing.T) {
	c, err := startFloor(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", c.pid()))
	if err != nil || !strings.Contains("\x00"+string(environment), "\x00GOGC=200\x00") {
		t.Errorf("%q, %v", environment, err)
	}
	if err := c.stop(); err != nil {
		t.Error(err)
	}
}

func TestDrainAcknowledges(t *testing.T) {
	d, err := newDrain()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	conn, err := net.Dial("tcp", d.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("%d bytes, %v; want its end", n, err)
	}
}

func TestDirectBuildNeedsItsText(t *testing.T) {
	c := change{"b", "c"}
	for _, source := range []string{"", "a", "b b"} {
		if _, err := c.in("a.go", source); err == nil || !strings.Contains(err.Error(), "a.go") {
			t.Errorf("%q: %v", source, err)
		}
	}
	if got, err := c.in("a.go", "a b a"); got != "a c a" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
