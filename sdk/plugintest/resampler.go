package plugintest

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"fluxgate/sdk"
)

// steady is the sentence that a tally need not keep.
const steady = "resampling again at the same step changes nothing"

var resamplerSentences = []sentence{
	law("the metric stays", func(r resampled) bool { return r.out.Metric == r.in.Metric }),
	law("one finite value for each timestamp, in ascending order", resampled.ascends),
	law("every timestamp is a multiple of step", resampled.isAligned),
	law("no interval that had no points", resampled.inventsNothing),
	law("the same answer for the same input, also to several calls at once", resampled.isRepeatable),
	law(steady, func(r resampled) bool { return slices.Equal(r.again.Points, r.out.Points) || !r.sound() }),
	{"resamples an interval of 500,000 points", resamplesLongIntervals},
}

// A resampler is a running resampler plugin, and what it has made of the generated
// series, once it was asked.
type resampler struct{ *sdk.Process[sdk.Resampler] }

func (r resampler) leave() { leave(r.Process) }

func (r resampler) work(ctx context.Context) error {
	_, err := r.resample(ctx, sdk.Series{Metric: "fluxgate.kit", Points: []sdk.Point{{Timestamp: 60, Value: 1}}}, time.Minute)
	return err
}

func (r resampler) resample(ctx context.Context, s sdk.Series, step time.Duration) (sdk.Series, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*limit) // as long as Fluxgate waits
	defer cancel()
	out, err := r.Plugin.Resample(ctx, s, step)
	if err != nil {
		return out, fmt.Errorf("%d points at a step of %v: %w", len(s.Points), step, err)
	}
	return out, nil
}

// resampled is a series, what became of it, of it once more, and of that.
type resampled struct {
	in, out, repeated, again sdk.Series
	step                     time.Duration
}

func (r resampled) all(ok func(sdk.Point) bool) bool {
	return !slices.ContainsFunc(r.out.Points, func(p sdk.Point) bool { return !ok(p) })
}

func (r resampled) ascends() bool {
	before := int64(math.MinInt64)
	return r.all(func(p sdk.Point) bool {
		ascends := p.Timestamp > before
		before = p.Timestamp
		return ascends && !math.IsNaN(p.Value) && !math.IsInf(p.Value, 0)
	})
}

func (r resampled) isAligned() bool {
	return r.all(func(p sdk.Point) bool { return p.Timestamp%int64(r.step/time.Second) == 0 })
}

func (r resampled) inventsNothing() bool {
	had := maps.Collect(r.in.Intervals(r.step))
	return r.all(func(p sdk.Point) bool { return had[p.Timestamp-p.Timestamp%int64(r.step/time.Second)] != nil })
}

func (r resampled) isRepeatable() bool { return slices.Equal(r.repeated.Points, r.out.Points) }

// sound reports whether the laws hold without which resampling again means
// nothing.
func (r resampled) sound() bool {
	return r.ascends() && r.isAligned() && r.inventsNothing() && r.isRepeatable()
}

// law is a sentence about what becomes of whatever series.
func law(name string, held func(resampled) bool) sentence {
	return sentence{name, func(ctx context.Context, k *kit) error {
		all, err := k.resample(ctx)
		if err != nil {
			return err
		}
		for _, r := range all {
			if !held(r) {
				return brokenf("not so at a step of %v: %v became %v, when repeated %v, and again %v", r.step, r.in, r.out, r.repeated, r.again)
			}
		}
		return nil
	}}
}

// longest is how many points a host lets an interval have.
const longest = 500_000

func resamplesLongIntervals(ctx context.Context, k *kit) error {
	p, err := k.one(ctx)
	if err != nil {
		return err
	}
	const step = longest * time.Second
	s := sdk.Series{Metric: "fluxgate.kit.long", Points: make([]sdk.Point, longest)}
	for i := range s.Points {
		s.Points[i] = sdk.Point{Timestamp: 3400*longest + int64(i), Value: float64(i % 100)}
	}
	out, err := p.(resampler).resample(ctx, s, step)
	if err != nil {
		return err
	}
	if r := (resampled{in: s, out: out, repeated: out, step: step}); len(out.Points) != 1 || !r.sound() {
		return brokenf("of %d points in the interval at %d it makes %.500v", longest, s.Points[0].Timestamp, fmt.Sprint(out.Points))
	}
	return nil
}

// resample has the plugin resample the generated series, once for all laws.
func (k *kit) resample(ctx context.Context) ([]resampled, error) {
	k.laws.Lock()
	defer k.laws.Unlock()
	if k.resampled == nil {
		k.resampled, k.unresampled = k.resampleAll(ctx)
	}
	return k.resampled, k.unresampled
}

// resampleAll resamples the generated series one after the other, and then once more all
// at the same time.
func (k *kit) resampleAll(ctx context.Context) ([]resampled, error) {
	p, err := k.one(ctx)
	if err != nil {
		return nil, err
	}
	r, all := p.(resampler), generated()
	for i := range all {
		if all[i].out, err = r.resample(ctx, all[i].in, all[i].step); err != nil {
			return all, err
		}
	}
	return all, each(len(all), func(i int) (err error) {
		if all[i].repeated, err = r.resample(ctx, all[i].in, all[i].step); err == nil {
			all[i].again, err = r.resample(ctx, all[i].out, all[i].step)
		}
		return err
	})
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
