package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

// pandasScript resamples each line of its input, [step in seconds, timestamps,
// values as bits], with every method, and prints a line for each interval that
// has points and whose value is not NaN.
const pandasScript = `
import json, struct, sys
import pandas as pd

for n, line in enumerate(sys.stdin):
    step, timestamps, values = json.loads(line)
    values = [struct.unpack('>d', bytes.fromhex(v))[0] for v in values]
    bins = pd.Series(values, index=pd.to_datetime(timestamps, unit='s'), dtype='float64').resample('%ds' % step)
    has = bins.count() > 0
    for method in 'mean last first sum min max median count'.split():
        got = getattr(bins, method)()[has].dropna()
        for at, value in got.items():
            print(n, method, int(at.timestamp()), struct.pack('>d', float(value)).hex())
`

// A pandasCase is a series and the step to resample it at, which must divide a
// day: pandas counts intervals from midnight.
type pandasCase struct {
	in   sdk.Series
	step int64 // seconds
}

// pandas returns the lines that pandas prints about cases.
func pandas(t *testing.T, cases []pandasCase) (lines []string) {
	t.Helper()
	servers.NeedPython(t, "pandas")
	var in strings.Builder
	for _, c := range cases {
		timestamps, values := []int64{}, []string{}
		for _, p := range c.in.Points {
			timestamps, values = append(timestamps, p.Timestamp), append(values, fmt.Sprintf("%016x", math.Float64bits(p.Value)))
		}
		if err := json.NewEncoder(&in).Encode([]any{c.step, timestamps, values}); err != nil {
			t.Fatal(err)
		}
	}
	out := bufio.NewScanner(strings.NewReader(servers.Python(t, pandasScript, in.String())))
	for out.Scan() {
		lines = append(lines, out.Text())
	}
	return lines
}

// ours returns what pandasScript prints, of this plugin's methods.
func ours(t *testing.T, cases []pandasCase) (lines []string) {
	t.Helper()
	for n, c := range cases {
		for _, m := range methods {
			out, err := resampler{value: m.value}.Resample(t.Context(), c.in, time.Duration(c.step)*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range out.Points {
				lines = append(lines, fmt.Sprintf("%d %s %d %016x", n, m.name, p.Timestamp, math.Float64bits(p.Value)))
			}
		}
	}
	return lines
}

// generated returns regular and irregular series, with gaps and with points of
// one timestamp, whose values are of ordinary size, or huge, or small, or of all
// sizes.
func generated() (cases []pandasCase) {
	r := rand.New(rand.NewPCG(7, 8))
	values := []func() float64{
		func() float64 { return math.Round(r.Float64()*1e4) / 100 },
		func() float64 { return r.NormFloat64() },
		func() float64 { return r.NormFloat64() * 1e300 },
		func() float64 { return r.NormFloat64() * 1e-300 },
		func() float64 { return math.SmallestNonzeroFloat64 * float64(r.IntN(9)-4) },
		func() float64 { return r.NormFloat64() * math.Pow(10, float64(r.IntN(600)-300)) },
		func() float64 { return 1e16 + float64(r.IntN(3)) },
		func() float64 { return 0.1 },
		func() float64 { return math.Copysign(float64(r.IntN(2)), -1) },
	}
	for n := range 180 {
		c := pandasCase{step: []int64{60, 60, 300, 3600}[r.IntN(4)]}
		timestamp, distance := 1_600_000_000+r.Int64N(1e8), []int64{1, 10, 15, 60, 300}[r.IntN(5)]
		for range 1 + r.IntN(300) {
			c.in.Points = append(c.in.Points, sdk.Point{Timestamp: timestamp, Value: values[n%len(values)]()})
			switch irregular := n%2 == 1; {
			case irregular && r.IntN(5) == 0: // another of the same timestamp
			case irregular:
				timestamp += 1 + r.Int64N(2*distance)
			case r.IntN(20) == 0:
				timestamp += distance * (1 + r.Int64N(100))
			default:
				timestamp += distance
			}
		}
		cases = append(cases, c)
	}
	return cases
}

// All methods are compared to the bit, also sum, as pandas sums in the same way;
// but a median that is zero may have either sign.
func TestPandasHasTheSameValues(t *testing.T) {
	cases := generated()
	want, got := pandas(t, cases), ours(t, cases)
	if len(got) != len(want) || len(got) < 8*1000 {
		t.Errorf("%d values, pandas has %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if unsigned(got[i]) != unsigned(want[i]) {
			t.Fatalf("%s, pandas has %s, at a step of %d", got[i], want[i], cases[caseOf(t, got[i])].step)
		}
	}
}

// unsigned returns a line about a median without the sign of its zero.
func unsigned(line string) string {
	if strings.Contains(line, " median ") {
		return strings.Replace(line, " 8000000000000000", " 0000000000000000", 1)
	}
	return line
}

func caseOf(t *testing.T, line string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(line, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// What pandas cannot add up is where this plugin goes further.
func TestPandasHasNoMeanOfWhatHasNoSum(t *testing.T) {
	cases := []pandasCase{{in: sdk.Series{Points: of(math.MaxFloat64, math.MaxFloat64, math.MaxFloat64)}, step: 3600}}
	for _, line := range pandas(t, cases) {
		if strings.HasPrefix(line, "0 mean ") && !strings.HasSuffix(line, "7ff0000000000000") {
			t.Errorf("it has: %s", line)
		}
	}
}
