package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pluginsYAML has one key and one sink, which is this test binary; more is
// added to the sinks.
func pluginsYAML(config, more string) string {
	return fmt.Sprintf("keys: [{key: %s}]\nsinks:\n  actor: {plugin: %q, config: {%s}}\n%s", aKey, os.Args[0], config, more)
}

// datapoint is a query that brings one datapoint of a metric.
func datapoint(metric string) string { return "metric=" + metric + "&value=1&key=" + aKey }

// pid returns the process id of a plugin, as fluxgate logged it last.
func (p *process) pid(t *testing.T, plugin string) (pid int) {
	t.Helper()
	for text := range strings.Lines(p.logged()) {
		var line struct {
			Msg, Plugin string
			Pid         int
		}
		if json.Unmarshal([]byte(text), &line) == nil && line.Msg == "plugin started" && line.Plugin == plugin {
			pid = line.Pid
		}
	}
	if pid == 0 {
		t.Fatalf("plugin %q was not started:\n%s", plugin, p.logged())
	}
	return pid
}

// signal sends a signal to a plugin.
func (p *process) signal(t *testing.T, plugin string, s syscall.Signal) {
	t.Helper()
	pid := p.pid(t, plugin)
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
	if s == syscall.SIGSTOP {
		t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
		await(t, "every thread of the plugin is stopped", func() bool { return stopped(pid) })
	}
}

// stopped reports whether no thread of a process runs any more.
func stopped(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid)) // the pattern is sound
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil {
			return false
		}
		if _, state, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return len(threads) > 0
}

// sockets returns the folder for sockets that a plugin was told.
func sockets(t *testing.T, pid int) string {
	t.Helper()
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		t.Fatal(err)
	}
	for variable := range bytes.SplitSeq(environment, []byte{0}) {
		if dir, ok := strings.CutPrefix(string(variable), "PLUGIN_UNIX_SOCKET_DIR="); ok {
			return dir
		}
	}
	t.Fatalf("process %d has no folder for sockets", pid)
	return ""
}

// handles returns a handle of each process, that no other can take the place of.
func handles(t *testing.T, pids []int) (fds []int) {
	t.Helper()
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatalf("process %d: %v", pid, err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		fds = append(fds, fd)
	}
	return fds
}

// ended reports whether the process of a handle has ended, waiting until end.
func ended(fd int, end time.Time) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(max(0, time.Until(end).Milliseconds())))
		if err != unix.EINTR {
			return n > 0
		}
	}
}

func TestPluginsLeaveWithTheServer(t *testing.T) {
	for name, end := range map[string]func(*process){
		"killed":  (*process).kill,
		"stopped": func(p *process) { _ = p.cmd.Process.Signal(syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			p := launch(t, pluginsYAML("", ""))
			pids := p.plugins(t)
			if len(pids) != 2 {
				t.Fatalf("%d plugins run, want 2", len(pids))
			}
			dir, processes := sockets(t, pids[0]), handles(t, pids)
			if status := p.get(t, datapoint("a")); status != http.StatusNoContent {
				t.Fatalf("status %d", status)
			}
			end(p)
			deadline := time.Now().Add(2 * time.Second)
			for i, fd := range processes {
				if !ended(fd, deadline) {
					t.Errorf("plugin %d is still there", pids[i])
				}
			}
			if name == "stopped" {
				<-p.ended
				if code := p.cmd.ProcessState.ExitCode(); code != 0 {
					t.Errorf("exit code %d", code)
				}
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the folder for sockets is still there: %v", err)
			}
		})
	}
}

// A traffic is senders that send until it is stopped, each a metric of its own
// with each request.
type traffic struct {
	statuses sync.Map // metric to status
	accepted atomic.Int64
	stopping chan struct{}
	senders  sync.WaitGroup
}

func startTraffic(p *process, senders int) *traffic {
	tr := &traffic{stopping: make(chan struct{})}
	for sender := range senders {
		tr.senders.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-tr.stopping:
					return
				default:
				}
				tr.send(p, fmt.Sprintf("sender%d.n%d", sender, n))
			}
		})
	}
	return tr
}

func (tr *traffic) send(p *process, metric string) {
	response, err := http.Get("http://" + p.listen + "/metric_data?" + datapoint(metric))
	if err != nil {
		tr.statuses.Store(metric, 0)
		return
	}
	_ = response.Body.Close()
	tr.statuses.Store(metric, response.StatusCode)
	if response.StatusCode == http.StatusNoContent {
		tr.accepted.Add(1)
	}
}

func (tr *traffic) stop() {
	close(tr.stopping)
	tr.senders.Wait()
}

// awaitMore returns when n more requests have been accepted.
func (tr *traffic) awaitMore(t *testing.T, n int64) {
	t.Helper()
	before := tr.accepted.Load()
	await(t, "requests are accepted", func() bool { return tr.accepted.Load() >= before+n })
}

func TestServerSurvivesTheDeathOfPlugins(t *testing.T) {
	stored := filepath.Join(t.TempDir(), "stored.txt")
	p := launch(t, pluginsYAML("path: "+stored, ""))
	tr := startTraffic(p, 4)
	tr.awaitMore(t, 20)
	for _, plugin := range []string{"flux", "actor", "flux"} {
		dead := p.pid(t, plugin)
		p.signal(t, plugin, syscall.SIGKILL)
		await(t, plugin+" is started again", func() bool { return p.pid(t, plugin) != dead })
		tr.awaitMore(t, 20)
	}
	tr.stop()
	await(t, "everything is delivered", func() bool { return p.labelled(t, "fluxgate_waiting_datapoints", "actor") == 0 })
	text, err := os.ReadFile(stored)
	if err != nil {
		t.Fatal(err)
	}
	lines := "\n" + string(text)
	tr.statuses.Range(func(metric, status any) bool {
		switch status {
		case http.StatusNoContent:
			if !strings.Contains(lines, fmt.Sprintf("\n%s 1 ", metric)) {
				t.Errorf("%s was accepted, and is lost", metric)
			}
		case http.StatusServiceUnavailable:
		default:
			t.Errorf("%s: status %d, want 204 or 503", metric, status)
		}
		return true
	})
	_, metrics := fetch(t, "http://"+p.admin+"/metrics")
	for _, line := range []string{`fluxgate_plugin_restarts_total{plugin="flux"} 2`, `fluxgate_plugin_restarts_total{plugin="actor"} 1`} {
		if !strings.Contains(metrics, line) {
			t.Errorf("/metrics has no line %q", line)
		}
	}
	if status, body := fetch(t, "http://"+p.admin+"/ready"); status != http.StatusOK {
		t.Errorf("/ready: %d %s", status, body)
	}
}

// answer is what a request got, and when.
type answer struct {
	status int
	retry  string // Retry-After
	took   time.Duration
	err    error
}

func askLater(p *process, query string) <-chan answer {
	c := make(chan answer, 1)
	go func() {
		start := time.Now()
		response, err := http.Get("http://" + p.listen + "/metric_data?" + query)
		if err != nil {
			c <- answer{err: err}
			return
		}
		_ = response.Body.Close()
		c <- answer{response.StatusCode, response.Header.Get("Retry-After"), time.Since(start), nil}
	}()
	return c
}

// stoppedTimeout is how long after a plugin was stopped the next process must
// have taken its place.
const stoppedTimeout = 8 * time.Second

// A plugin that is stopped is killed and started again. Only what needs it waits:
// a request for its input, and the datapoints for its sink, but no request for
// that.
func TestStoppedPluginsHoldUpNothingElse(t *testing.T) {
	for _, plugin := range []string{"actor", "flux"} {
		t.Run(plugin, func(t *testing.T) {
			t.Parallel()
			p := launch(t, pluginsYAML("", ""))
			stopped := p.pid(t, plugin)
			p.signal(t, plugin, syscall.SIGSTOP)
			asked := askLater(p, datapoint("a"))
			for _, path := range []string{"/health", "/metrics"} {
				if status, _ := fetch(t, "http://"+p.admin+path); status != http.StatusOK {
					t.Errorf("%s: %d", path, status)
				}
			}
			if a := <-asked; a.err != nil || a.status != http.StatusNoContent || a.took > stoppedTimeout {
				t.Errorf("a request: %+v", a)
			}
			if plugin == "actor" {
				if waiting := p.labelled(t, "fluxgate_waiting_datapoints", plugin); waiting != 1 {
					t.Errorf("%v datapoints wait for the stopped sink, want 1", waiting)
				}
			}
			await(t, "the next process is there", func() bool { return p.pid(t, plugin) != stopped })
			if status := p.get(t, datapoint("b")); status != http.StatusNoContent {
				t.Errorf("a request after it: %d", status)
			}
			await(t, "everything is delivered", func() bool { return p.labelled(t, "fluxgate_datapoints_taken_total", "actor") >= 2 })
			p.signal(t, plugin, syscall.SIGSTOP)
			p.stop(t)
			if code := p.cmd.ProcessState.ExitCode(); code != 0 {
				t.Errorf("exit code %d, with a stopped plugin", code)
			}
		})
	}
}

func TestServeRefusesWhatOnlyAPersonCanMend(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("I am no program"), 0o755); err != nil {
		t.Fatal(err)
	}
	missing := `  carbon: {plugin: fluxgate-sink-lost}`
	tests := []struct {
		name, config, more string
		says               []string
	}{
		{"settings", "pfad: /tmp/x", "", []string{`sink \"actor\"`, `unknown setting \"pfad\": did you mean \"path\"?`}},
		{"missing", "", missing, []string{`sink \"carbon\"`, "fluxgate-sink-lost", "put it there"}},
		{"no program", "", fmt.Sprintf("  carbon: {plugin: %q}", text), []string{`sink \"carbon\"`, "exec format error"}},
		{"input as sink", "", "  carbon: {plugin: fluxgate-input-flux}", []string{`sink \"carbon\"`, "plugin of kind input"}},
		{"checksum", "", fmt.Sprintf("  carbon: {plugin: %q, checksum: %s}", os.Args[0], strings.Repeat("ab", 32)), []string{`sink \"carbon\"`, "as pinned by the setting checksum"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := begin(t, pluginsYAML(tt.config, tt.more))
			select {
			case <-p.ended:
			case <-time.After(30 * time.Second):
				t.Fatalf("serve goes on:\n%s", p.logged())
			}
			if code := p.cmd.ProcessState.ExitCode(); code != exitFailed {
				t.Errorf("exit code %d", code)
			}
			said := p.logged()
			for _, words := range tt.says {
				if !strings.Contains(said, words) && !strings.Contains(said, strings.ReplaceAll(words, `\"`, `"`)) {
					t.Errorf("it does not say %q:\n%s", words, said)
				}
			}
		})
	}
}

func TestServeWithoutAnOptionalSink(t *testing.T) {
	p := launch(t, pluginsYAML("", "  carbon: {plugin: fluxgate-sink-lost, required: false}"))
	if status, body := fetch(t, "http://"+p.admin+"/ready"); status != http.StatusOK {
		t.Errorf("/ready: %d %s", status, body)
	}
	if status := p.get(t, datapoint("a")); status != http.StatusNoContent {
		t.Errorf("status %d", status)
	}
	await(t, "the missing program is named", func() bool { return strings.Contains(p.logged(), "fluxgate-sink-lost") })
}

func TestServeIsNotReadyWithoutARequiredSink(t *testing.T) {
	p := launch(t, pluginsYAML("", "  carbon: {plugin: /bin/false}"))
	if status, body := fetch(t, "http://"+p.admin+"/ready"); status != http.StatusServiceUnavailable || !strings.Contains(body, "carbon") || strings.Contains(body, "actor") {
		t.Errorf("/ready: %d %s", status, body)
	}
	if status, _ := fetch(t, "http://"+p.admin+"/health"); status != http.StatusOK {
		t.Errorf("/health: %d", status)
	}
	if status := p.get(t, datapoint("a")); status != http.StatusNoContent {
		t.Errorf("status %d, want 204: it waits in the journal", status)
	}
}
