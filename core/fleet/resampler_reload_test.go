package fleet

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
)

func swapResamplers(t *testing.T, f *Fleet, specs ...Spec) []*Resampler {
	t.Helper()
	change, err := f.Prepare(t.Context(), nil, nil, specs)
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	return change.Resamplers
}

func TestResamplerThatHasNotChangedSleepsOn(t *testing.T) {
	log := keepLog(t)
	r, f, _ := startResampler(t, 50*time.Millisecond, nil)
	spec := r.line.Load().spec
	spec.Optional = false // as it is configured
	if got := swapResamplers(t, f, spec); len(got) != 1 || got[0] != r || strings.Contains(log.String(), "plugin started") {
		t.Errorf("before its first call: %v\n%s", got, log.String())
	}
	resample(t, r)
	await(t, "it is asleep", func() bool { return !r.isOpen() })
	if got := swapResamplers(t, f, spec); got[0] != r || strings.Count(log.String(), "plugin started") != 1 {
		t.Errorf("after it: %v\n%s", got, log.String())
	}
	r.idle = time.Minute
	resample(t, r)
	pid := r.current().Pid()
	swapResamplers(t, f, spec)
	if r.current().Pid() != pid {
		t.Error("awake it has another process")
	}
}

func TestChangedResampler(t *testing.T) {
	r, f, _ := startResampler(t, time.Second, nil)
	spec := r.line.Load().spec
	liar := with(map[string]any{"act": "lie", "text": "metric"}, spec)
	lies := func() bool {
		_, err := r.Resample(t.Context(), threeMinutes, time.Minute)
		return errors.Is(err, sdk.ErrInvalid)
	}
	swapResamplers(t, f, liar) // asleep
	pid := r.current().Pid()
	if !lies() || r.current().Pid() != pid {
		t.Error("asleep it keeps its old settings, or has two processes now")
	}
	swapResamplers(t, f, spec) // awake
	if lies() {
		t.Error("awake it keeps its old settings")
	}
	await(t, "the old process is gone", func() bool { return !alive(pid) })
	await(t, "it is asleep", func() bool { return !r.isOpen() })
	swapResamplers(t, f, liar)
	pid = r.current().Pid()
	await(t, "a new process that nobody calls is stopped", func() bool { return !alive(pid) })
	if !lies() {
		t.Error("it wakes with other settings")
	}
}

// It is called between Prepare and Commit.
func TestResamplerThatWakesDuringAChange(t *testing.T) {
	r, f, _ := startResampler(t, time.Minute, nil)
	change, err := f.Prepare(t.Context(), nil, nil, []Spec{with(map[string]any{"text": "new"}, r.line.Load().spec)})
	if err != nil {
		t.Fatal(err)
	}
	resample(t, r)
	pid := r.current().Pid()
	change.Commit()
	await(t, "the process in between is gone", func() bool { return !alive(pid) })
	resample(t, r)
}

func TestResamplerThatCannotBePrepared(t *testing.T) {
	for name, config := range map[string]map[string]any{"not to my taste": {"act": "refuse"}, `did you mean "act"?`: {"akt": ""}} {
		r, f, metrics := startResampler(t, time.Minute, nil)
		spec := r.line.Load().spec
		_, err := f.Prepare(t.Context(), nil, nil, []Spec{with(config, spec), {Name: "another", Program: spec.Program}})
		if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), `"mean"`) {
			t.Errorf("error %v, want one about mean that says %q", err, name)
		}
		resample(t, r)
		if text := shown(t, metrics); strings.Contains(text, "another") {
			t.Errorf("the metrics tell of a plugin that never was: %s", text)
		}
	}
}

func TestResamplersThatComeAndGo(t *testing.T) {
	t.Run("awake", func(t *testing.T) { comeAndGo(t, func(*Resampler) {}) })
	t.Run("asleep", func(t *testing.T) { comeAndGo(t, (*Resampler).sleep) })
}

func comeAndGo(t *testing.T, before func(*Resampler)) {
	r, f, metrics := startResampler(t, time.Minute, nil)
	resample(t, r)
	pid := r.current().Pid()
	before(r)
	change, err := f.Prepare(t.Context(), nil, nil, []Spec{{Name: "last", Program: r.line.Load().spec.Program}})
	if err != nil {
		t.Fatal(err)
	}
	last := change.Resamplers[0]
	if _, err := last.Resample(t.Context(), threeMinutes, time.Minute); !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("a new one before the change: %v", err)
	}
	change.Commit()
	resample(t, last)
	await(t, "the old process is gone", func() bool { return !alive(pid) })
	r.sleep() // as it does when there has been no call, and must not now: it would wake again
	start := time.Now()
	if _, err := r.Resample(t.Context(), threeMinutes, time.Minute); !errors.Is(err, sdk.ErrUnavailable) || time.Since(start) > time.Second {
		t.Errorf("the one that is gone, after %v: %v", time.Since(start), err)
	}
	if text := shown(t, metrics); strings.Contains(text, `"mean"`) || !strings.Contains(text, `"last"`) {
		t.Errorf("the metrics show %s", text)
	}
}

func TestResamplerFallsAsleepAndWakesUnderLoad(t *testing.T) {
	r, f, _ := startResampler(t, time.Millisecond, nil)
	spec, spent := r.line.Load().spec, func() string { return "" }
	for n := range 12 {
		if n == 2 {
			spent = footprint(t)
		}
		calls := startLoad(t, 4, func() error { _, err := r.Resample(t.Context(), threeMinutes, time.Minute); return err })
		await(t, "it is called", func() bool { return calls.calls.Load() > 20 })
		swapResamplers(t, f, with(map[string]any{"text": fmt.Sprint(n)}, spec))
		calls.stop()
		await(t, "it is asleep", func() bool { return !r.isOpen() })
	}
	await(t, "the host holds no more than before", func() bool { return spent() == "" })
}
