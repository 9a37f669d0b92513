package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/plugintest"
)

// These tests run the program fluxgate and its plugins as they ship. The test
// binary, started again, is a sink that they can look into.

func TestMain(m *testing.M) {
	plugintest.Main(tidy{m}, func() {
		sdk.ServeSink(actorConfig{}, func(_ context.Context, c actorConfig) (sdk.Sink, error) { return &actor{c: c}, nil })
	})
}

// tidy removes what the tests have built.
type tidy struct{ *testing.M }

func (t tidy) Run() int {
	code := t.M.Run()
	if built != "" {
		_ = os.RemoveAll(built)
	}
	return code
}

type actorConfig struct {
	Path string `koanf:"path"` // file for the datapoints, a line each; empty: they are thrown away
	Act  string `koanf:"act"`  // what to do instead of taking datapoints
}

// An actor is a sink that keeps lines in a file, or does as it is told.
type actor struct {
	c  actorConfig
	mu sync.Mutex
}

func (a *actor) Write(ctx context.Context, b sdk.Batch) error {
	switch a.c.Act {
	case "hang":
		<-ctx.Done()
		return ctx.Err()
	case "refuse":
		return sdk.Invalidf("not to my taste")
	case "exit":
		os.Exit(3)
	case "wait": // until somebody makes the file; what is refused meanwhile is told beside it
		if _, err := os.Stat(a.c.Path); err != nil {
			return errors.Join(keep(a.c.Path+".refused", b[:1]), sdk.Unavailablef("the file is not there yet"))
		}
	}
	if a.c.Path == "" {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return keep(a.c.Path, b)
}

// keep appends datapoints to a file, a line each.
func keep(path string, b sdk.Batch) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	var lines []byte
	for _, d := range b {
		lines = fmt.Appendf(lines, "%s %v %d\n", d.Metric, d.Value, d.Timestamp)
	}
	_, err = f.Write(lines)
	return errors.Join(err, f.Close())
}

// built is the folder that programs has made.
var built string

// programs builds fluxgate and its plugins once, as `make build` does, and
// returns the folder.
var programs = sync.OnceValues(func() (string, error) {
	bin, err := os.MkdirTemp("", "fluxgate-test-")
	if err != nil {
		return "", err
	}
	built = bin
	out, err := exec.Command("make", "-s", "-C", "..", "build", "BIN="+bin, "GOBUILDFLAGS="+raceFlag).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return bin, nil
})

func fluxgateBinary(t testing.TB) string {
	t.Helper()
	bin, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(bin, "fluxgate")
}

// A process is a running fluxgate.
type process struct {
	cmd    *exec.Cmd
	listen string // address for metrics
	admin  string
	data   string
	file   string        // its configuration
	ended  chan struct{} // closed when it has, with err set
	err    error

	mu  sync.Mutex
	log bytes.Buffer
	out bytes.Buffer // standard output
	at  chan string  // the line that tells the addresses
}

// Write takes what the process logs.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log.Write(b)
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, `"taking metrics"`) {
			p.at <- line
		}
	}
	return len(b), nil
}

// A locked is the standard output of a process.
type locked struct{ p *process }

func (l *locked) Write(b []byte) (int, error) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	return l.p.out.Write(b)
}

func (p *process) stdout() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// launch starts `fluxgate serve` with the configuration in yaml, on free ports,
// and returns when it takes metrics. It is killed, with its plugins, when the
// test ends.
func launch(t testing.TB, yaml string, args ...string) *process {
	t.Helper()
	p := begin(t, yaml, args...)
	select {
	case line := <-p.at:
		var told struct{ Listen, Admin string }
		if err := json.Unmarshal([]byte(line), &told); err != nil {
			t.Fatal(err)
		}
		p.listen, p.admin = told.Listen, told.Admin
	case <-p.ended:
		t.Fatalf("fluxgate left: %v\n%s", p.err, p.logged())
	case <-time.After(30 * time.Second):
		t.Fatalf("fluxgate takes no metrics after 30s\n%s", p.logged())
	}
	return p
}

// begin starts `fluxgate serve` and does not wait.
func begin(t testing.TB, yaml string, args ...string) *process {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "fluxgate.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &process{data: filepath.Join(dir, "data"), file: file, ended: make(chan struct{}), at: make(chan string, 1)}
	for i, arg := range args[:max(0, len(args)-1)] {
		if arg == "--data" {
			p.data = args[i+1]
		}
	}
	args = append([]string{"serve", "--config", file, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", p.data}, args...)
	p.cmd = exec.Command(fluxgateBinary(t), args...)
	p.cmd.Stderr, p.cmd.Stdout = p, &locked{p}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		p.stop(t)
		if t.Failed() {
			t.Logf("log of fluxgate:\n%s", p.logged())
		}
		if strings.Contains(p.logged(), "DATA RACE") {
			t.Errorf("fluxgate raced:\n%s", p.logged())
		}
	})
	return p
}

// stop asks fluxgate to leave, and kills it if it does not.
func (p *process) stop(t testing.TB) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		t.Error("fluxgate does not leave on SIGTERM")
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// kill ends fluxgate as a crash would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// plugins returns the process ids of the plugins.
func (p *process) plugins(t testing.TB) (pids []int) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.cmd.Process.Pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("the kernel does not tell the children of process %d: %v", p.cmd.Process.Pid, err)
	}
	for _, task := range tasks {
		children, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range strings.Fields(string(children)) {
			var pid int
			if _, err := fmt.Sscan(field, &pid); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	slices.Sort(pids)
	return pids
}

// get sends a GET and returns the status.
func (p *process) get(t testing.TB, query string) int {
	t.Helper()
	response, err := http.Get("http://" + p.listen + "/metric_data?" + query)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

// figure returns the value of a metric.
func (p *process) figure(t testing.TB, name string) (value float64) {
	t.Helper()
	_, metrics := fetch(t, "http://"+p.admin+"/metrics")
	for line := range strings.Lines(metrics) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if _, err := fmt.Sscan(rest, &value); err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// labelled returns the value of a metric of a sink.
func (p *process) labelled(t testing.TB, name, sink string) float64 {
	t.Helper()
	return p.figure(t, fmt.Sprintf("%s{sink=%q}", name, sink))
}

// flags returns args with those that name p's configuration and folders.
func (p *process) flags(args ...string) []string {
	return append(args, "--config", p.file, "--data", p.data, "--admin", p.admin)
}

// await returns when ok does; it fails the test after ten seconds.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not so after ten seconds: %s", what)
		}
	}
}
