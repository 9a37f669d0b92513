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
			if size := linesSize(sdk.Batch{tt.in}); len(got) > size {
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

// TestPythonReadsTheValues reads lines as Carbon does.
func TestPythonReadsTheValues(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	b := sdk.Batch{{Metric: "m", Value: math.SmallestNonzeroFloat64}, {Metric: "m", Value: -math.MaxFloat64}, {Metric: "m", Value: math.Copysign(0, -1)}}
	for len(b) < 3000 {
		if v := math.Float64frombits(r.Uint64()); !math.IsNaN(v) && !math.IsInf(v, 0) {
			b = append(b, sdk.Datapoint{Metric: "m", Timestamp: int64(r.Uint32()), Value: v})
		}
	}
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
	f.Add("vista.nodes.skyline-1.cpu.user", int64(1478021700), 1.0)
	f.Add("a 1 1478021700\nb", int64(1478021700), math.Inf(1))
	f.Add("a\x85b\u2028", int64(-1), math.Copysign(0, -1))
	f.Add("a", int64(math.MaxInt64), math.NaN())
	f.Fuzz(func(t *testing.T, metric string, timestamp int64, value float64) {
		line, err := appendLines(nil, sdk.Batch{{Metric: metric, Timestamp: timestamp, Value: value}})
		if err != nil {
			if !errors.Is(err, sdk.ErrInvalid) || line != nil {
				t.Fatalf("lines %q with error %v", line, err)
			}
			return
		}
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
