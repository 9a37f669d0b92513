package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fluxgate/sdk"
)

// startPair runs a fleet with an input and a sink, as the returned specs say.
func startPair(t *testing.T) (f *Fleet, in *Input, sink *Sink, inputs, sinks []Spec, metrics *prometheus.Registry) {
	t.Helper()
	f, metrics = newFleet(t)
	inputs = []Spec{{Name: "flux", Program: inputProgram(t), Config: map[string]any{"act": "tell", "text": "old"}}}
	sinks = []Spec{{Name: "carbon", Program: executable(t)}}
	in, sink = f.Input(inputs[0]), f.Sink(sinks[0])
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, f)
	return f, in, sink, inputs, sinks, metrics
}

func with(config map[string]any, s Spec) Spec {
	s.Config = config
	return s
}

func swap(t *testing.T, f *Fleet, inputs, sinks []Spec) *Change {
	t.Helper()
	change, err := f.Prepare(t.Context(), inputs, sinks, nil)
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	return change
}

// A load calls a function from several goroutines until it is stopped.
type load struct {
	calls    atomic.Int64
	stopping chan struct{}
	callers  sync.WaitGroup
}

func startLoad(t *testing.T, callers int, call func() error) *load {
	l := &load{stopping: make(chan struct{})}
	for range callers {
		l.callers.Go(func() {
			for {
				select {
				case <-l.stopping:
					return
				default:
				}
				if err := call(); err != nil {
					t.Errorf("a call fails: %v", err)
					return
				}
				l.calls.Add(1)
			}
		})
	}
	return l
}

func (l *load) stop() {
	close(l.stopping)
	l.callers.Wait()
}

func TestSwapsUnderLoadFailNoCall(t *testing.T) {
	const swaps = 50
	f, in, sink, inputs, sinks, metrics := startPair(t)
	decodes := startLoad(t, 4, func() error { _, err := in.Decode(t.Context(), sdk.Request{}); return err })
	writes := startLoad(t, 4, func() error { return sink.Write(t.Context(), oneDatapoint) })
	var pids []int
	var spent func() string
	for n := range swaps {
		if n == 1 {
			spent = footprint(t)
		}
		pids = append(pids, in.current().Pid(), sink.current().Pid())
		inputs[0] = with(map[string]any{"act": "tell", "text": fmt.Sprint(n), "wait": "5ms"}, inputs[0])
		sinks[0] = with(map[string]any{"text": fmt.Sprint(n)}, sinks[0])
		change := swap(t, f, inputs, sinks)
		if change.Inputs[0] != in || change.Sinks[0] != sink {
			t.Fatal("the handles are others")
		}
		if s, err := in.Decode(t.Context(), sdk.Request{}); err != nil || s.Key != fmt.Sprint(n) {
			t.Fatalf("after swap %d: %q, %v", n, s.Key, err)
		}
	}
	decodes.stop()
	writes.stop()
	if decodes.calls.Load() < swaps || writes.calls.Load() < swaps {
		t.Errorf("only %d and %d calls", decodes.calls.Load(), writes.calls.Load())
	}
	for _, pid := range pids {
		await(t, "the replaced processes are gone", func() bool { return !alive(pid) })
	}
	await(t, "the host holds no more than before", func() bool { return spent() == "" })
	for _, name := range []string{"flux", "carbon"} {
		if n := restarts(t, metrics, name); n != 0 {
			t.Errorf("%v restarts of %s are counted", n, name)
		}
	}
}

func TestSwapFinishesLongCalls(t *testing.T) {
	f, in, sink, inputs, sinks, _ := startPair(t)
	calls := filepath.Join(t.TempDir(), "calls")
	sinks[0] = with(map[string]any{"act": "take long", "wait": "5s", "path": calls}, sinks[0]) // longer than a stop may take
	swap(t, f, inputs, sinks)
	result := make(chan error, 1)
	go func() { result <- sink.Write(t.Context(), oneDatapoint) }()
	await(t, "the call is under way", func() bool { return count(t, calls) == 1 })
	kept, old := in.current().Pid(), sink.current().Pid()
	sinks[0] = with(nil, sinks[0])
	start := time.Now()
	swap(t, f, inputs, sinks)
	if err := sink.Write(t.Context(), oneDatapoint); err != nil || time.Since(start) > 4*time.Second {
		t.Errorf("a call of the new process, after %v: %v", time.Since(start), err)
	}
	if in.current().Pid() != kept {
		t.Error("the plugin that has not changed has another process")
	}
	if err := <-result; err != nil {
		t.Errorf("the call of the old process: %v", err)
	}
	await(t, "the old process is gone", func() bool { return !alive(old) })
}

func TestAProcessThatWasReplacedDoesNotOutliveTheFleet(t *testing.T) {
	f, _ := newFleet(t)
	calls := filepath.Join(t.TempDir(), "calls")
	spec := Spec{Name: "carbon", Program: executable(t), Config: map[string]any{"act": "hang", "path": calls}}
	sink := f.Sink(spec)
	stop := run(t, f)
	await(t, "it is open", sink.isOpen)
	old, result := sink.current().Pid(), make(chan error, 1)
	go func() { result <- sink.Write(context.Background(), oneDatapoint) }()
	await(t, "the call is under way", func() bool { return count(t, calls) == 1 })
	swap(t, f, nil, []Spec{with(nil, spec)})
	if !alive(old) {
		t.Error("the old process is gone before its call is done")
	}
	start := time.Now()
	stop()
	if took := time.Since(start); took > 3*time.Second || alive(old) {
		t.Errorf("after %v: alive %v", took, alive(old))
	}
	if err := <-result; !errors.Is(err, sdk.ErrUnavailable) && !errors.Is(err, context.Canceled) {
		t.Errorf("the call: %v", err)
	}
}

func TestWhatCannotBePreparedChangesNothing(t *testing.T) {
	bad := func(act string) map[string]any { return map[string]any{"act": act} }
	tests := []struct {
		name, says string
		spec       func(Spec) Spec
	}{
		{"refused", "not to my taste", func(s Spec) Spec { return with(bad("refuse"), s) }},
		{"optional and refused", "not to my taste", func(s Spec) Spec { s.Optional = true; return with(bad("refuse"), s) }},
		{"dying", "it died while it was being opened (exit code 3)", func(s Spec) Spec { return with(bad("die at start"), s) }},
		{"missing", "no such file", func(s Spec) Spec { s.Program = "/nowhere/plugin"; return s }},
		{"forged", "checksum", func(s Spec) Spec { s.Checksum = strings.Repeat("ab", 32); return s }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log := keepLog(t)
			f, in, sink, inputs, sinks, metrics := startPair(t)
			pids := []int{in.current().Pid(), sink.current().Pid()}
			next := with(map[string]any{"act": "tell", "text": "new"}, inputs[0])
			_, err := f.Prepare(t.Context(), []Spec{next}, []Spec{tt.spec(sinks[0]), {Name: "another", Program: executable(t)}}, nil)
			if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), `"carbon"`) {
				t.Fatalf("error %v, want one about carbon that says %q", err, tt.says)
			}
			if in.current().Pid() != pids[0] || sink.current().Pid() != pids[1] {
				t.Error("the processes are others")
			}
			if s, err := in.Decode(t.Context(), sdk.Request{}); err != nil || s.Key != "old" {
				t.Errorf("the input: %q, %v", s.Key, err)
			}
			if err := sink.Write(t.Context(), oneDatapoint); err != nil {
				t.Errorf("the sink: %v", err)
			}
			for _, pid := range started(t, log) {
				if pid != pids[0] && pid != pids[1] && alive(pid) {
					t.Errorf("process %d is left", pid)
				}
			}
			if text := shown(t, metrics); strings.Contains(text, "another") {
				t.Errorf("the metrics tell of a plugin that never was: %s", text)
			}
			swap(t, f, inputs, sinks) // it is no longer under way
		})
	}
}

// started returns the processes that a log tells of.
func started(t *testing.T, log *buffer) (pids []int) {
	t.Helper()
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, `msg="plugin started"`) {
			var pid int
			if _, err := fmt.Sscanf(line[strings.Index(line, "pid="):], "pid=%d", &pid); err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	if len(pids) < 3 {
		t.Fatalf("%d processes were started", len(pids))
	}
	return pids
}

func shown(t *testing.T, metrics prometheus.Gatherer) string {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(families)
}

func TestPluginsThatComeAndGo(t *testing.T) {
	f, in, sink, inputs, _, metrics := startPair(t)
	old := sink.current().Pid()
	if _, err := f.Prepare(t.Context(), inputs, []Spec{{Name: "idle", Program: "/nowhere/plugin", Optional: true}}, nil); !errors.Is(err, sdk.ErrInvalid) {
		t.Fatalf("a new optional sink whose program is missing: %v", err)
	}
	change, err := f.Prepare(t.Context(), inputs, []Spec{{Name: "another", Program: executable(t)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Prepare(t.Context(), inputs, nil, nil); !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("a second change at once: %v", err)
	}
	another := change.Sinks[0]
	if err := sink.Write(t.Context(), oneDatapoint); err != nil {
		t.Errorf("before the change: %v", err)
	}
	if err := another.Write(t.Context(), oneDatapoint); !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("a new sink before the change: %v", err)
	}
	change.Commit()
	if err := another.Write(t.Context(), oneDatapoint); err != nil {
		t.Errorf("the new sink: %v", err)
	}
	start := time.Now()
	if err := sink.Write(t.Context(), oneDatapoint); !errors.Is(err, sdk.ErrUnavailable) || time.Since(start) > patience/2 {
		t.Errorf("the sink that is gone, after %v: %v", time.Since(start), err)
	}
	await(t, "its process is gone", func() bool { return !alive(old) })
	if text := shown(t, metrics); strings.Contains(text, "carbon") || !strings.Contains(text, "another") {
		t.Errorf("the metrics show %s", text)
	}
	if change.Inputs[0] != in || f.Missing() != nil {
		t.Errorf("missing: %q", f.Missing())
	}
}

func TestAbandonedChange(t *testing.T) {
	log := keepLog(t)
	f, in, sink, inputs, sinks, _ := startPair(t)
	pids := []int{in.current().Pid(), sink.current().Pid()}
	change, err := f.Prepare(t.Context(), inputs, []Spec{with(map[string]any{"text": "new"}, sinks[0])}, nil)
	if err != nil {
		t.Fatal(err)
	}
	change.Abandon()
	if in.current().Pid() != pids[0] || sink.current().Pid() != pids[1] {
		t.Error("the processes are others")
	}
	for _, pid := range started(t, log) {
		if pid != pids[0] && pid != pids[1] && alive(pid) {
			t.Errorf("process %d is left", pid)
		}
	}
}

func TestReloadTakesTheProgramThatIsThere(t *testing.T) {
	f, _ := newFleet(t)
	path := filepath.Join(t.TempDir(), "plugin")
	install := func() {
		copyFile(t, executable(t), path+".new")
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	install()
	spec := Spec{Name: "carbon", Program: path, Config: map[string]any{"text": "x"}}
	sink := f.Sink(spec)
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, f)
	pid := sink.current().Pid()
	swap(t, f, nil, []Spec{with(map[string]any{"text": "x"}, spec)})
	if sink.current().Pid() != pid {
		t.Error("the same program with the same settings was started again")
	}
	install()
	swap(t, f, nil, []Spec{spec})
	if sink.current().Pid() == pid {
		t.Error("the process of the old program is still the sink's")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Prepare(t.Context(), nil, []Spec{spec}, nil); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("a program that was removed: %v", err)
	}
	if err := sink.Write(t.Context(), oneDatapoint); err != nil {
		t.Error(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
}

// An optional sink whose program is missing does not make every later change fail.
func TestWhatWasMissingMayStayMissing(t *testing.T) {
	f, _ := newFleet(t, t.TempDir())
	idle := Spec{Name: "idle", Program: "fluxgate-sink-idle", Optional: true}
	carbon := Spec{Name: "carbon", Program: executable(t)}
	f.Sink(idle)
	f.Sink(carbon)
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, f)
	change := swap(t, f, nil, []Spec{idle, with(map[string]any{"text": "new"}, carbon)})
	if err := change.Sinks[1].Write(t.Context(), oneDatapoint); err != nil {
		t.Error(err)
	}
}

func TestChangeBeforeTheFleetRuns(t *testing.T) {
	f, _ := newFleet(t)
	spec := Spec{Name: "carbon", Program: executable(t)}
	sink := f.Sink(spec)
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	pids := []int{sink.current().Pid()}
	swap(t, f, nil, []Spec{with(map[string]any{"text": "new"}, spec)})
	pids = append(pids, sink.current().Pid())
	stop := run(t, f)
	await(t, "the old process is gone", func() bool { return !alive(pids[0]) })
	if err := sink.Write(t.Context(), oneDatapoint); err != nil {
		t.Error(err)
	}
	stop()
	if alive(pids[1]) {
		t.Error("a process is left")
	}
}
