package whispertest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/whispertest"
)

// A failing test is one whose failures are looked at, not reported.
type failing struct {
	testing.TB
	mu       sync.Mutex
	failed   bool
	said     strings.Builder
	cleanups []func()
}

// run runs test as the test binary would, and returns what the test has said.
func run(t testing.TB, test func(t testing.TB)) *failing {
	t.Helper()
	f := &failing{TB: t}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		test(f)
	}()
	<-ended
	for _, end := range slices.Backward(f.cleanups) {
		end()
	}
	return f
}

func (f *failing) Helper()          {}
func (f *failing) Cleanup(c func()) { f.cleanups = append(f.cleanups, c) }

func (f *failing) Failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

func (f *failing) say(failed bool, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = f.failed || failed
	f.said.WriteString(text + "\n")
}

func (f *failing) Logf(format string, args ...any)   { f.say(false, fmt.Sprintf(format, args...)) }
func (f *failing) Errorf(format string, args ...any) { f.say(true, fmt.Sprintf(format, args...)) }

func (f *failing) Fatal(args ...any) {
	f.say(true, fmt.Sprint(args...))
	runtime.Goexit()
}

func (f *failing) Fatalf(format string, args ...any) {
	f.say(true, fmt.Sprintf(format, args...))
	runtime.Goexit()
}

// says fails the test unless f has failed and has said all of want, in order.
func (f *failing) says(t *testing.T, want ...string) {
	t.Helper()
	rest := f.said.String()
	for _, w := range want {
		_, after, ok := strings.Cut(rest, w)
		if !ok || !f.Failed() {
			t.Fatalf("failed %v, got\n%s\nwant, in this order\n%s", f.Failed(), f.said.String(), strings.Join(want, "\n"))
		}
		rest = after
	}
}

const metric = "vista.nodes.one.cpu"

// minutes returns the starts of the count newest minutes, the oldest first.
func minutes(count int) []int64 {
	now := time.Now().Unix()
	all := make([]int64, count)
	for i := range all {
		all[i] = now - now%60 - 60*int64(count-1-i)
	}
	return all
}

func point(timestamp int64, value float64) sdk.Point {
	return sdk.Point{Timestamp: timestamp, Value: value}
}

func TestReport(t *testing.T) {
	t.Parallel()
	testReport(t)
}

func TestSentIsInTheFile(t *testing.T) {
	t.Parallel()
	gate := whispertest.Start(t)
	if got := gate.Series(metric); got.Metric != metric || len(got.Points) > 0 || len(gate.Metrics()) > 0 {
		t.Fatalf("before anything came: got %v and metrics %v", got, gate.Metrics())
	}
	m := minutes(2)
	points := []sdk.Point{point(m[0], 1.5), point(m[1], -1e-7)}
	gate.Send(metric, points...)
	if got := gate.Series(metric); !slices.Equal(got.Points, points) { // at once: Send has waited
		t.Errorf("got %v\nwant %v", got.Points, points)
	}
	gate.Send("vista.load", point(m[1], 3))
	if got := gate.Metrics(); !slices.Equal(got, []string{"vista.load", metric}) {
		t.Errorf("metrics: got %v", got)
	}
	gate.Want(metric, points[1])
	gate.Want(metric, points...)
	gate.WantOnly(metric, points...)
	gate.WantOnly("vista.other")
}

func TestArchives(t *testing.T) {
	t.Parallel()
	c := whispertest.Default()
	c.Retentions, c.Aggregation, c.XFilesFactor, c.MaxAge = "1s:5m,10s:1h,60s:1d", "sum", 0, 10*time.Minute
	gate := c.Start(t)
	start := time.Now().Unix()/60*60 - 120
	gate.Send(metric, point(start, 1), point(start+1, 2), point(start+11, 4))
	gate.Want(metric, point(start+11, 4))
	gate.WantArchive(metric, time.Second, point(start, 1), point(start+1, 2))
	gate.WantArchive(metric, 10*time.Second, point(start, 3), point(start+10, 4))
	gate.WantArchive(metric, time.Minute, point(start+59, 7)) // in the interval of that second
	if got, want := gate.Archive(metric, time.Minute).Points, []sdk.Point{point(start, 7)}; !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	gate.Want(metric, point(start, 5), point(start, 1)) // the last of an interval
}

func TestMaxAge(t *testing.T) {
	t.Parallel()
	c := whispertest.Default()
	c.MaxAge = 24 * time.Hour
	gate := c.Start(t)
	old := time.Now().Add(-20*time.Hour).Unix() / 60 * 60
	gate.Send(metric, point(old, 1))
	gate.WantOnly(metric, point(old, 1))
}

// Settings that are meant for a Fluxgate of the developer's own change nothing.
func TestEnvironment(t *testing.T) {
	t.Setenv("FLUXGATE_LISTEN", "nowhere")
	t.Setenv("FLUXGATE_KNOWN_TO_NOBODY", "1")
	whispertest.Start(t)
}

func TestGatesAreApart(t *testing.T) {
	t.Parallel()
	m := minutes(1)
	var folder string
	var pid int
	t.Run("the tests", func(t *testing.T) {
		one, two := whispertest.Start(t), whispertest.Start(t)
		folder, pid = filepath.Dir(one.Folder), one.Pid()
		one.Send(metric, point(m[0], 1))
		two.WantOnly(metric)
		two.Send(metric, point(m[0], 2))
		one.WantOnly(metric, point(m[0], 1))
		if one.Key == two.Key || one.URL == two.URL {
			t.Errorf("both have key %s and address %s", one.Key, one.URL)
		}
	})
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("folder %s after the test: %v", folder, err)
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("process %d after the test: %v", pid, err)
	}
}

func TestWantFails(t *testing.T) {
	t.Parallel()
	gate := whispertest.Start(t)
	m := minutes(10)
	tens := m[9] - m[9]%600
	gate.Send(metric, point(m[0], 0.1), point(m[1], 2))
	for name, c := range map[string]struct {
		want func(*whispertest.Gate)
		says []string
	}{
		"another value": {
			func(g *whispertest.Gate) { g.Want(metric, point(m[0], 0.1), point(m[1], 2.5)) },
			[]string{"not as wanted", "\nmetric  " + metric + "\narchive 60s:1d\n",
				fmt.Sprintf("got     %d 0.1\n        %d 2\nwant    %d 0.1\n        %d 2.5  <- got 2\n", m[0], m[1], m[0], m[1])},
		},
		"a missing point": {
			func(g *whispertest.Gate) { g.Want(metric, point(m[2]+5, 7)) },
			[]string{fmt.Sprintf("\nwant    %d 7  <- missing\n", m[2])},
		},
		"one too many": {
			func(g *whispertest.Gate) { g.WantOnly(metric, point(m[0], 0.1)) },
			[]string{fmt.Sprintf("got     %d 0.1\n        %d 2  <- not wanted\nwant    only %d 0.1\n", m[0], m[1], m[0])},
		},
		"anything": {
			func(g *whispertest.Gate) { g.WantOnly(metric) },
			[]string{fmt.Sprintf("%d 2  <- not wanted\nwant    only nothing\n", m[1])},
		},
		"another metric": {
			func(g *whispertest.Gate) { g.Want("vista.nodes.one.gpu", point(m[0], 1)) },
			[]string{"metric  vista.nodes.one.gpu\n", "got     nothing; what has come is " + metric + "\nwant    "},
		},
		"an archive too coarse to be filled yet": {
			func(g *whispertest.Gate) { g.WantArchive(metric, time.Hour, point(tens, 1)) },
			[]string{"archive 1h:90d\n", "got     nothing, though the metric has a file\nwant    "},
		},
		"an archive that is not there": {
			func(g *whispertest.Gate) { g.WantArchive(metric, 5*time.Minute, point(tens, 1)) },
			[]string{"metric " + metric + ": there is no archive with a step of 5m0s: there are 60s:1d, 10m:7d, 1h:90d\n"},
		},
		"an archive that no file will have": {
			func(g *whispertest.Gate) { g.Archive("vista.other", 5*time.Minute) },
			[]string{"metric vista.other: there is no archive with a step of 5m0s: there are 60s:1d, 10m:7d, 1h:90d\n"},
		},
		"no points": {
			func(g *whispertest.Gate) { g.Want(metric) },
			[]string{"no points are wanted: name some, or call WantOnly\n"},
		},
		"a metric that has no file": {
			func(g *whispertest.Gate) { g.Series("...") },
			[]string{`metric "...": the name is empty`},
		},
		"refused": {
			func(g *whispertest.Gate) { g.Send(metric, point(m[9]-7200, 1)) },
			[]string{"send " + metric + ": got 400 Bad Request: {", "\nsent {", "\nwant 204 No Content\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(f testing.TB) { c.want(gate.For(f).Impatient()) }).says(t, c.says...)
		})
	}
}

func TestManyPointsAreCutShort(t *testing.T) {
	t.Parallel()
	gate := whispertest.Start(t)
	m := minutes(50)
	var points []sdk.Point
	for i, at := range m {
		points = append(points, point(at, float64(i)))
	}
	gate.Send(metric, points...)
	f := run(t, func(f testing.TB) { gate.For(f).Impatient().Want(metric, point(m[3], -1)) })
	f.says(t, fmt.Sprintf("got     30 older, then\n        %d 30\n", m[30]), fmt.Sprintf("want    %d -1  <- got 3\n", m[3]))
}

// A Want waits for what comes later, and no longer than its patience.
func TestWantWaits(t *testing.T) {
	t.Parallel()
	gate := whispertest.Start(t)
	now := time.Now().Unix()
	sent := make(chan error)
	go func() { sent <- report(gate.URL, gate.Key, now) }()
	gate.Want(metric, point(now, 1.5))
	if err := <-sent; err != nil {
		t.Error(err)
	}
	c := whispertest.Default()
	c.Patience = 200 * time.Millisecond
	gate = c.Start(t)
	begin := time.Now()
	run(t, func(f testing.TB) { gate.For(f).Want(metric, point(now, 1)) }).says(t, "not as wanted after 200ms\n", "and no other metric has come either")
	if took := time.Since(begin); took < c.Patience || took > c.Patience+10*time.Second {
		t.Errorf("with a patience of %v it has waited %v", c.Patience, took)
	}
}

func TestFailedTestShowsTheLog(t *testing.T) {
	t.Parallel()
	f := run(t, func(f testing.TB) {
		whispertest.Start(f)
		f.Errorf("it is wrong")
	})
	f.says(t, "it is wrong\n", "log of fluxgate:\n", "taking metrics", "stopped")
	f = run(t, func(f testing.TB) { whispertest.Start(f) })
	if f.said.Len() > 0 {
		t.Errorf("a test that passes says\n%s", f.said.String())
	}
}

func TestRefusedSettings(t *testing.T) {
	t.Parallel()
	c := whispertest.Default()
	c.Aggregation = "median"
	run(t, func(f testing.TB) { c.Start(f) }).says(t, "start ", "it has ended: exit status 1\n", `aggregation "median"`)
	c = whispertest.Default()
	c.Settings = map[string]any{"colour": "red"}
	run(t, func(f testing.TB) { c.Start(f) }).says(t, "it has ended: exit status 1\n", "colour")
}

func TestDeadFluxgate(t *testing.T) {
	t.Parallel()
	f := run(t, func(f testing.TB) {
		gate := whispertest.Start(f).Impatient()
		if err := syscall.Kill(gate.Pid(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for gate.Dead() == "" {
			runtime.Gosched()
		}
		gate.Want(metric, point(minutes(1)[0], 1))
	})
	f.says(t, "not as wanted", "\nfluxgate has ended: signal: killed\n", "before the end of the test: fluxgate has ended: signal: killed\n", "log of fluxgate:")
}
