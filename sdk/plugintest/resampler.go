package plugintest

import (
	"context"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"fluxgate/sdk"
)

// Resampler tests the resampler that this test binary becomes (see [Main]) by
// the laws of [sdk.Resampler], on generated series, the same ones every time:
//
//   - the metric stays
//   - one finite value for each timestamp, in ascending order
//   - every timestamp is a multiple of step
//   - no interval that had no points
//   - the same answer for the same input, also to several calls at once
//   - resampling again at the same step changes nothing
//
// It gives no false alarm. It does not know which value is the right one.
func Resampler(t *testing.T, settings map[string]any) {
	t.Helper()
	judge(t, settings, append(laws(), law{"resampling again at the same step changes nothing", func(r resampled) bool {
		return slices.Equal(r.again.Points, r.out.Points)
	}}))
}

// Tally is [Resampler] without its last law, for a resampler whose values are
// not of the points' own kind, such as their number.
func Tally(t *testing.T, settings map[string]any) {
	t.Helper()
	judge(t, settings, laws())
}

// resampled is a series, what became of it, of it once more, and of that.
type resampled struct {
	in, out, repeated, again sdk.Series
	step                     time.Duration
}

func (r resampled) all(ok func(sdk.Point) bool) bool {
	return !slices.ContainsFunc(r.out.Points, func(p sdk.Point) bool { return !ok(p) })
}

// A law tells whether it has held.
type law struct {
	name string
	held func(resampled) bool
}

func laws() []law {
	return []law{
		{"the metric stays", func(r resampled) bool { return r.out.Metric == r.in.Metric }},
		{"one finite value for each timestamp, in ascending order", func(r resampled) bool {
			before := int64(math.MinInt64)
			return r.all(func(p sdk.Point) bool {
				ascends := p.Timestamp > before
				before = p.Timestamp
				return ascends && !math.IsNaN(p.Value) && !math.IsInf(p.Value, 0)
			})
		}},
		{"every timestamp is a multiple of step", func(r resampled) bool {
			return r.all(func(p sdk.Point) bool { return p.Timestamp%int64(r.step/time.Second) == 0 })
		}},
		{"no interval that had no points", func(r resampled) bool {
			had := maps.Collect(r.in.Intervals(r.step))
			return r.all(func(p sdk.Point) bool { return had[p.Timestamp-p.Timestamp%int64(r.step/time.Second)] != nil })
		}},
		{"the same answer for the same input, also to several calls at once", func(r resampled) bool {
			return slices.Equal(r.repeated.Points, r.out.Points)
		}},
	}
}

// judge has the plugin resample, and each law judge that.
func judge(t *testing.T, settings map[string]any, laws []law) {
	t.Helper()
	p, err := sdk.StartResampler(t.Context(), sdk.Spec{Name: "resampler", Path: os.Args[0], Config: settings})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop: %v", err)
		}
	}()
	resample := func(s sdk.Series, step time.Duration) sdk.Series {
		out, err := p.Plugin.Resample(t.Context(), s, step)
		if err != nil {
			t.Errorf("%d points at a step of %v: %v", len(s.Points), step, err)
		}
		return out
	}
	all := generated()
	for i := range all {
		all[i].out = resample(all[i].in, all[i].step)
		all[i].again = resample(all[i].out, all[i].step)
	}
	var calls sync.WaitGroup
	for i := range all {
		calls.Go(func() { all[i].repeated = resample(all[i].in, all[i].step) })
	}
	calls.Wait()
	for _, law := range laws {
		t.Run(law.name, func(t *testing.T) {
			for _, r := range all {
				if !law.held(r) {
					t.Fatalf("not so at a step of %v: %v became %v, when repeated %v, and again %v", r.step, r.in, r.out, r.repeated, r.again)
				}
			}
		})
	}
}

// generated returns series to resample: empty ones, regular and irregular ones
// with gaps and with points of one timestamp, of values great and small.
func generated() (all []resampled) {
	r := rand.New(rand.NewPCG(1, 2))
	steps := []time.Duration{time.Second, 7 * time.Second, time.Minute, time.Hour}
	for n := range 200 {
		at, distance := 1_700_000_000+r.Int64N(1e6), []int64{1, 10, 60, 300}[r.IntN(4)]
		c := resampled{in: sdk.Series{Metric: "vista.nodes.skyline-1.cpu.user"}, step: steps[n%len(steps)]}
		for range r.IntN(n + 1) {
			c.in.Points = append(c.in.Points, sdk.Point{Timestamp: at, Value: r.NormFloat64() * math.Pow(10, float64(r.IntN(600)-300))})
			switch r.IntN(10) {
			case 0: // another of the same timestamp
			case 1:
				at += 1 + r.Int64N(1000)
			default:
				at += distance
			}
		}
		all = append(all, c)
	}
	return all
}
