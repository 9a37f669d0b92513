package plugintest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"fluxgate/sdk"
)

var inputSentences = []sentence{
	onBoth("decodes its cases", decodesItsCases),
	onBoth("decodes the same request to the same submission, also at once", decodesAlike),
	{"decodes alike whatever else it decodes, also in memory that it uses again", decodesAmongOthers},
	onBoth("answers whatever comes with a submission or a refusal", survivesGarbage),
	onBoth("submits finite values only", submitsFiniteValues),
	onBoth("replies, where it does so by itself, with a status from 200 to 599, and JSON or nothing", repliesInForm),
}

// An input is a running input plugin.
type input struct{ *sdk.Process[sdk.Input] }

func (in input) leave() { leave(in.Process) }

func (in input) work(ctx context.Context) error {
	_, err := in.decode(ctx, sdk.Request{Route: "POST /kit", Method: http.MethodPost, Header: http.Header{}})
	if errors.Is(err, sdk.ErrInvalid) { // an answer as good as any
		return nil
	}
	return err
}

func (in input) decode(ctx context.Context, r sdk.Request) (sdk.Submission, error) {
	patient := limit
	if len(r.Body) == largest { // a machine may be slow to pass that on
		patient = 4 * limit
	}
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	return in.Plugin.Decode(ctx, r)
}

// inputAndCases returns the plugin and what it is to be asked.
func (k *kit) inputAndCases(ctx context.Context) (input, []request, error) {
	return k.askable(ctx, k.one)
}

// ownInputAndCases is inputAndCases with a process for one sentence alone, which
// ends it.
func (k *kit) ownInputAndCases(ctx context.Context) (input, []request, error) {
	return k.askable(ctx, func(ctx context.Context) (plugin, error) { return k.start(ctx, k.Settings) })
}

func (k *kit) askable(ctx context.Context, start func(context.Context) (plugin, error)) (input, []request, error) {
	if k.Cases == "" {
		return input{}, nil, fmt.Errorf("%w: there is no folder of cases: give --cases", ErrNotJudged)
	}
	cases, err := readCases(k.Cases)
	if err != nil {
		return input{}, nil, fmt.Errorf("%w: %w", ErrNotJudged, err)
	}
	p, err := start(ctx)
	if err != nil {
		return input{}, nil, err
	}
	return p.(input), cases, nil
}

func decodesItsCases(ctx context.Context, k *kit) error {
	in, cases, err := k.inputAndCases(ctx)
	if err != nil {
		return err
	}
	var wrong []error
	for _, c := range cases {
		if err := c.judge(in.decode(ctx, c.request)); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", c.name, err))
		}
	}
	return errors.Join(wrong...)
}

func decodesAlike(ctx context.Context, k *kit) error {
	in, cases, err := k.ownInputAndCases(ctx)
	if err != nil {
		return err
	}
	defer k.done(in)
	const calls = 8
	for _, c := range cases {
		if c.timed {
			continue
		}
		var answers [calls]sdk.Submission
		var errs [calls]error
		_ = each(calls, func(i int) error {
			answers[i], errs[i] = in.decode(ctx, c.request)
			return nil
		})
		for i := range calls {
			if !reflect.DeepEqual(answers[0], answers[i]) || fmt.Sprint(errs[0]) != fmt.Sprint(errs[i]) {
				return brokenf("%s: it decodes to %+v, %v, and again to %+v, %v", c.name, answers[0], errs[0], answers[i], errs[i])
			}
		}
	}
	return nil
}

// decodesAmongOthers has each case decoded alone, and then all at once, again and
// again, so that what is used again was used for another.
func decodesAmongOthers(ctx context.Context, k *kit) error {
	in, cases, err := k.ownInputAndCases(ctx)
	if err != nil {
		return err
	}
	defer k.done(in)
	cases = slices.DeleteFunc(cases, func(c request) bool { return c.timed })
	alone, errs := make([]sdk.Submission, len(cases)), make([]error, len(cases))
	for i, c := range cases {
		alone[i], errs[i] = in.decode(ctx, c.request)
	}
	const callers, rounds = 4, 64
	return each(callers, func(caller int) error {
		for n := range rounds * min(1, len(cases)) {
			i := (caller + n) % len(cases)
			s, err := in.decode(ctx, cases[i].request)
			if !reflect.DeepEqual(s, alone[i]) || fmt.Sprint(err) != fmt.Sprint(errs[i]) {
				return brokenf("%s: alone it decodes to %+v, %v, and among others to %+v, %v", cases[i].name, alone[i], errs[i], s, err)
			}
		}
		return nil
	})
}

// survivesGarbage sends bytes of all kinds, and cases that are cut off or changed.
func survivesGarbage(ctx context.Context, k *kit) error {
	in, cases, err := k.ownInputAndCases(ctx)
	if err != nil {
		return err
	}
	defer k.done(in)
	random := rand.New(rand.NewPCG(1, 2))
	for _, g := range append(noises(random), variants(random, cases)...) {
		if _, err := in.decode(ctx, g); err != nil && !errors.Is(err, sdk.ErrInvalid) {
			return brokenf("a request that it cannot read, query %.60q, body %.60q of %d bytes, it must refuse as invalid; it says: %v", g.Query, g.Body, len(g.Body), err)
		}
	}
	c := cases[0]
	if err := c.judge(in.decode(ctx, c.request)); err != nil {
		return brokenf("after what it could not read, %s: %v", c.name, err)
	}
	return nil
}

// largest is the longest body that a host takes, unless its configuration says
// otherwise, in bytes.
const largest = 32 << 20

// noises returns requests of random bytes, up to the longest.
func noises(r *rand.Rand) (all []sdk.Request) {
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	for _, size := range []int{0, 1, 100, 10_000, len(noise), largest} {
		body := bytes.Repeat(noise[:min(size, len(noise))], max(1, size/len(noise)))
		all = append(all, sdk.Request{Route: "POST /kit", Method: http.MethodPost, Query: string(body[:min(size, 1000)]), Body: body})
	}
	return all
}

// variants returns cases that are cut off, changed, or without their headers.
func variants(r *rand.Rand, cases []request) (all []sdk.Request) {
	for _, c := range cases {
		for range 8 {
			cut, changed := c.request, c.request
			cut.Body = cut.Body[:r.IntN(len(cut.Body)+1)]
			cut.Query = cut.Query[:r.IntN(len(cut.Query)+1)]
			changed.Body = flip(r, changed.Body)
			changed.Query = string(flip(r, []byte(changed.Query)))
			all = append(all, cut, changed)
		}
		bare := c.request
		bare.Header = nil
		all = append(all, bare)
	}
	return all
}

// flip returns text with some bytes changed.
func flip(r *rand.Rand, text []byte) []byte {
	flipped := append([]byte(nil), text...)
	for range min(3, len(flipped)) {
		flipped[r.IntN(len(flipped))] = byte(r.Uint32())
	}
	return flipped
}

// submitsFiniteValues writes other values where the cases have theirs.
func submitsFiniteValues(ctx context.Context, k *kit) error {
	in, cases, err := k.inputAndCases(ctx)
	if err != nil {
		return err
	}
	for _, c := range cases {
		for _, value := range c.values() {
			for _, odd := range []string{"NaN", "nan", "Infinity", "-inf", "1e999"} {
				r := c.request
				r.Body = []byte(strings.ReplaceAll(string(r.Body), value, odd))
				r.Query = strings.ReplaceAll(r.Query, value, odd)
				s, _ := in.decode(ctx, r) // whether it may refuse is another sentence
				if d := infinite(append(s.Batch, s.Backfill...)); d != nil {
					return brokenf("%s, with %s for %s: it submits %s %v", c.name, odd, value, d.Metric, d.Value)
				}
			}
		}
	}
	return nil
}

// repliesInForm looks at what a host would pass on as it is.
func repliesInForm(ctx context.Context, k *kit) error {
	in, cases, err := k.inputAndCases(ctx)
	if err != nil {
		return err
	}
	asked := variants(rand.New(rand.NewPCG(3, 4)), cases)
	for _, c := range cases {
		asked = append(asked, c.request)
	}
	for _, r := range asked {
		s, err := in.decode(ctx, r)
		if err != nil || s.Reply == nil { // whether it may refuse is another sentence
			continue
		}
		if s.Reply.Status < 200 || s.Reply.Status > 599 {
			return brokenf("to query %.60q, body %.60q it replies with the status %d", r.Query, r.Body, s.Reply.Status)
		}
		if len(s.Reply.Body) > 0 && !json.Valid(s.Reply.Body) {
			return brokenf("to query %.60q, body %.60q it replies with %.60q, which is not JSON", r.Query, r.Body, s.Reply.Body)
		}
	}
	return nil
}

func infinite(b sdk.Batch) *sdk.Datapoint {
	for i, d := range b {
		if math.IsNaN(d.Value) || math.IsInf(d.Value, 0) {
			return &b[i]
		}
	}
	return nil
}
