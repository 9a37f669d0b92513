package fleet

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

const (
	// rogueDeadline is how long a call of a rogue may take.
	rogueDeadline = time.Second

	// rogueGrace is how much later than its deadline a call may end: a process
	// that may have died is looked after.
	rogueGrace = 2 * time.Second

	// usualTime is far more than a call of a healthy sink takes on a machine with
	// other things to do.
	usualTime = time.Second

	// goesOn is how many calls of a healthy sink show that it does, also where the
	// race detector watches three floods on a small machine.
	goesOn = 30

	// rogueMemory is how much memory the host may need for its rogues, in bytes.
	rogueMemory = 192 << 20

	// rogueStop is how long the end of a fleet may take.
	rogueStop = 6 * time.Second
)

// What becomes of a call of a rogue.
const (
	succeeds = "success"
	late     = "its deadline"
	away     = "ErrUnavailable"
	dies     = "a death"
	fails    = "an error"
)

// A plugin that hangs, dies, leaks or lies delays its own destination and nothing
// else.
func TestRoguesHarmNobodyElse(t *testing.T) {
	program := servers.Build(t, "testdata/rogue")
	tests := []struct {
		act  string
		ends string // what becomes of a call of a sink or input
		logs string // what it leaves in the log
	}{
		{"silent", late, ""},
		{"wrong-streams", late, ""},
		{"twice", succeeds, ""},
		{"two-messages", fails, ""},
		{"nonsense", fails, ""},
		{"huge", fails, ""},
		{"bomb", fails, ""},
		{"endless", fails, ""},
		{"drips", late, ""},
		{"endless-headers", fails, ""},
		{"ignores-the-window", fails, ""},
		{"pings", late, ""},
		{"exits", dies, "it is started again"},
		{"garbage-at-once", away, "is started again"},
		{"garbage", away, ""},
		{"hangs-up", away, ""},
		{"hangs-up-for-good", away, ""},
		{"goes-away", fails, ""},
		{"floods", succeeds, "the end is near"},
		{"floods-one-line", succeeds, ""},
		{"stays", succeeds, "plugin did not close"},
		{"data-outside", succeeds, "data socket cannot be used"},
		{"data-nobody", succeeds, "data socket cannot be used"},
		{"data-sibling", succeeds, "data socket cannot be used"},
		{"data-silent", late, ""},
		{"data-deaf", late, ""},
		{"data-garbage", succeeds, ""},
		{"data-unknown-call", succeeds, ""},
		{"data-huge", succeeds, ""},
		{"data-endless", succeeds, ""},
		{"data-drips", late, ""},
	}
	for _, tt := range tests {
		t.Run(tt.act, func(t *testing.T) {
			log := keepLog(t)
			quarters(t)
			rogues(t, program, tt.act, tt.ends)
			if !strings.Contains(log.String(), tt.logs) {
				t.Errorf("the log does not say %q", tt.logs)
			}
			if t.Failed() {
				t.Logf("%.4096s", log.String())
			}
		})
	}
}

// rogues has a rogue of each kind act in a fleet with a healthy sink.
func rogues(t *testing.T, built, act, ends string) {
	program := filepath.Join(t.TempDir(), "rogue-"+act)
	if err := os.Symlink(built, program); err != nil {
		t.Fatal(err)
	}
	spent := footprint(t)
	f, err := New(Setup{MessageLimit: 1 << 20}, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	healthy := f.Sink(Spec{Name: "healthy", Program: executable(t)})
	sink := f.Sink(Spec{Name: "rogue-sink", Program: program})
	in := f.Input(Spec{Name: "rogue-input", Program: program})
	resampler := f.Resampler(Spec{Name: "rogue-resampler", Program: program})
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := run(t, f)
	used := memory()
	others := startLoad(t, 1, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), usualTime)
		defer cancel()
		return healthy.Write(ctx, oneDatapoint)
	})
	callRogues(t, ends, sink, in, resampler)
	before := others.calls.Load()
	await(t, "the healthy sink goes on", func() bool { return t.Failed() || others.calls.Load() >= before+goesOn })
	others.stop()
	if more := memory() - used; more > rogueMemory {
		t.Errorf("the host needs %d MiB more", more>>20)
	}
	start := time.Now()
	stop()
	if took := time.Since(start); took > rogueStop {
		t.Errorf("the fleet's end took %v, want at most %v", took, rogueStop)
	}
	await(t, "no process is left", func() bool { return len(processes(t, program)) == 0 })
	await(t, "the host holds no more than before", func() bool { return spent() == "" })
}

// callRogues calls a rogue of each kind at once.
func callRogues(t *testing.T, ends string, sink *Sink, in *Input, resampler *Resampler) {
	t.Helper()
	var calls sync.WaitGroup
	calls.Go(func() {
		callRogue(t, "sink", ends, func(ctx context.Context) error { return sink.Write(ctx, oneDatapoint) })
	})
	calls.Go(func() {
		callRogue(t, "input", ends, func(ctx context.Context) error { _, err := in.Decode(ctx, sdk.Request{}); return err })
	})
	calls.Go(func() {
		callRogue(t, "resampler", ends, func(ctx context.Context) error {
			_, err := resampler.Resample(ctx, sdk.Series{Metric: "a", Points: []sdk.Point{{Timestamp: 1}}}, time.Minute)
			return err
		})
	})
	calls.Wait()
}

// callRogue makes two calls, one after the other.
func callRogue(t *testing.T, kind, ends string, call func(context.Context) error) {
	t.Helper()
	for n := range 2 {
		ctx, cancel := context.WithTimeout(context.Background(), rogueDeadline)
		start := time.Now()
		err := call(ctx)
		cancel()
		if took := time.Since(start); took > rogueDeadline+rogueGrace {
			t.Errorf("call %d of the %s took %v", n+1, kind, took)
		}
		if !endsSo(ends, kind, err) {
			t.Errorf("call %d of the %s ended with %v, want %s", n+1, kind, err, ends)
		}
	}
}

// endsSo tells whether a call has ended as it should. An empty answer is one that
// a resampler must not give. A call whose plugin is busy with harm may end at its
// deadline instead.
func endsSo(ends, kind string, err error) bool {
	switch {
	case kind == "resampler":
		return err != nil
	case ends == succeeds:
		return err == nil
	case errors.Is(err, context.DeadlineExceeded), ends == fails:
		return err != nil
	case ends == dies:
		return died(err) || err != nil && kind == "input" // whose requests are tried twice
	}
	return ends == away && errors.Is(err, sdk.ErrUnavailable)
}

// memory returns how much memory the system has given to the host, in bytes.
func memory() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys)
}

// processes returns the ids of the processes of a program.
func processes(t *testing.T, program string) (pids []string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lines {
		if line, _ := os.ReadFile(path); bytes.HasPrefix(line, []byte(program+"\x00")) { // it may have ended
			pids = append(pids, strings.Split(path, "/")[2])
		}
	}
	return pids
}
