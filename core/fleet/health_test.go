package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
)

// restartLimit is how long after it has come to a stop a plugin must be open
// again.
const restartLimit = 8 * time.Second

func TestStoppedPluginsAreReplacedAndBusyOnesAreNot(t *testing.T) {
	f, metrics := newFleet(t)
	calls := filepath.Join(t.TempDir(), "calls")
	sink := f.Sink(Spec{Name: "carbon", Program: executable(t)})
	in := f.Input(Spec{Name: "flux", Program: inputProgram(t)})
	busy := f.Sink(Spec{Name: "busy", Program: executable(t), Config: map[string]any{"act": "take long", "wait": "10s", "path": calls}})
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, f)
	before := busy.current().Pid()
	results := make(chan error)
	const writes = 20
	for range writes {
		go func() { results <- busy.Write(context.Background(), oneDatapoint) }()
	}
	await(t, "the busy plugin is busy", func() bool { return count(t, calls) == writes })
	pids := [2]int{sink.current().Pid(), in.current().Pid()}
	start := time.Now()
	for _, pid := range pids {
		halt(t, pid)
	}
	await(t, "new processes are open", func() bool {
		a, b := sink.current(), in.current()
		return a != nil && b != nil && a.Pid() != pids[0] && b.Pid() != pids[1]
	})
	if took := time.Since(start); took > restartLimit {
		t.Errorf("they were away for %v, want at most %v", took, restartLimit)
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
	if err := sink.Write(t.Context(), oneDatapoint); err != nil {
		t.Errorf("a call of the new process: %v", err)
	}
	for range writes {
		if err := <-results; err != nil {
			t.Errorf("a long call: %v", err)
		}
	}
	if n := restarts(t, metrics, "busy"); n != 0 || busy.current().Pid() != before {
		t.Errorf("the busy plugin was started again %v times", n)
	}
}

func TestAFailingPluginThatLivesAgain(t *testing.T) {
	log := keepLog(t)
	f, metrics := newFleet(t)
	obstacle := filepath.Join(t.TempDir(), "obstacle")
	if err := os.WriteFile(obstacle, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	in := f.Input(Spec{Name: "flux", Program: inputProgram(t), Config: map[string]any{"act": "die while the file is there", "path": obstacle}})
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, f)
	state := func() string {
		return fmt.Sprint(metric(t, metrics, "fluxgate_plugin_up", "flux"), metric(t, metrics, "fluxgate_plugin_failing", "flux"))
	}
	if got := state(); got != "0 0" {
		t.Errorf("at first it is up, failing: %s", got)
	}
	await(t, "it is failing", func() bool { return state() == "0 1" })
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	await(t, "it is up", in.isOpen)
	if strings.Contains(log.String(), "lives again") {
		t.Error("it is trusted at once")
	}
	await(t, "it no longer counts as failing", func() bool { return state() == "1 0" })
	await(t, "it is said to live again", func() bool { return strings.Contains(log.String(), `level=INFO msg="plugin lives again" plugin=flux`) })
}

func TestDeathUnderAWriteIsToldFromOtherFailures(t *testing.T) {
	kill := func(t *testing.T, s *Sink) { kill(t, s.current().Pid()) }
	tests := []struct {
		name, act string
		limit     time.Duration
		meanwhile func(*testing.T, *Sink)
		died      bool
		kind      error
	}{
		{"killed", "hang", time.Minute, kill, true, sdk.ErrUnavailable},
		{"deadline", "hang", 300 * time.Millisecond, nil, false, context.DeadlineExceeded},
		{"unavailable", "unavailable", time.Minute, nil, false, sdk.ErrUnavailable},
		{"retired", "hang", time.Minute, func(_ *testing.T, s *Sink) { s.line.Load().stop(s.current()) }, false, sdk.ErrUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, _ := newFleet(t)
			calls := filepath.Join(t.TempDir(), "calls")
			sink := f.Sink(Spec{Name: "carbon", Program: executable(t), Config: map[string]any{"act": tt.act, "path": calls}})
			if err := f.Open(t.Context()); err != nil {
				t.Fatal(err)
			}
			run(t, f)
			ctx, cancel := context.WithTimeout(t.Context(), tt.limit)
			defer cancel()
			result := make(chan error, 1)
			go func() { result <- sink.Write(ctx, oneDatapoint) }()
			if tt.meanwhile != nil {
				await(t, "the call is under way", func() bool { return count(t, calls) == 1 })
				tt.meanwhile(t, sink)
			}
			err := <-result
			var d interface{ Died() bool }
			if !errors.Is(err, tt.kind) || (errors.As(err, &d) && d.Died()) != tt.died {
				t.Errorf("error %v, died %v; want %v, %v", err, !tt.died, tt.kind, tt.died)
			}
		})
	}
}

// The plugin floods its log with 64 MiB.
func TestFloodOfLogLines(t *testing.T) {
	log := keepLog(t)
	f, _ := newFleet(t)
	sink := f.Sink(Spec{Name: "carbon", Program: executable(t), Config: map[string]any{"act": "flood"}})
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, f)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	if err := sink.Write(t.Context(), oneDatapoint); err != nil {
		t.Fatal(err)
	}
	await(t, "it is told how much was dropped", func() bool { return strings.Contains(log.String(), "plugin log lines dropped") })
	runtime.ReadMemStats(&after)
	if grown := int64(after.Sys) - int64(before.Sys); grown > 32<<20 {
		t.Errorf("the host's memory has grown by %d MiB", grown>>20)
	}
	if n, most := strings.Count(log.String(), "xxxx plugin=carbon"), 1000+100*int(time.Since(start)/time.Second+1); n == 0 || n > most {
		t.Errorf("%d lines passed, want at most %d", n, most)
	}
}

func TestDeathsLeaveNothingBehind(t *testing.T) {
	in, _, _ := startInput(t, "")
	die := func() {
		if _, err := in.Decode(t.Context(), sdk.Request{}); err != nil {
			t.Fatal(err)
		}
		process := in.current()
		kill(t, process.Pid())
		<-process.Done()
		await(t, "it is started again", func() bool { now := in.current(); return now != nil && now != process })
	}
	die() // what is made once
	spent := footprint(t)
	for range crashLimit - 3 {
		die()
	}
	await(t, "the host holds no more than before", func() bool { return spent() == "" })
}

// footprint returns what tells how much more the host holds than now: goroutines
// and open files.
func footprint(t *testing.T) (more func() string) {
	t.Helper()
	files := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Error(err)
		}
		return len(entries)
	}
	goroutines, open := runtime.NumGoroutine(), files()
	return func() string {
		if g, o := runtime.NumGoroutine(), files(); g > goroutines || o > open {
			return fmt.Sprintf("%d goroutines and %d files, before %d and %d", g, o, goroutines, open)
		}
		return ""
	}
}
