package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// parts are the packages whose benchmarks are on the page.
var parts = []string{
	"./sdk", "./sdk/internal/...", "./sdk/carbon", "./plugins/input/flux", "./plugins/sink/pickle", "./plugins/sink/plaintext", "./plugins/sink/whisper",
	"./core/ledger", "./core/journal", "./core/populate/remote",
}

// wholes are packages whose benchmarks measure other processes, whose memory go test
// knows nothing of.
var wholes = []string{"./core", "./sdk/python"}

// A microMark is a mark that a benchmark of a part tells about.
type microMark struct {
	what      string
	part      string // its package, or one below it
	benchmark string // what its name begins with
	unit      string
	bound     bound
}

var microMarks = []microMark{
	{"boundary: a batch encoded and decoded, for each datapoint", "fluxgate/sdk", "BenchmarkBoundary/both", "ns/datapoint", atMost(6, " ns")},
	{"boundary: allocations", "fluxgate/sdk", "BenchmarkBoundary/both", "allocs/op", atMost(0, "")},
	{"pickle sink alone: datapoints/s, of a raw write of ready bytes", "fluxgate/plugins/sink/pickle", "BenchmarkConnection", "of-ready", atLeast(0.65, "")},
	{"line sink alone: datapoints/s, of a raw write of ready bytes", "fluxgate/plugins/sink/plaintext", "BenchmarkConnection", "of-ready", atLeast(0.20, "")},
	{"ledger in Redis, local: entries recorded/s, of the metrics/s of GET and SET each", "fluxgate/core/ledger", "BenchmarkRedis/", "entries-x-GET-SET", atLeast(25, "")},
	{"ledger in Redis, local: entries recorded/s, of those of bare writing (MSET) of the same", "fluxgate/core/ledger", "BenchmarkRedis/", "entries-x-bare", atLeast(0.8, "")},
}

// A measurement is what a benchmark says, of all its runs.
type measurement struct {
	part, name string
	units      []string // in its order
	values     map[string][]float64
}

// parseBenchmarks reads what `go test -bench` prints. A benchmark that failed is an
// error here; go test may pass over it.
func parseBenchmarks(printed string) (all []measurement, err error) {
	part := ""
	for line := range strings.Lines(printed) {
		words := strings.Fields(line)
		if len(words) == 2 && words[0] == "pkg:" {
			part = words[1]
		}
		if at := strings.Index(line, "--- FAIL: "); at >= 0 {
			err = errors.Join(err, errors.New(strings.TrimSpace(line[at:])))
			continue
		}
		if len(words) < 4 || !strings.HasPrefix(words[0], "Benchmark") {
			continue
		}
		i := slices.IndexFunc(all, func(m measurement) bool { return m.part == part && m.name == words[0] })
		if i < 0 {
			i = len(all)
			all = append(all, measurement{part: part, name: words[0], values: make(map[string][]float64)})
		}
		all[i].add(words[2:])
	}
	return all, err
}

// add notes one run: values, each with its unit.
func (m *measurement) add(words []string) {
	for at := 0; at+1 < len(words); at += 2 {
		value, err := strconv.ParseFloat(words[at], 64)
		if err != nil {
			return
		}
		unit := words[at+1]
		if !slices.Contains(m.units, unit) {
			m.units = append(m.units, unit)
		}
		m.values[unit] = append(m.values[unit], value)
	}
}

// String is the medians in a line. Where no time is told for an operation, that is
// nothing to count memory by.
func (m measurement) String() string {
	parts := []string{strings.TrimPrefix(m.part, "fluxgate/") + " `" + strings.TrimPrefix(m.name, "Benchmark") + "`"}
	for _, unit := range m.units {
		if (unit == "B/op" || unit == "allocs/op") && len(m.values["ns/op"]) == 0 {
			continue
		}
		parts = append(parts, number(median(m.values[unit]))+" "+unit)
	}
	return strings.Join(parts, ", ")
}

// measureMicro runs the benchmarks of the parts.
func measureMicro(ctx context.Context, b *bench, out *section) {
	took := "200ms"
	if b.quick {
		took = "20ms"
	}
	out.rounds = medians(b.rounds(), took)
	var found []measurement
	for _, part := range slices.Concat(parts, wholes) {
		args := []string{"test", "-run", "^$", "-bench", ".", "-benchtime", took, "-count", strconv.Itoa(b.rounds()), part}
		if slices.Contains(parts, part) {
			args = append(args, "-benchmem")
		}
		cmd := exec.CommandContext(ctx, "go", args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		printed, err := cmd.Output()
		if err != nil {
			out.fail(part, fmt.Errorf("go test -bench: %w: %s%s", err, stderr.String(), printed[max(0, len(printed)-500):]))
			continue
		}
		all, err := parseBenchmarks(string(printed))
		out.fail(part, err)
		found = append(found, all...)
	}
	for _, m := range found {
		out.lines = append(out.lines, m.String())
	}
	for _, m := range microMarks {
		out.markMicro(m, found)
	}
}

// markMicro notes a mark for each benchmark that tells about it, and says so where none
// does.
func (s *section) markMicro(m microMark, of []measurement) {
	told := false
	for _, one := range of {
		values := one.values[m.unit]
		below := one.part == m.part || strings.HasPrefix(one.part, m.part+"/")
		if !below || !strings.HasPrefix(one.name, m.benchmark) || len(values) == 0 {
			continue
		}
		told = true
		s.mark(m.what+" ("+strings.TrimPrefix(one.name, "Benchmark")+")", m.bound, values)
	}
	if !told {
		s.mark(m.what, m.bound, nil)
		s.failed = append(s.failed, fmt.Sprintf("%s: no benchmark %s of %s tells it in %s", m.what, m.benchmark, m.part, m.unit))
	}
}
