package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fluxgate/sdk"
	"fluxgate/sdk/plugintest"
)

// The plugins of these tests are this test binary, started again: a sink, or
// under another name an input or a resampler.

const (
	inputName     = "actor-input"
	resamplerName = "actor-resampler"
	oldName       = "actor-of-protocol-1"
)

func TestMain(m *testing.M) {
	plugintest.Main(m, func() {
		switch filepath.Base(os.Args[0]) {
		case inputName:
			sdk.ServeInput(settings{}, func(_ context.Context, s settings) (sdk.Input, error) { return actor{s}, s.begin() })
		case resamplerName:
			sdk.ServeResampler(settings{}, func(_ context.Context, s settings) (sdk.Resampler, error) { return actor{s}, s.begin() })
		default:
			if filepath.Base(os.Args[0]) == oldName {
				_ = os.Setenv("PLUGIN_PROTOCOL_VERSIONS", "1") // as if the host knew no other
			}
			sdk.ServeSink(settings{}, func(_ context.Context, s settings) (sdk.Sink, error) { return actor{s}, s.begin() })
		}
		syscall.Exit(0) // without the second for which the race detector waits
	})
}

type settings struct {
	Act  string        `koanf:"act"`
	Path string        `koanf:"path"`
	Wait time.Duration `koanf:"wait"`
	Text string        `koanf:"text"`
}

func (s settings) begin() error {
	switch s.Act {
	case "refuse":
		return sdk.Invalidf("not to my taste")
	case "die at start":
		syscall.Exit(3)
	case "hang at start":
		select {}
	case "die while the file is there":
		if _, err := os.Stat(s.Path); err == nil {
			syscall.Exit(3)
		}
	}
	return nil
}

// An actor does as its settings say.
type actor struct{ settings }

func (a actor) Write(ctx context.Context, _ sdk.Batch) error {
	switch a.Act {
	case "take long":
		if _, err := note(a.Path); err != nil {
			return err
		}
		time.Sleep(a.Wait)
	case "hang":
		if _, err := note(a.Path); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	case "unavailable":
		return sdk.Unavailablef("far end")
	case "flood":
		line := strings.Repeat("x", 1023)
		for range 1 << 15 {
			fmt.Fprintln(os.Stderr, line)
			fmt.Println(line)
		}
	}
	return nil
}

func (a actor) Check(context.Context) error {
	if a.Act == "unwell" {
		return sdk.Unavailablef("nobody listens on port 2004")
	}
	return nil
}

var company atomic.Int32 // calls of decodeAmongPoison under way

// decodeAmongPoison dies of one body. Of the others as many as Text says hang;
// later ones tell whether they were alone.
func (a actor) decodeAmongPoison(ctx context.Context, r sdk.Request) (sdk.Submission, error) {
	company.Add(1)
	defer company.Add(-1)
	switch string(r.Body) {
	case "poison":
		syscall.Exit(3)
	case "newcomer":
		return sdk.Submission{Key: "newcomer"}, nil
	}
	call, err := note(a.Path)
	if err != nil {
		return sdk.Submission{}, err
	}
	if first, _ := strconv.Atoi(a.Text); call <= first {
		<-ctx.Done()
		return sdk.Submission{}, ctx.Err()
	}
	for start := time.Now(); time.Since(start) < 50*time.Millisecond; time.Sleep(time.Millisecond) {
		if company.Load() > 1 {
			return sdk.Submission{Key: "in company"}, nil
		}
	}
	return sdk.Submission{Key: "alone"}, nil
}

// Decode notes each call in the file Path, and tells which call it was.
func (a actor) Decode(ctx context.Context, r sdk.Request) (sdk.Submission, error) {
	switch a.Act {
	case "among poison":
		return a.decodeAmongPoison(ctx, r)
	case "tell":
		time.Sleep(a.Wait)
		return sdk.Submission{Key: a.Text}, nil
	}
	call, err := note(a.Path)
	switch {
	case err != nil:
		return sdk.Submission{}, err
	case a.Act == "deadly":
		syscall.Exit(3)
	case a.Act == "unavailable":
		return sdk.Submission{}, sdk.Unavailablef("call %d", call)
	case a.Act == "hang at first" && call == 1:
		<-ctx.Done()
		return sdk.Submission{}, ctx.Err()
	}
	return sdk.Submission{Key: fmt.Sprint(call)}, nil
}

// note adds this process's id to a file and returns how many it holds.
func note(path string) (int, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	_, err = fmt.Fprintln(f, os.Getpid())
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	text, err := os.ReadFile(path)
	return strings.Count(string(text), "\n"), err
}

func executable(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func inputProgram(t *testing.T) string {
	t.Helper()
	return programNamed(t, inputName)
}

func programNamed(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(executable(t), path); err != nil {
		t.Fatal(err)
	}
	return path
}

// quarters makes the system's folder for temporary files one of this test's,
// with a short name.
func quarters(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "f")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	t.Setenv("TMPDIR", dir)
	return dir
}

// newFleet returns an empty fleet and its metrics.
func newFleet(t *testing.T, folders ...string) (*Fleet, *prometheus.Registry) {
	t.Helper()
	quarters(t)
	metrics := prometheus.NewRegistry()
	f, err := New(Setup{Folders: folders}, metrics)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.sockets.remove)
	return f, metrics
}

// run runs f until the returned function is called, or the test ends.
func run(t *testing.T, f *Fleet) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	return stop
}

// await returns when ok does; it fails the test after twenty seconds.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not so after twenty seconds: %s", what)
		}
	}
}

// metric returns the value of a metric about a plugin.
func metric(t *testing.T, metrics prometheus.Gatherer, name, plugin string) float64 {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.Metric {
			if m.Label[0].GetName() == "plugin" && m.Label[0].GetValue() == plugin {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no %s of %q", name, plugin)
	return 0
}

func restarts(t *testing.T, metrics prometheus.Gatherer, plugin string) float64 {
	t.Helper()
	return metric(t, metrics, "fluxgate_plugin_restarts_total", plugin)
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// halt stops a process until it is killed. It returns when no thread runs.
func halt(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	await(t, "the process has stopped", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		return err == nil && !slices.ContainsFunc(threads, func(path string) bool {
			status, err := os.ReadFile(path)
			return err == nil && !strings.Contains(string(status), "State:\tT")
		})
	})
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

var oneDatapoint = sdk.Batch{{Metric: "a", Timestamp: 1, Value: 1}}

func TestKilledSinkIsStartedAgain(t *testing.T) {
	f, metrics := newFleet(t)
	sink := f.Sink(Spec{Name: "carbon", Program: executable(t)})
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, f)
	for life := range 2 { // the delay after a third death is longer than a call waits
		process := sink.current()
		kill(t, process.Pid())
		<-process.Done()
		began := time.Now()
		err := sink.Write(t.Context(), oneDatapoint)
		if life > 0 && errors.Is(err, sdk.ErrUnavailable) { // on a busy machine delay and start may take longer than a call waits
			<-opened(sink)
			if took := sink.current().since.Sub(began); took < patience {
				t.Fatalf("a call did not wait for the process that was there after %v: %v", took, err)
			}
			err = sink.Write(t.Context(), oneDatapoint)
		}
		if err != nil {
			t.Fatalf("the write after death %d: %v", life+1, err)
		}
		if n := restarts(t, metrics, "carbon"); n != float64(life+1) {
			t.Errorf("%v restarts counted after death %d", n, life+1)
		}
	}
}

// opened is closed once the sink has a process.
func opened(s *Sink) <-chan struct{} {
	l := s.line.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.opened
}

func TestCallsOfADeadPluginDoNotWaitForLong(t *testing.T) {
	f, _ := newFleet(t)
	sink := f.Sink(Spec{Name: "carbon", Program: executable(t), Config: map[string]any{"act": "die at start"}})
	start := time.Now()
	err := sink.Write(t.Context(), oneDatapoint)
	if took := time.Since(start); !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), `"carbon"`) || took > 2*patience {
		t.Errorf("after %v: error %v", took, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start = time.Now()
	if err := sink.Write(ctx, oneDatapoint); !errors.Is(err, sdk.ErrUnavailable) || time.Since(start) > patience/2 {
		t.Errorf("with a context that has ended, after %v: error %v", time.Since(start), err)
	}
}

// startInput runs a fleet with one input, and returns the file of its calls.
func startInput(t *testing.T, act string) (in *Input, calls string, metrics *prometheus.Registry) {
	t.Helper()
	f, metrics := newFleet(t)
	calls = filepath.Join(t.TempDir(), "calls")
	in = f.Input(Spec{Name: "flux", Program: inputProgram(t), Config: map[string]any{"act": act, "path": calls}})
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, f)
	return in, calls, metrics
}

func count(t *testing.T, calls string) int {
	t.Helper()
	text, err := os.ReadFile(calls)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Count(string(text), "\n")
}

func TestRequestsSurviveTheDeathOfTheirInput(t *testing.T) {
	in, calls, metrics := startInput(t, "hang at first")
	type result struct {
		s   sdk.Submission
		err error
	}
	got := make(chan result, 1)
	go func() {
		s, err := in.Decode(t.Context(), sdk.Request{})
		got <- result{s, err}
	}()
	await(t, "the call is under way", func() bool { return count(t, calls) == 1 })
	kill(t, in.current().Pid())
	if r := <-got; r.err != nil || r.s.Key != "2" {
		t.Errorf("call %q, %v; want the second to succeed", r.s.Key, r.err)
	}
	if n := restarts(t, metrics, "flux"); n != 1 {
		t.Errorf("%v restarts counted", n)
	}
}

func TestDeadlyRequestIsTriedTwice(t *testing.T) {
	in, calls, metrics := startInput(t, "deadly")
	_, err := in.Decode(t.Context(), sdk.Request{})
	if err == nil || errors.Is(err, sdk.ErrUnavailable) || errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), `"flux"`) {
		t.Errorf("error %v, want a fault that names the plugin", err)
	}
	if n := metric(t, metrics, "fluxgate_poison_requests_total", "flux"); n != 1 {
		t.Errorf("%v poison requests counted", n)
	}
	if n := count(t, calls); n != 2 {
		t.Errorf("tried %d times, want 2", n)
	}
	await(t, "the input is started again after both deaths", func() bool { return restarts(t, metrics, "flux") == 2 })
}

func TestAnInputThatLivesIsNotAskedTwice(t *testing.T) {
	in, calls, _ := startInput(t, "unavailable")
	if _, err := in.Decode(t.Context(), sdk.Request{}); !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "call 1") {
		t.Errorf("error %v", err)
	}
	if n := count(t, calls); n != 1 {
		t.Errorf("tried %d times, want 1", n)
	}
}

func TestOpenNamesWhatOnlyAPersonCanMend(t *testing.T) {
	folder := t.TempDir()
	f, _ := newFleet(t, folder)
	f.Sink(Spec{Name: "good", Program: executable(t)})
	f.Sink(Spec{Name: "lost", Program: "fluxgate-sink-lost"})
	f.Sink(Spec{Name: "mixed-up", Program: inputProgram(t)})
	f.Sink(Spec{Name: "picky", Program: executable(t), Config: map[string]any{"act": "refuse"}})
	f.Sink(Spec{Name: "unknown", Program: executable(t), Config: map[string]any{"akt": "x"}})
	f.Sink(Spec{Name: "forged", Program: executable(t), Checksum: strings.Repeat("ab", 32)})
	f.Sink(Spec{Name: "brief", Program: executable(t), Config: map[string]any{"act": "die at start"}})
	f.Sink(Spec{Name: "idle", Program: "fluxgate-sink-idle", Optional: true})
	err := f.Open(t.Context())
	if !errors.Is(err, sdk.ErrInvalid) {
		t.Fatalf("error %v", err)
	}
	for _, words := range []string{
		`"lost"`, `no program "fluxgate-sink-lost" in ` + folder + ": put it there, or give its path as `plugin`",
		`"mixed-up"`, "plugin of kind input", `"picky"`, "not to my taste",
		`"unknown"`, `did you mean "act"?`, `"forged"`, strings.Repeat("ab", 32),
	} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("error %q does not say %q", err, words)
		}
	}
	for _, words := range []string{`"good"`, `"brief"`, `"idle"`} {
		if strings.Contains(err.Error(), words) {
			t.Errorf("error %q names %s", err, words)
		}
	}
	run(t, f)()
}

func TestOptionalPluginsDoNotStopTheStart(t *testing.T) {
	f, _ := newFleet(t, t.TempDir())
	well := f.Sink(Spec{Name: "well", Program: executable(t)})
	lost := f.Sink(Spec{Name: "lost", Program: "fluxgate-sink-lost", Optional: true})
	late := f.Sink(Spec{Name: "late", Program: executable(t), Optional: true})
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, f)
	await(t, "the optional plugin that can be started is", late.isOpen)
	for sink, ok := range map[*Sink]bool{well: true, lost: false, late: true} {
		if err := sink.Write(t.Context(), oneDatapoint); (err == nil) != ok {
			t.Errorf("sink %q: %v", sink.name, err)
		}
	}
	if missing := f.Missing(); len(missing) > 0 {
		t.Errorf("missing: %q, though what is required runs", missing)
	}
}

func TestAPluginThatDiesAtStartIsMissing(t *testing.T) {
	f, metrics := newFleet(t)
	f.Sink(Spec{Name: "brief", Program: executable(t), Config: map[string]any{"act": "die at start"}})
	f.Sink(Spec{Name: "well", Program: executable(t)})
	if err := f.Open(t.Context()); err != nil {
		t.Fatalf("what may pass stops the start: %v", err)
	}
	if missing := f.Missing(); len(missing) != 1 || missing[0] != "brief" {
		t.Errorf("missing: %q", missing)
	}
	if n := restarts(t, metrics, "brief"); n != 0 {
		t.Errorf("%v restarts counted of a plugin that was never open", n)
	}
}

func TestAPluginThatKeepsDyingIsFailing(t *testing.T) {
	log := keepLog(t)
	f, _ := newFleet(t)
	f.Input(Spec{Name: "flux", Program: inputProgram(t), Config: map[string]any{"act": "die at start"}})
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := run(t, f)
	await(t, "it is said to be failing", func() bool { return strings.Contains(log.String(), "plugin is failing") })
	stop()
	// The first start was Open's, which leaves the counting to Run.
	if n := strings.Count(log.String(), "plugin is not running"); n != crashLimit-1 {
		t.Errorf("said to be started again %d times before, want %d:\n%s", n, crashLimit-1, log.String())
	}
}

// keepLog makes slog write to the returned buffer during the test.
func keepLog(t *testing.T) *buffer {
	before, log := slog.Default(), &buffer{}
	slog.SetDefault(slog.New(slog.NewTextHandler(log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return log
}

type buffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestRunStopsEveryPlugin(t *testing.T) {
	log := keepLog(t)
	f, _ := newFleet(t)
	sink := f.Sink(Spec{Name: "carbon", Program: executable(t)})
	in := f.Input(Spec{Name: "flux", Program: inputProgram(t)})
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	pids := []int{sink.current().Pid(), in.current().Pid()}
	run(t, f)()
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
	if err := sink.Write(t.Context(), oneDatapoint); !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("a call after the end: %v", err)
	}
	if strings.Contains(log.String(), "WARN") || strings.Contains(log.String(), "ERROR") {
		t.Errorf("an ordinary end is logged as\n%s", log.String())
	}
}

func TestRunEndsWhileAPluginHangsAtItsStart(t *testing.T) {
	log := keepLog(t)
	f, _ := newFleet(t)
	f.Sink(Spec{Name: "carbon", Program: executable(t), Config: map[string]any{"act": "hang at start"}, Optional: true})
	stop := run(t, f)
	await(t, "its process runs", func() bool {
		sockets, _ := os.ReadDir(f.sockets.path)
		return len(sockets) > 0
	})
	start := time.Now()
	stop()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
	if strings.Contains(log.String(), "started again") {
		t.Errorf("at the end it says\n%s", log.String())
	}
}

func TestRunEndsWithStoppedPlugins(t *testing.T) {
	f, _ := newFleet(t)
	var sinks []*Sink
	for _, name := range []string{"a", "b", "c"} {
		sinks = append(sinks, f.Sink(Spec{Name: name, Program: executable(t)}))
	}
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, sink := range sinks {
		pids = append(pids, sink.current().Pid())
		halt(t, sink.current().Pid())
	}
	start := time.Now()
	run(t, f)()
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("the end took %v", took)
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
}

func TestTry(t *testing.T) {
	tests := []struct {
		name    string
		spec    Spec
		offline string // what it says without connecting; empty: all is well
		online  string
	}{
		{"well", Spec{Program: executable(t)}, "", ""},
		{"unwell", Spec{Program: executable(t), Config: map[string]any{"act": "unwell"}}, "", "nobody listens on port 2004"},
		{"missing", Spec{Program: "fluxgate-sink-lost"}, "no program", "no program"},
		{"missing and optional", Spec{Program: "fluxgate-sink-lost", Optional: true}, "no program", "no program"},
		{"dying", Spec{Program: executable(t), Config: map[string]any{"act": "die at start"}}, "died while it was being opened (exit code 3)", "exit code 3"},
	}
	for _, tt := range tests {
		for connect, want := range map[bool]string{false: tt.offline, true: tt.online} {
			t.Run(fmt.Sprintf("%s, connect %v", tt.name, connect), func(t *testing.T) {
				f, _ := newFleet(t, t.TempDir())
				tt.spec.Name = tt.name
				f.Sink(tt.spec)
				f.Sink(Spec{Name: "another", Program: executable(t)})
				checkTry(t, f.Try(t.Context(), connect), tt.name, want)
				if _, err := os.Stat(f.sockets.path); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the folder for sockets is left: %v", err)
				}
				for _, c := range f.crews {
					if c.isOpen() {
						_, name := c.title()
						t.Errorf("%s is left", name)
					}
				}
			})
		}
	}
}

// checkTry compares an error of Try with what it should say about one plugin.
func checkTry(t *testing.T, err error, name, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("error %v", err)
		}
		return
	}
	if err == nil {
		t.Fatalf("no error, want one that says %q", want)
	}
	if text := err.Error(); !strings.Contains(text, want) || !strings.Contains(text, `"`+name+`"`) || strings.Contains(text, "another") {
		t.Errorf("error %q, want one that says %q of %q alone", text, want, name)
	}
}

func TestFleetsSideBySide(t *testing.T) {
	quarters(t)
	sinks, fleets := make([]*Sink, 2), make([]*Fleet, 2)
	stops := make([]func(), 2)
	for i := range fleets {
		f, err := New(Setup{}, prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		fleets[i], sinks[i] = f, f.Sink(Spec{Name: "carbon", Program: executable(t)})
		if err := f.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		stops[i] = run(t, f)
	}
	for i := range fleets {
		if err := sinks[i].Write(t.Context(), oneDatapoint); err != nil {
			t.Errorf("fleet %d: %v", i, err)
		}
	}
	stops[0]()
	if _, err := os.Stat(fleets[0].sockets.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder for sockets is left: %v", err)
	}
	process := sinks[1].current()
	kill(t, process.Pid()) // it needs its folder to start again
	<-process.Done()
	if err := sinks[1].Write(t.Context(), oneDatapoint); err != nil {
		t.Errorf("the other fleet: %v", err)
	}
}
