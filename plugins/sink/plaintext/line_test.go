package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

func TestLines(t *testing.T) {
	tests := []struct {
		name string
		in   sdk.Datapoint
		want string
	}{
		{"a whole number", sdk.Datapoint{Metric: "a.b", Timestamp: 1478021700, Value: 1}, "a.b 1 1478021700\n"},
		{"minus zero", sdk.Datapoint{Metric: "a", Timestamp: 0, Value: math.Copysign(0, -1)}, "a -0 0\n"},
		{"the longest value", sdk.Datapoint{Metric: "a", Timestamp: math.MaxUint32, Value: -2.2250738585072014e-308},
			"a -2.2250738585072014e-308 4294967295\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := appendLines(nil, sdk.Batch{tt.in})
			if err != nil || string(got) != tt.want {
				t.Errorf("%q, error %v, want %q", got, err, tt.want)
			}
			if size := len(tt.in.Metric) + maxNumbers; len(got) > size {
				t.Errorf("%d bytes, more than the %d expected", len(got), size)
			}
		})
	}
}

func TestNamesThatAreNoLine(t *testing.T) {
	for _, metric := range []string{"", "a b", "a\tb", "a\rb", "a 1 2\nb", "a\x00", "a\x1c", "a\x7f", "é", "a\u00a0b", "a\u2028b", "a\x85b", "\xff"} {
		got, err := appendLines(nil, sdk.Batch{{Metric: "good"}, {Metric: metric}})
		if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), strconv.Quote(metric)) || got != nil {
			t.Errorf("metric %q: lines %q, error %v, want none and an invalid one that names it", metric, got, err)
		}
	}
}

// straightforward writes b as lines, without a thought of speed.
func straightforward(b sdk.Batch) string {
	var lines strings.Builder
	for _, d := range b {
		fmt.Fprintf(&lines, "%s %s %d\n", d.Metric, strconv.FormatFloat(d.Value, 'g', -1, 64), d.Timestamp)
	}
	return lines.String()
}

// randomBatch returns n datapoints with values of all kinds: any bits that are a
// finite value, whole numbers, and decimals, each of every size and sign.
func randomBatch(r *rand.Rand, n int) sdk.Batch {
	b := sdk.Batch{{Metric: "m", Value: math.SmallestNonzeroFloat64}, {Metric: "m", Value: -math.MaxFloat64}, {Metric: "m", Value: math.Copysign(0, -1)}}
	for _, v := range []float64{999999, 1e6, 1000001, 999999.999, 999999.9999, 0.001, 0.0009, 1<<53 - 1, 1 << 53, 1<<53 + 2, 1 << 63, 1e22} {
		b = append(b, sdk.Datapoint{Metric: "m", Value: v}, sdk.Datapoint{Metric: "m", Value: -v})
	}
	for len(b) < n {
		whole := float64(int64(r.Uint64()) >> r.IntN(64))
		for _, v := range []float64{math.Float64frombits(r.Uint64()), whole, whole / math.Pow10(r.IntN(6)), whole * math.Pow10(r.IntN(9))} {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				b = append(b, sdk.Datapoint{Metric: "m", Timestamp: int64(r.Uint32() >> r.IntN(32)), Value: v})
			}
		}
	}
	return b
}

func TestLinesAreTheStraightforwardOnes(t *testing.T) {
	b := randomBatch(rand.New(rand.NewPCG(5, 6)), 200_000)
	lines, err := appendLines(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	got, want := strings.Split(string(lines), "\n"), strings.Split(straightforward(b), "\n")
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("line %d is %q, want %q", i, got[i], want[i])
		}
	}
}

func TestEncodingAllocatesNothing(t *testing.T) {
	b := randomBatch(rand.New(rand.NewPCG(7, 8)), 5000)
	dst, err := appendLines(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10, func() { dst, _ = appendLines(dst[:0], b) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestPythonReadsTheValues reads lines as Carbon does.
func TestPythonReadsTheValues(t *testing.T) {
	b := randomBatch(rand.New(rand.NewPCG(3, 4)), 10_000)
	lines, err := appendLines(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	got := servers.Python(t, `
import struct, sys
for line in sys.stdin:
    metric, value, timestamp = line.strip().split()
    print(metric, struct.pack('>d', float(value)).hex(), int(float(timestamp)))
`, string(lines))
	var want strings.Builder
	for _, d := range b {
		fmt.Fprintf(&want, "%s %016x %d\n", d.Metric, math.Float64bits(d.Value), d.Timestamp)
	}
	if got != want.String() {
		t.Error("python reads other values than were written")
	}
}

func FuzzAppendLines(f *testing.F) {
	f.Add("vista.nodes.skyline-1.cpu.user", int64(1478021700), 1.0, 1.5)
	f.Add("a 1 1478021700\nb", int64(1478021700), math.Inf(1), 0.0)
	f.Add("a\x85b\u2028", int64(-1), math.Copysign(0, -1), 1e300)
	f.Add("a", int64(math.MaxInt64), math.NaN(), 5e9)
	f.Fuzz(func(t *testing.T, metric string, timestamp int64, value, other float64) {
		d := sdk.Datapoint{Metric: metric, Timestamp: timestamp, Value: value}
		b := sdk.Batch{d, {Metric: metric, Timestamp: timestamp, Value: other}, {Metric: metric, Timestamp: timestamp / 2, Value: -other}, d}
		lines, err := appendLines([]byte("before\n"), b)
		if err != nil {
			if !errors.Is(err, sdk.ErrInvalid) || lines != nil {
				t.Fatalf("lines %q with error %v", lines, err)
			}
			return
		}
		if want := "before\n" + straightforward(b); string(lines) != want {
			t.Fatalf("%q, want %q", lines, want)
		}
		line, _ := appendLines(nil, b[:1])
		if bytes.Count(line, []byte("\n")) != 1 || !bytes.HasSuffix(line, []byte("\n")) {
			t.Fatalf("%q is not one line", line)
		}
		// Fields splits at Unicode's blanks, as Carbon does.
		fields := strings.Fields(string(line))
		if len(fields) != 3 || strings.Join(fields, " ")+"\n" != string(line) || fields[0] != metric {
			t.Fatalf("%q is not three fields, the first of them %q", line, metric)
		}
		if v, err := strconv.ParseFloat(fields[1], 64); err != nil || math.Float64bits(v) != math.Float64bits(value) {
			t.Fatalf("%q: value %v, want %v", line, v, value)
		}
		if n, err := strconv.ParseInt(fields[2], 10, 64); err != nil || n != timestamp {
			t.Fatalf("%q: timestamp %v, want %v", line, n, timestamp)
		}
		if len(line) > len(metric)+maxNumbers {
			t.Fatalf("%q is %d bytes long, more than expected", line, len(line))
		}
	})
}
