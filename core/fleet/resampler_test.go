package fleet

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fluxgate/sdk"
)

// Resample keeps the last point of each interval, unless the actor's settings
// say otherwise. Each call is noted in the file Path, if there is one.
func (a actor) Resample(ctx context.Context, s sdk.Series, step time.Duration) (sdk.Series, error) {
	call := 0
	if a.Path != "" {
		var err error
		if call, err = note(a.Path); err != nil {
			return sdk.Series{}, err
		}
	}
	out := sdk.Series{Metric: s.Metric}
	for start, points := range s.Intervals(step) {
		out.Points = append(out.Points, sdk.Point{Timestamp: start, Value: points[len(points)-1].Value})
	}
	switch {
	case a.Act == "die at first" && call == 1:
		syscall.Exit(3)
	case a.Act == "hang":
		<-ctx.Done()
		return sdk.Series{}, ctx.Err()
	case a.Act == "take long":
		time.Sleep(a.Wait)
	case a.Act == "unavailable":
		return sdk.Series{}, sdk.Unavailablef("far end")
	case a.Act == "invalid":
		return sdk.Series{}, sdk.Invalidf("not this series")
	case a.Act == "fault":
		panic("a mistake")
	case a.Act == "lie":
		a.lie(&out)
	}
	return out, nil
}

// lie makes an answer, of three points a minute apart, break the contract.
func (a actor) lie(out *sdk.Series) {
	p := out.Points
	switch a.Text {
	case "metric":
		out.Metric = "b"
	case "nan":
		p[1].Value = math.NaN()
	case "infinite":
		p[2].Value = math.Inf(-1)
	case "askew":
		p[1].Timestamp += 30
	case "disorder":
		p[0], p[1] = p[1], p[0]
	case "twice":
		p[1] = p[0]
	case "gap":
		p[1].Timestamp = 120
	case "before":
		p[0].Timestamp = 0
	case "after":
		p[2].Timestamp += 60
	case "fewer":
		out.Points = p[1:2]
	case "none":
		out.Points = nil
	}
}

// threeMinutes has points in the minutes from 60, 180 and 240.
var threeMinutes = sdk.Series{Metric: "a", Points: []sdk.Point{{Timestamp: 61, Value: 1}, {Timestamp: 119, Value: 2}, {Timestamp: 180, Value: 3}, {Timestamp: 299, Value: 4}}}

func resampler(t *testing.T, config map[string]any) Spec {
	t.Helper()
	return Spec{Name: "mean", Program: programNamed(t, resamplerName), Config: config}
}

// startResampler runs a fleet with one resampler.
func startResampler(t *testing.T, idle time.Duration, config map[string]any) (*Resampler, *Fleet, *prometheus.Registry) {
	t.Helper()
	f, metrics := newFleet(t)
	r := f.Resampler(resampler(t, config))
	r.idle = idle
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, f)
	return r, f, metrics
}

// resample fails the test unless a call succeeds.
func resample(t *testing.T, r *Resampler) {
	t.Helper()
	got, err := r.Resample(t.Context(), threeMinutes, time.Minute)
	want := []sdk.Point{{Timestamp: 60, Value: 2}, {Timestamp: 180, Value: 3}, {Timestamp: 240, Value: 4}}
	if err != nil || got.Metric != "a" || !slices.Equal(got.Points, want) {
		t.Fatalf("%v, %v, want %v", got, err, want)
	}
}

// up returns what the metrics say of the resampler: up, failing.
func up(t *testing.T, metrics prometheus.Gatherer) [2]float64 {
	t.Helper()
	return [2]float64{metric(t, metrics, "fluxgate_plugin_up", "mean"), metric(t, metrics, "fluxgate_plugin_failing", "mean")}
}

func TestResamplerRunsWhileItIsNeeded(t *testing.T) {
	log := keepLog(t)
	const idle = 500 * time.Millisecond
	r, f, metrics := startResampler(t, idle, nil)
	f.Resampler(Spec{Name: "unneeded", Program: r.line.Load().spec.Program})
	if got := up(t, metrics); got != [2]float64{1, 0} || f.Missing() != nil {
		t.Errorf("asleep it is up, failing: %v; missing: %q", got, f.Missing())
	}
	var pids []int
	for range 2 {
		resample(t, r)
		pid := r.current().Pid()
		for start := time.Now(); time.Since(start) < 2*idle; {
			resample(t, r)
		}
		if r.current().Pid() != pid {
			t.Error("it is started anew though it is needed all the time")
		}
		done := time.Now()
		await(t, "it is stopped", func() bool { return !alive(pid) })
		if took := time.Since(done); took < idle/2 || took > idle+5*time.Second {
			t.Errorf("it was stopped %v after its last call", took)
		}
		pids = append(pids, pid)
	}
	if pids[0] == pids[1] {
		t.Error("it is the same process")
	}
	if got := up(t, metrics); got != [2]float64{1, 0} || restarts(t, metrics, "mean") != 0 {
		t.Errorf("asleep again it is up, failing: %v; restarts %v", got, restarts(t, metrics, "mean"))
	}
	if n := strings.Count(log.String(), "plugin started"); n != len(pids) {
		t.Errorf("%d processes were started, and %d needed", n, len(pids))
	}
	if strings.Contains(log.String(), "WARN") || strings.Contains(log.String(), "ERROR") {
		t.Errorf("what is ordinary is logged as\n%s", log.String())
	}
}

func TestResamplerIsNotStoppedUnderACall(t *testing.T) {
	r, _, _ := startResampler(t, 300*time.Millisecond, map[string]any{"act": "take long", "wait": "600ms"})
	resample(t, r)
	pid := r.current().Pid() // whose time is over during the next call
	results := make(chan error)
	for range 3 {
		go func() {
			_, err := r.Resample(context.Background(), threeMinutes, time.Minute)
			results <- err
		}()
	}
	for range 3 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	resample(t, r)
	if r.current().Pid() != pid {
		t.Error("it is another process")
	}
}

func TestKilledResamplerIsUsedAgain(t *testing.T) {
	calls := filepath.Join(t.TempDir(), "calls")
	r, _, metrics := startResampler(t, time.Minute, map[string]any{"act": "die at first", "path": calls})
	_, err := r.Resample(t.Context(), threeMinutes, time.Minute)
	var d interface{ Died() bool }
	if !errors.Is(err, sdk.ErrUnavailable) || !errors.As(err, &d) || !d.Died() || strings.Count(err.Error(), `"mean"`) != 1 {
		t.Errorf("the call that it died of: %v", err)
	}
	resample(t, r)
	process := r.current()
	kill(t, process.Pid())
	<-process.Done()
	resample(t, r)
	if n := restarts(t, metrics, "mean"); n != 2 || up(t, metrics) != [2]float64{1, 0} {
		t.Errorf("%v restarts counted; it is up, failing: %v", n, up(t, metrics))
	}
}

func TestHangingResamplerIsKilled(t *testing.T) {
	r, _, _ := startResampler(t, time.Minute, nil)
	resample(t, r)
	pid := r.current().Pid()
	halt(t, pid)
	start := time.Now()
	_, err := r.Resample(t.Context(), threeMinutes, time.Minute)
	if took := time.Since(start); !errors.Is(err, sdk.ErrUnavailable) || took > restartLimit {
		t.Errorf("after %v: %v", took, err)
	}
	await(t, "it is gone", func() bool { return !alive(pid) })
	resample(t, r)
}

func TestResamplerThatTakesTooLong(t *testing.T) {
	r, _, _ := startResampler(t, time.Minute, map[string]any{"act": "hang"})
	r.limit = 200 * time.Millisecond
	start := time.Now()
	if _, err := r.Resample(t.Context(), threeMinutes, time.Minute); !errors.Is(err, sdk.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
	r.limit = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := r.Resample(ctx, threeMinutes, time.Minute); !errors.Is(err, sdk.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a deadline: %v", err)
	}
	if pid := r.current().Pid(); !alive(pid) {
		t.Error("it is killed though it gives signs of life")
	}
}

func TestResamplerThatCannotBeStarted(t *testing.T) {
	obstacle := filepath.Join(t.TempDir(), "obstacle")
	if _, err := note(obstacle); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, says string
		spec       Spec
		limit      time.Duration // of the first call
	}{
		{"refused", "not to my taste", resampler(t, map[string]any{"act": "refuse"}), 5 * time.Second},
		{"missing", "no program", Spec{Name: "mean", Program: "fluxgate-resampler-lost"}, 5 * time.Second},
		{"a sink", "plugin of kind sink", Spec{Name: "mean", Program: executable(t)}, 5 * time.Second},
		{"dying", "left or spoke", resampler(t, map[string]any{"act": "die while the file is there", "path": obstacle}), time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := keepLog(t)
			f, metrics := newFleet(t, t.TempDir())
			r := f.Resampler(tt.spec)
			if err := f.Open(t.Context()); err != nil {
				t.Fatalf("it stops the start: %v", err)
			}
			if warned := strings.Contains(log.String(), "plugin cannot be started when it is needed"); warned != (tt.name == "missing") {
				t.Errorf("the log at the start: %s", log.String())
			}
			run(t, f)
			for n := range 2 {
				if n == 1 && tt.name != "dying" {
					tt.limit = 100 * time.Millisecond // before it is started again
				}
				ctx, cancel := context.WithTimeout(t.Context(), tt.limit)
				defer cancel()
				_, err := r.Resample(ctx, threeMinutes, time.Minute)
				if !errors.Is(err, sdk.ErrUnavailable) || errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), `"mean"`) {
					t.Errorf("call %d: error %v, want one about the plugin that may pass", n, err)
				}
				if person := tt.name != "dying"; person && (ctx.Err() != nil || !strings.Contains(err.Error(), tt.says)) {
					t.Errorf("call %d: error %v, want one that says %q, at once", n, err, tt.says)
				}
			}
			if got := up(t, metrics); got[0] != 0 || f.Missing() != nil {
				t.Errorf("it is up, failing: %v; missing: %q", got, f.Missing())
			}
		})
	}
}

func TestResamplerAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config map[string]any
		says   string // empty: it is a good answer
		kind   error
	}{
		{"unavailable", map[string]any{"act": "unavailable"}, "far end", sdk.ErrUnavailable},
		{"invalid", map[string]any{"act": "invalid"}, "not this series", sdk.ErrInvalid},
		{"panic", map[string]any{"act": "fault"}, "a mistake", sdk.ErrUnavailable},
		{"another metric", map[string]any{"text": "metric"}, `metric "b", not "a"`, sdk.ErrInvalid},
		{"NaN", map[string]any{"text": "nan"}, "value NaN at 180", sdk.ErrInvalid},
		{"infinite", map[string]any{"text": "infinite"}, "value -Inf at 240", sdk.ErrInvalid},
		{"no multiple of step", map[string]any{"text": "askew"}, "timestamp, 210, that is no multiple of the step of 1m0s", sdk.ErrInvalid},
		{"descending", map[string]any{"text": "disorder"}, "timestamp 60 after 180", sdk.ErrInvalid},
		{"the same timestamp twice", map[string]any{"text": "twice"}, "timestamp 60 after 60", sdk.ErrInvalid},
		{"an interval in a gap", map[string]any{"text": "gap"}, "interval, 120, without points", sdk.ErrInvalid},
		{"an interval before the first", map[string]any{"text": "before"}, "interval, 0, without points", sdk.ErrInvalid},
		{"an interval after the last", map[string]any{"text": "after"}, "interval, 300, without points", sdk.ErrInvalid},
		{"fewer intervals", map[string]any{"text": "fewer"}, "", nil},
		{"none", map[string]any{"text": "none"}, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.config["act"] == nil {
				tt.config["act"] = "lie"
			}
			r, _, _ := startResampler(t, time.Minute, tt.config)
			out, err := r.Resample(t.Context(), threeMinutes, time.Minute)
			if tt.kind == nil {
				if err != nil {
					t.Errorf("error %v", err)
				}
				return
			}
			if !errors.Is(err, tt.kind) || errors.Is(err, sdk.ErrInvalid) != (tt.kind == sdk.ErrInvalid) ||
				!strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), `plugin "mean"`) || out.Points != nil {
				t.Errorf("%v, error %v, want %v that says %q of the plugin", out, err, tt.kind, tt.says)
			}
		})
	}
}

func TestResamplerIsNotAskedWhatIsNotFit(t *testing.T) {
	r, f, _ := startResampler(t, time.Minute, nil)
	f.setup.MessageLimit = 1 << 20
	many := func(n int) (s sdk.Series) {
		s.Points = make([]sdk.Point, n)
		for i := range s.Points {
			s.Points[i] = sdk.Point{Timestamp: math.MinInt64 + int64(i), Value: 1} // as many bytes as can be
		}
		return s
	}
	for _, tt := range []struct {
		name string
		s    sdk.Series
		step time.Duration
		says string
	}{
		{"no step", threeMinutes, 0, "a step of 0s"},
		{"half a second", threeMinutes, 500 * time.Millisecond, "a step of 500ms"},
		{"a second and a half", threeMinutes, 1500 * time.Millisecond, "a step of 1.5s"},
		{"descending", sdk.Series{Metric: "a", Points: []sdk.Point{{Timestamp: 2}, {Timestamp: 1}}}, time.Minute, "must ascend"},
		{"too many points", many(60_000), time.Minute, "a plugin's message holds 58"},
	} {
		if _, err := r.Resample(t.Context(), tt.s, tt.step); !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: error %v, want an invalid one that says %q", tt.name, err, tt.says)
		}
	}
	if r.isOpen() {
		t.Error("it was started")
	}
	if out, err := r.Resample(t.Context(), many(50_000), time.Second); err != nil || len(out.Points) != 50_000 {
		t.Errorf("the most that always fits: %d points, %v", len(out.Points), err)
	}
	if out, err := r.Resample(t.Context(), sdk.Series{Metric: "a"}, time.Second); err != nil || out.Metric != "a" || len(out.Points) != 0 {
		t.Errorf("nothing: %v, %v", out, err)
	}
}

func TestTryOpensResamplers(t *testing.T) {
	for _, tt := range []struct {
		name, offline, online string
		spec                  Spec
	}{
		{"well", "", "", resampler(t, nil)},
		{"unwell", "", "nobody listens", resampler(t, map[string]any{"act": "unwell"})},
		{"refused", "not to my taste", "not to my taste", resampler(t, map[string]any{"act": "refuse"})},
		{"a sink", "plugin of kind sink", "plugin of kind sink", Spec{Program: executable(t)}},
		{"missing", "no program", "no program", Spec{Program: "fluxgate-resampler-lost"}},
	} {
		for connect, want := range map[bool]string{false: tt.offline, true: tt.online} {
			f, _ := newFleet(t, t.TempDir())
			tt.spec.Name = tt.name
			r := f.Resampler(tt.spec)
			f.Resampler(with(nil, Spec{Name: "another", Program: programNamed(t, resamplerName)}))
			checkTry(t, f.Try(t.Context(), connect), tt.name, want)
			if r.isOpen() {
				t.Errorf("%s, connect %v: its process is left", tt.name, connect)
			}
		}
	}
}

func TestRunStopsResamplers(t *testing.T) {
	calls := filepath.Join(t.TempDir(), "calls")
	f, _ := newFleet(t)
	r := f.Resampler(resampler(t, map[string]any{"act": "take long", "wait": "1s", "path": calls}))
	stop := run(t, f)
	result := make(chan error)
	go func() {
		_, err := r.Resample(context.Background(), threeMinutes, time.Minute)
		result <- err
	}()
	await(t, "the call is under way", func() bool { return count(t, calls) == 1 })
	pid := r.current().Pid()
	go stop()
	if err := <-result; err != nil {
		t.Errorf("the call under way at the end: %v", err)
	}
	stop()
	if alive(pid) {
		t.Error("the process is left")
	}
}
