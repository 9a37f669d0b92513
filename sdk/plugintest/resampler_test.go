package plugintest_test

import (
	"context"
	"math"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/plugintest"
)

func TestMain(m *testing.M) {
	plugintest.Main(m, func() {
		sdk.ServeResampler(config{}, func(_ context.Context, c config) (sdk.Resampler, error) { return &liar{config: c}, nil })
	})
}

type config struct {
	Lie string `koanf:"lie"`
}

// A liar resamples to the last point of each interval, but for its lie.
type liar struct {
	config
	calls atomic.Int64
}

func (l *liar) Resample(_ context.Context, s sdk.Series, step time.Duration) (sdk.Series, error) {
	out := sdk.Series{Metric: s.Metric}
	for start, points := range s.Intervals(step) {
		out.Points = append(out.Points, sdk.Point{Timestamp: start, Value: points[len(points)-1].Value})
	}
	l.lie(&out, step)
	return out, nil
}

func (l *liar) lie(out *sdk.Series, step time.Duration) {
	p, n := out.Points, len(out.Points)
	switch {
	case l.Lie == "renames":
		out.Metric += "x"
	case l.Lie == "of nothing" && n == 0:
		out.Points = []sdk.Point{{Timestamp: 0, Value: 1}}
	case n < 2:
	case l.Lie == "disorders":
		p[0], p[1] = p[1], p[0]
	case l.Lie == "repeats":
		p[1].Timestamp = p[0].Timestamp
	case l.Lie == "infinite":
		p[1].Value = math.Inf(1)
	case l.Lie == "askew" && step > time.Second:
		p[0].Timestamp++
	case l.Lie == "invents":
		out.Points = append(p, sdk.Point{Timestamp: p[n-1].Timestamp + int64(step/time.Second), Value: 1})
	case l.Lie == "wavers":
		p[0].Value += float64(l.calls.Add(1))
	case l.Lie == "drifts":
		p[0].Value = p[0].Value/2 + 1
	}
}

// TestLiar is for TestEveryLieIsFound, which runs it in a process of its own.
func TestLiar(t *testing.T) {
	settings := map[string]any{"lie": os.Getenv("LIE")}
	if os.Getenv("LIE") == "drifts in a tally" {
		settings["lie"] = "drifts"
		plugintest.Tally(t, settings)
		return
	}
	plugintest.Resampler(t, settings)
}

func TestEveryLieIsFound(t *testing.T) {
	for lie, law := range map[string]string{
		"renames":           "the metric stays",
		"disorders":         "one finite value for each timestamp",
		"repeats":           "one finite value for each timestamp",
		"infinite":          "one finite value for each timestamp",
		"askew":             "every timestamp is a multiple of step",
		"invents":           "no interval that had no points",
		"of nothing":        "no interval that had no points",
		"wavers":            "the same answer for the same input",
		"drifts":            "resampling again at the same step changes nothing",
		"drifts in a tally": "",
	} {
		t.Run(lie, func(t *testing.T) {
			t.Parallel()
			test := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLiar$")
			test.Env = append(os.Environ(), "LIE="+lie)
			out, err := test.CombinedOutput()
			if law == "" {
				if err != nil {
					t.Errorf("the kit fails what is no lie:\n%s", out)
				}
				return
			}
			if want := "FAIL: TestLiar/" + strings.ReplaceAll(law, " ", "_"); err == nil || !strings.Contains(string(out), want) {
				t.Errorf("error %v, want %q in\n%.2000s", err, want, out)
			}
		})
	}
}
