package sdk_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fluxgate/sdk"
	"fluxgate/sdk/internal/peer"
)

func TestStartRefuses(t *testing.T) {
	write := func(mode os.FileMode, text string) string {
		path := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	self := executable(t)
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	sum, wrongSum := fmt.Sprintf("%x", sha256.Sum256(program)), strings.Repeat("ab", sha256.Size)
	tests := []struct {
		name string
		spec sdk.Spec
		says []string
	}{
		{"no such program", sdk.Spec{Path: "/nowhere/plugin"}, []string{"/nowhere/plugin", "no such file"}},
		{"no such program in PATH", sdk.Spec{Path: "no-such-plugin"}, []string{"no-such-plugin"}},
		{"a text file", sdk.Spec{Path: write(0o755, "I am a text\n")}, []string{"exec format error"}},
		{"an empty file", sdk.Spec{Path: write(0o755, "")}, []string{"exec format error"}},
		{"a script of an interpreter that is missing", sdk.Spec{Path: write(0o755, "#!/nowhere/sh\n")}, []string{"no such file"}},
		{"a folder", sdk.Spec{Path: t.TempDir()}, []string{"permission denied"}},
		{"a file in a file", sdk.Spec{Path: write(0o644, "") + "/plugin"}, []string{"not a directory"}},
		{"not executable", sdk.Spec{Path: write(0o644, "#!/bin/sh\n")}, []string{"permission denied"}},
		{"another protocol", sdk.Spec{Path: trapNamed(t, "1|3|unix|_nowhere|grpc")}, []string{"another protocol than 1 to 2", "Plugin version: 3", "build it anew with this Fluxgate's sdk"}},
		{"another core protocol", sdk.Spec{Path: trapNamed(t, "2|1|unix|_nowhere|grpc")}, []string{"another protocol", "Plugin version: 2"}},
		{"net/rpc", sdk.Spec{Path: trapNamed(t, "1|1|unix|_nowhere|netrpc")}, []string{"netrpc"}},
		{"an input as sink", sdk.Spec{Path: trapNamed(t, "input")}, []string{"plugin of kind input", "configured as sink"}},
		{"settings", sdk.Spec{Path: self, Config: map[string]any{"act": "refuse", "text": "beige"}}, []string{`"beige" is not to my taste`}},
		{"an unknown setting", sdk.Spec{Path: self, Config: map[string]any{"tect": "x"}}, []string{`unknown setting "tect"`, `"text"`}},
		{"what Validate refuses", sdk.Spec{Path: self, Config: map[string]any{"wait": "-1s"}}, []string{"wait -1s: must not be negative"}},
		{"settings that are no JSON", sdk.Spec{Path: self, Config: map[string]any{"text": func() {}}}, []string{"settings of sink"}},
		{"wrong checksum", sdk.Spec{Path: self, Checksum: wrongSum}, []string{"sha256 is " + sum + ", not " + wrongSum, "as pinned by the setting checksum"}},
		{"wrong checksum from somewhere", sdk.Spec{Path: self, Checksum: wrongSum, Pin: "a note: burn it"}, []string{sum, wrongSum, "pinned by a note: burn it"}},
		{"no checksum", sdk.Spec{Path: self, Checksum: "abc"}, []string{`"abc"`, "64 digits"}},
		{"checksum of a missing program", sdk.Spec{Path: "/nowhere/plugin", Checksum: wrongSum}, []string{"/nowhere/plugin"}},
		{"a long name for sockets", sdk.Spec{Path: self, SocketDir: "/tmp/" + strings.Repeat("x", 100)}, []string{"/tmp/xxx", "shorter"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.spec.Name = "it"
			if tt.spec.SocketDir == "" {
				tt.spec.SocketDir = socketDir(t)
			}
			_, err := sdk.StartSink(t.Context(), tt.spec)
			if !errors.Is(err, sdk.ErrInvalid) {
				t.Fatalf("error %v does not wrap ErrInvalid", err)
			}
			for _, words := range append(tt.says, `sink "it"`) {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("error %q does not say %q", err, words)
				}
			}
		})
	}
}

// What may pass must not look as if only a person could mend it.
func TestStartFailsForNow(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, path string
		config     map[string]any
		says       string
	}{
		{"rubbish instead of a handshake", trapNamed(t, "hello|world"), nil, `printed "hello|world" to standard output`},
		{"far too much instead of a handshake", trapNamed(t, "floods"), nil, `printed "xxx`},
		{"a handshake line with words for numbers", trapNamed(t, "one|1|unix|_nowhere|grpc"), nil, `its first line on standard output, "one|1|unix|/nowhere|grpc", does not say`},
		{"a place where nobody listens", trapNamed(t, "1|1|unix|_nowhere|grpc"), nil, "/nowhere"},
		{"no place", trapNamed(t, "1|1|carrier pigeon|_nowhere|grpc"), nil, "address type"},
		{"standard output before the handshake", trapNamed(t, "speaks-early-on-stdout"), nil, fmt.Sprintf("printed %q to standard output", poison)},
		{"left at once", trapNamed(t, "exits"), nil, `is it a plugin of Fluxgate? (exit code 3, and it said "there is no licence on this machine")`},
		{"left at once, and a child holds the pipes", trapNamed(t, "leaves-a-child"), nil, "it ended before it said where it listens"},
		{"died in open", trapNamed(t, "dies-in-open"), nil, `it died while it was being opened (exit code 2, and it said "panic: the disk is upside down"`},
		{"panic in open", executable(t), map[string]any{"act": "panic in open", "text": "oh"}, "panic: oh"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			_, err := sdk.StartSink(t.Context(), sdk.Spec{
				Name: "it", Path: tt.path, Config: tt.config, SocketDir: socketDir(t), Log: slog.New(newBook()),
			})
			if err == nil || errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want one that may pass and says %q", err, tt.says)
			}
			if took := time.Since(start); took > sdk.StartTimeout/2 {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestSocketsInAFolderWithTheLongestName(t *testing.T) {
	const longest = 90
	dir := socketDir(t)
	dir = filepath.Join(dir, strings.Repeat("x", longest-len(dir)-1))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p, err := sdk.StartSink(t.Context(), sdk.Spec{Name: "it", Path: executable(t), SocketDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	_, err = sdk.StartSink(t.Context(), sdk.Spec{Name: "it", Path: executable(t), SocketDir: dir + "x"})
	if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), "90 bytes") {
		t.Errorf("a longer one: %v", err)
	}
}

func TestWhatAPluginSaysBeforeItLeavesIsLogged(t *testing.T) {
	log := newBook()
	_, err := sdk.StartSink(t.Context(), sdk.Spec{Name: "it", Path: trapNamed(t, "exits"), SocketDir: socketDir(t), Log: slog.New(log)})
	if err == nil {
		t.Fatal("a program that left was started")
	}
	log.await(t, "there is no licence on this machine", 1)
}

// What a plugin prints beside go-plugin, as one in another language does, however
// much, neither stops it nor is lost.
func TestStandardOutputAfterTheHandshakeIsLogged(t *testing.T) {
	p, log := startSink(t, sdk.Spec{Path: trapNamed(t, "speaks-late-on-stdout")})
	log.await(t, "a late word", 1)
	if err := p.Plugin.Write(t.Context(), oneDatapoint); err != nil {
		t.Error(err)
	}
}

func TestPluginThatNeverAnswersIsGivenUp(t *testing.T) {
	t.Parallel()
	says := map[string]string{
		"handshake": "not said where it listens within 10s",
		"answer":    "does not answer where it says that it listens, within 10s",
	}
	var starts sync.WaitGroup
	for name, spec := range map[string]sdk.Spec{
		"handshake": {Path: trapNamed(t, "silent")},
		"answer":    {Path: trapNamed(t, "mute")},
		"open":      {Path: executable(t), Config: map[string]any{"act": "hang in open"}},
	} {
		spec.Name, spec.SocketDir = "it", socketDir(t)
		starts.Go(func() {
			start := time.Now()
			_, err := sdk.StartSink(t.Context(), spec)
			if err == nil || errors.Is(err, sdk.ErrInvalid) {
				t.Errorf("%s: error %v, want one that may pass", name, err)
			}
			if !strings.Contains(err.Error(), says[name]) {
				t.Errorf("%s: error %v", name, err)
			}
			if took := time.Since(start); took < sdk.StartTimeout || took > sdk.StartTimeout+5*time.Second {
				t.Errorf("%s: given up after %v, want %v", name, took, sdk.StartTimeout)
			}
		})
	}
	starts.Wait()
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for name, spec := range map[string]sdk.Spec{
		"handshake": {Path: trapNamed(t, "silent")},
		"answer":    {Path: trapNamed(t, "mute")},
		"open":      {Path: executable(t), Config: map[string]any{"act": "hang in open"}},
	} {
		t.Run(name, func(t *testing.T) {
			spec.Name, spec.SocketDir = "it", socketDir(t)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			within(t, sdk.StartTimeout/2, "the start", func() {
				if _, err := sdk.StartSink(ctx, spec); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v, want the context's", err)
				}
			})
		})
	}
}

func TestChecksumServesForEveryStart(t *testing.T) {
	self := executable(t)
	text, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	spec := sdk.Spec{Path: self, Checksum: fmt.Sprintf("%X", sha256.Sum256(text))}
	for range 2 {
		p, _ := startSink(t, spec)
		if err := p.Plugin.Write(t.Context(), oneDatapoint); err != nil {
			t.Error(err)
		}
	}
}

func TestHostsEnvironmentStaysWithTheHost(t *testing.T) {
	t.Setenv("FLUXGATE_REDIS__PASSWORD", "planted")
	p, _ := startActor(t, map[string]any{"act": "environment"})
	err := p.Plugin.Write(t.Context(), oneDatapoint)
	if err == nil {
		t.Fatal("the plugin did not tell its environment")
	}
	var names []string
	for variable := range strings.SplitSeq(err.Error(), "\n") {
		name, _, _ := strings.Cut(variable, "=")
		names = append(names, name)
	}
	slices.Sort(names)
	want := []string{
		"PLUGIN_MAX_PORT", "PLUGIN_MESSAGE_LIMIT", "PLUGIN_MIN_PORT",
		"PLUGIN_OF_FLUXGATE", "PLUGIN_PROTOCOL_VERSIONS", "PLUGIN_UNIX_SOCKET_DIR",
	}
	if !slices.Equal(names, want) {
		t.Errorf("the plugin's environment is %q, want %q", names, want)
	}
}

func TestStoppedPluginDoesNotHangTheHost(t *testing.T) {
	t.Parallel()
	p, _ := startActor(t, nil)
	gone := watch(t, p.Pid())
	halt(t, p.Pid())
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	within(t, soon, "a call of a stopped plugin", func() {
		if err := p.Plugin.Write(ctx, oneDatapoint); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Write: error %v, want the deadline's", err)
		}
		if err := p.Check(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Check: error %v, want the deadline's", err)
		}
	})
	within(t, soon, "Stop of a stopped plugin", func() { _ = p.Stop(ctx) })
	gone(t, 0)
	<-p.Done()
}

// halt stops a process, and returns when each of its threads is.
func halt(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	running := func() bool {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		return slices.ContainsFunc(threads, func(thread string) bool {
			text, err := os.ReadFile(thread)
			return err == nil && !strings.Contains(string(text), ") T ")
		})
	}
	for end := time.Now().Add(deadline); running(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d does not stop", pid)
		}
	}
}

func TestPluginThatDies(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, p *sdk.Process[sdk.Sink]){
		"by itself":    func(t *testing.T, p *sdk.Process[sdk.Sink]) { _ = p.Plugin.Write(t.Context(), oneDatapoint) },
		"by a SIGKILL": func(_ *testing.T, p *sdk.Process[sdk.Sink]) { _ = syscall.Kill(p.Pid(), syscall.SIGKILL) },
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := startActor(t, map[string]any{"act": "exit"})
			end(t, p)
			within(t, soon, "notice of the death", func() { <-p.Done() })
			if err := p.Plugin.Write(t.Context(), oneDatapoint); !errors.Is(err, sdk.ErrUnavailable) {
				t.Errorf("a call of a dead plugin: error %v", err)
			}
			within(t, soon, "Stop of a dead plugin", func() { _ = p.Stop(t.Context()) })
		})
	}
}

// What has left the plugin's group cannot be found; it must not hold up the host.
func TestEstrangedChildHoldsUpNothing(t *testing.T) {
	t.Parallel()
	p, log := startActor(t, map[string]any{"act": "estranged child"})
	if err := p.Plugin.Write(t.Context(), oneDatapoint); err != nil {
		t.Fatal(err)
	}
	child := int(log.await(t, "child", 1)[0].attrs["pid"].(float64))
	defer func() { _ = syscall.Kill(child, syscall.SIGKILL) }()
	_ = syscall.Kill(p.Pid(), syscall.SIGKILL)
	within(t, soon, "notice of the death", func() { <-p.Done() })
	within(t, soon, "Stop", func() { _ = p.Stop(t.Context()) })
}

func TestPing(t *testing.T) {
	t.Parallel()
	p, _, result, free := occupied(t)
	ping := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), soon)
		defer cancel()
		return p.Ping(ctx)
	}
	if err := ping(); err != nil {
		t.Errorf("beside a long call: %v", err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- p.Stop(context.Background()) }()
	awaitDrain(t, p)
	if err := ping(); err != nil {
		t.Errorf("while the plugin waits for that call to close: %v", err)
	}
	free()
	if err := errors.Join(<-result, <-stopped); err != nil {
		t.Error(err)
	}
	if err := ping(); err == nil {
		t.Error("a process that has ended answers")
	}
}

func TestPingOfAStoppedPluginEndsWithItsContext(t *testing.T) {
	t.Parallel()
	p, _ := startActor(t, nil)
	halt(t, p.Pid())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	p.Kill()
	within(t, soon, "the end", func() { <-p.Done() })
	within(t, soon, "Stop", func() { _ = p.Stop(t.Context()) })
}

// A plugin's child holds on to the pipes by which the host would see that the
// plugin has ended.
func TestChildrenOfAPluginDieWithIt(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*sdk.Process[sdk.Sink]){
		"when it is stopped": func(p *sdk.Process[sdk.Sink]) { _ = p.Stop(context.Background()) },
		"when it dies":       func(p *sdk.Process[sdk.Sink]) { _ = syscall.Kill(p.Pid(), syscall.SIGKILL) },
		"when it is stuck": func(p *sdk.Process[sdk.Sink]) {
			halt(t, p.Pid())
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			_ = p.Stop(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, log := startActor(t, map[string]any{"act": "child"})
			if err := p.Plugin.Write(t.Context(), oneDatapoint); err != nil {
				t.Fatal(err)
			}
			child := int(log.await(t, "child", 1)[0].attrs["pid"].(float64))
			gone := watch(t, child)
			end(p)
			within(t, soon, "notice of the death", func() { <-p.Done() })
			gone(t, soon)
		})
	}
}

func TestMessagesAreLimitedOnBothEnds(t *testing.T) {
	const mebibyte = 1 << 20
	tests := []struct {
		name        string
		limit       int
		body, reply int
		refusal     string
	}{
		{"more than gRPC allows", 0, 5 * mebibyte, 5 * mebibyte, ""},
		{"as much as a limit allows", 8 * mebibyte, 7 * mebibyte, 7 * mebibyte, ""},
		{"a request above the limit", mebibyte, 2 * mebibyte, 0, "trying to send message larger than max"},
		{"an answer above the limit", mebibyte, 0, 2 * mebibyte, "received message larger than max"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, _ := startEcho(t, tt.limit)
			within(t, deadline, "the call", func() {
				s, err := p.Plugin.Decode(t.Context(), sdk.Request{
					Body: make([]byte, tt.body), Header: map[string][]string{"X-Reply-Bytes": {fmt.Sprint(tt.reply)}},
				})
				if tt.refusal != "" {
					if err == nil || !strings.Contains(err.Error(), tt.refusal) {
						t.Errorf("error %v, want %q", err, tt.refusal)
					}
					return
				}
				if err != nil {
					t.Error(err)
				} else if s.Invalid != fmt.Sprint(tt.body) || len(s.Reply.Body) != tt.reply {
					t.Errorf("the plugin read %s bytes and sent %d, want %d and %d", s.Invalid, len(s.Reply.Body), tt.body, tt.reply)
				}
			})
			if _, err := p.Plugin.Decode(t.Context(), sdk.Request{}); err != nil {
				t.Errorf("the call after it: %v", err)
			}
		})
	}
}

func TestStartsLeaveNothingBehind(t *testing.T) {
	cycle := func() {
		p, _ := startActor(t, nil)
		if err := p.Plugin.Write(t.Context(), oneDatapoint); err != nil {
			t.Fatal(err)
		}
		if err := p.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	cycle() // what is made once
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	for range 20 {
		cycle()
	}
	for end := time.Now().Add(deadline); runtime.NumGoroutine() > goroutines || openFiles(t) > files; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines and %d files after 20 starts, %d and %d before:\n%s", runtime.NumGoroutine(), openFiles(t),
				goroutines, files, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestStopLeavesNoSocket(t *testing.T) {
	p, sockets := startEcho(t, 0)
	if entries, _ := os.ReadDir(sockets); len(entries) != 1 {
		t.Fatalf("sockets of a running plugin: %v", entries)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(sockets); len(entries) != 0 || err != nil {
		t.Errorf("in the folder, which is still the host's: %v, %v", entries, err)
	}
}

func TestPluginCalledWithoutAHost(t *testing.T) {
	cmd := exec.Command(trapNamed(t, "sink"))
	cmd.Env = []string{}
	out, err := cmd.CombinedOutput()
	exit := (*exec.ExitError)(nil)
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("it left with %v, want exit code 1", err)
	}
	for _, want := range []string{
		"trap-sink is a plugin of Fluxgate, of kind sink: fluxgate starts it when its configuration names it.\n",
		"fluxgate plugin test " + cmd.Path, cmd.Path + " --attach\n",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it said %q, want %q", out, want)
		}
	}
}

// watch returns what waits for the end of a process.
func watch(t *testing.T, pid int) (gone func(t *testing.T, limit time.Duration)) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("process %d: %v", pid, err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return func(t *testing.T, limit time.Duration) {
		t.Helper()
		if !peer.Ends(fd, limit) {
			t.Errorf("process %d has not ended after %v", pid, limit)
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
	}
}

// within runs do and fails the test if it takes longer than limit.
func within(t *testing.T, limit time.Duration, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(limit):
		t.Errorf("%s: not done after %v", what, limit)
		select {
		case <-done:
		case <-time.After(deadline):
			t.Fatalf("%s: hangs", what)
		}
	}
}
