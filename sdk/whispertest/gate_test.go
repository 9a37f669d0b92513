package whispertest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"fluxgate/sdk"
)

// victimEnv makes this test binary one that has a gate, says so, and is killed.
const victimEnv = "TEST_VICTIM"

func TestMain(m *testing.M) {
	if os.Getenv(victimEnv) != "" {
		victim()
	}
	os.Exit(m.Run())
}

const cpu = "vista.nodes.one.cpu"

// minute returns the start of a minute, some of them ago.
func minute(ago int) time.Time {
	return time.Now().Truncate(time.Minute).Add(-time.Duration(ago) * time.Minute)
}

func point(at time.Time, value float64) sdk.Point {
	return sdk.Point{Timestamp: at.Unix(), Value: value}
}

func TestWhatIsSentIsInTheFiles(t *testing.T) {
	t.Parallel()
	gate := Start(t)
	gate.Want(cpu)
	first, second := minute(2), minute(1)
	gate.Send(cpu, 1.5, first.Add(7*time.Second))
	if got := gate.Series(cpu); got.Metric != cpu || !slices.Equal(got.Points, []sdk.Point{point(first, 1.5)}) {
		t.Errorf("when Send has returned the file has %v, want %v", got, point(first, 1.5))
	}
	gate.SendBatch(sdk.Batch{
		{Metric: cpu, Timestamp: second.Unix(), Value: -0.1},
		{Metric: "vista.load", Timestamp: second.Unix(), Value: 1e-300},
	})
	gate.Want(cpu, point(first, 1.5), point(second, -0.1))
	gate.Want("vista.load", point(second, 1e-300))
	if got, want := gate.Metrics(), []string{"vista.load", cpu}; !slices.Equal(got, want) {
		t.Errorf("metrics %q, want %q", got, want)
	}
	if got := gate.Series("vista.nodes.two.cpu"); got.Points != nil {
		t.Errorf("a metric that nobody has sent has %v", got.Points)
	}
}

func TestArchives(t *testing.T) {
	t.Parallel()
	c := Defaults()
	c.Retentions, c.Aggregation, c.XFilesFactor = "1m:1h,5m:1d,1h:7d", "sum", 1
	gate := c.Start(t)
	hour := time.Now().Truncate(time.Hour).Add(-25 * time.Hour)
	whole := minute(0).Truncate(5 * time.Minute).Add(-10 * time.Minute)
	var b sdk.Batch
	for i := range 5 {
		b = append(b, sdk.Datapoint{Metric: cpu, Timestamp: whole.Add(time.Duration(i) * time.Minute).Unix(), Value: 2})
	}
	gate.Backfill(append(b, sdk.Datapoint{Metric: cpu, Timestamp: hour.Unix(), Value: 7}))
	gate.WantArchive(cpu, 5*time.Minute, point(whole, 10))
	gate.WantArchive(cpu, time.Hour, point(hour, 7))
	if got := gate.Archive(cpu, time.Hour).Points; !slices.Equal(got, []sdk.Point{point(hour, 7)}) {
		t.Errorf("the archive of hours has %v", got)
	}
	if got := gate.Series(cpu).Points; len(got) != 5 {
		t.Errorf("the finest archive has %v, want 5 points", got)
	}
}

// The code under test does not ask for the acknowledgement that Send asks for,
// and the sink may be behind.
func TestWantWaitsForTheSink(t *testing.T) {
	t.Parallel()
	gate := Start(t)
	sink := child(t, gate, "fluxgate-sink-whisper")
	if err := syscall.Kill(sink, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	at := minute(1)
	query := url.Values{"metric": {cpu}, "value": {"3"}, "timestamp": {fmt.Sprint(at.Unix())}, "key": {gate.Key}}
	response, err := http.Get(gate.URL + "/flux/metric_data?" + query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		t.Fatal(response.Status)
	}
	if got := gate.Series(cpu).Points; got != nil {
		t.Fatalf("a stopped sink has written %v", got)
	}
	const later = 300 * time.Millisecond
	began := time.Now()
	time.AfterFunc(later, func() { _ = syscall.Kill(sink, syscall.SIGCONT) })
	gate.Want(cpu, point(at, 3))
	if took := time.Since(began); took < later {
		t.Errorf("it had it after %v, before the sink could go on", took)
	}
}

// child returns the process id of a gate's plugin.
func child(t *testing.T, g *Gate, program string) (pid int) {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", g.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		pids, _ := os.ReadFile(list) // the thread may have ended
		for field := range strings.FieldsSeq(string(pids)) {
			if exe, _ := os.Readlink("/proc/" + field + "/exe"); strings.HasPrefix(filepath.Base(exe), program) {
				_, _ = fmt.Sscan(field, &pid)
			}
		}
	}
	if pid == 0 {
		t.Fatalf("fluxgate runs no %s", program)
	}
	return pid
}

func TestGatesAreIndependent(t *testing.T) {
	t.Parallel()
	at := minute(1)
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			gate := Start(t)
			gate.Send(cpu, float64(i), at)
			gate.Want(cpu, point(at, float64(i)))
		})
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kept := filepath.Join(dir, "second")
	c := Defaults()
	c.Settings = map[string]any{
		"validate": map[string]any{"max_age": "24h"},
		"inputs":   map[string]any{"other": map[string]any{"plugin": "fluxgate-input-flux", "routes": []any{"POST /other"}}},
		"sinks": map[string]any{
			"second": map[string]any{"plugin": "fluxgate-sink-whisper", "config": map[string]any{"path": kept}},
		},
	}
	gate := c.Start(t)
	at := minute(600)
	gate.Send(cpu, 1, at)
	if _, err := os.Stat(filepath.Join(kept, "vista/nodes/one/cpu.wsp")); err != nil {
		t.Errorf("the sink from the settings: %v", err)
	}
	response, err := http.Post(gate.URL+"/other", "", strings.NewReader(fmt.Sprintf(
		`{"key":%q,"metric":"other","timestamp":%d,"value":2}`, gate.Key, at.Unix())))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	gate.Want("other", point(at, 2))
}

// What the tester's shell has set for a Fluxgate is not for the gate.
func TestEnvironmentIsKeptOut(t *testing.T) {
	t.Setenv("FLUXGATE_REDIS__ADDRESS", "127.0.0.1:1")
	t.Setenv("FLUXGATE_NO_SUCH", "thing")
	gate := Start(t)
	gate.Send(cpu, 1, minute(1))
}

func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	var g *Gate
	tr := try(t, func(t testing.TB) {
		g = Start(t)
		g.Send(cpu, 1, minute(1))
	})
	if tr.Failed() || tr.logs != nil {
		t.Errorf("failed %v %q %v, logged %q", tr.Failed(), tr.fatal, tr.errors, tr.logs)
	}
	if _, err := os.Stat(g.folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("folder %s: %v", g.folder, err)
	}
	if err := syscall.Kill(g.cmd.Process.Pid, 0); err != syscall.ESRCH {
		t.Errorf("fluxgate: %v", err)
	}
	if code := g.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it ended with %d", code)
	}
}

func TestLogOfAFailedTestIsShown(t *testing.T) {
	t.Parallel()
	tr := try(t, func(t testing.TB) {
		Start(t)
		t.Errorf("something is wrong")
	})
	says(t, strings.Join(tr.logs, "\n"), "log of fluxgate:", `"plugin started"`, `"stopped"`)
}

func TestFluxgateThatDoesNotStart(t *testing.T) {
	t.Parallel()
	c := Defaults()
	c.Retentions = "sixty"
	tr := try(t, func(t testing.TB) { c.Start(t) })
	says(t, tr.fatal, "whispertest: start ", "it left: exit status 1")
	says(t, strings.Join(tr.logs, "\n"), `retention "sixty": want a step and a span`)
}

func TestFluxgateThatDies(t *testing.T) {
	t.Parallel()
	tr := try(t, func(t testing.TB) {
		g := Start(t)
		_ = g.cmd.Process.Kill()
		<-g.ended
	})
	says(t, strings.Join(tr.errors, "\n"), "fluxgate left before the test ended: signal: killed")
	tr = try(t, func(t testing.TB) {
		g := Start(t)
		_ = g.cmd.Process.Kill()
		g.Want(cpu, point(minute(1), 1))
	})
	says(t, tr.fatal, cpu+", finest archive: got no file", "fluxgate left meanwhile: signal: killed")
}

// victim has a gate until somebody kills this process.
func victim() {
	tr := &trial{}
	g := Start(tr)
	g.Send(cpu, 1, minute(1))
	fmt.Println(g.folder, g.cmd.Process.Pid)
	select {}
}

// A test binary that is killed, that panics because of -timeout, or whose code
// calls os.Exit, runs no cleanups.
func TestKilledTestBinaryLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"=yes")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	var folder string
	var pid int
	if _, scanErr := fmt.Sscan(line, &folder, &pid); scanErr != nil || err != nil {
		t.Fatalf("%q: %v", line, errors.Join(scanErr, err))
	}
	_ = cmd.Process.Kill()
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, err := os.Stat(folder)
		_, alive := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if errors.Is(err, fs.ErrNotExist) && alive != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("folder %s: %v; process %d is there: %v", folder, err, pid, alive == nil)
		}
	}
}

func BenchmarkStart(b *testing.B) {
	Start(b) // built by now
	for b.Loop() {
		g := Start(b)
		g.Send(cpu, 1, minute(1))
	}
}
