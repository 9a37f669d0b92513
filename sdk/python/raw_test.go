//go:build !race

package python_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"fluxgate/sdk"
	"fluxgate/sdk/internal/peer"
	"fluxgate/sdk/internal/wire"
)

// A raw is a plugin's process without a host.
type raw struct {
	cmd     *exec.Cmd
	line    string // what it said first
	conn    *grpc.ClientConn
	plugin  wire.PluginClient
	sockets string
}

// startRaw starts a program as a host does that speaks some versions of the
// protocol.
func startRaw(t *testing.T, path, versions string) *raw {
	t.Helper()
	s, _ := spec(t, path, nil)
	r := &raw{cmd: exec.Command(s.Path), sockets: s.SocketDir}
	r.cmd.Env = []string{
		"PLUGIN_OF_FLUXGATE=fluxgate.v1", "PLUGIN_UNIX_SOCKET_DIR=" + s.SocketDir, "PLUGIN_MESSAGE_LIMIT=1048576",
		"PLUGIN_PROTOCOL_VERSIONS=" + versions,
	}
	out, err := r.cmd.StdoutPipe()
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
	})
	if r.line, err = bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	address := regexp.MustCompile(`\|unix\|(.*)\|grpc\|`).FindStringSubmatch(r.line)
	if address == nil {
		t.Fatalf("it says %q", r.line)
	}
	r.conn, err = grpc.NewClient("unix:"+address[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.conn.Close() })
	r.plugin = wire.NewPluginClient(r.conn)
	return r
}

func (r *raw) open(t *testing.T, kind, settings string) error {
	t.Helper()
	_, err := r.plugin.Open(t.Context(), &wire.Config{Kind: kind, Json: []byte(settings)})
	return err
}

func TestItSpeaksTheNewestVersionOfTheHosts(t *testing.T) {
	t.Parallel()
	for versions, want := range map[string]string{"1": "1", "1,2": "2", "2": "2", "3,2": "2", "3": "1", "": "1"} {
		r := startRaw(t, echo, versions)
		if ok, _ := regexp.MatchString(`^1\|`+want+`\|unix\|`+regexp.QuoteMeta(r.sockets)+`/plugin[0-9]{1,10}\|grpc\|\n$`, r.line); !ok {
			t.Errorf("to a host that speaks %q: %q", versions, r.line)
		}
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	s, _ := spec(t, actor, nil)
	d, err := sdk.Describe(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	want := []sdk.Setting{
		{Name: "act", Type: "text", Help: "what the sink does", Default: []byte(`""`)},
		{Name: "text", Type: "text", Help: "what it says", Default: []byte(`""`)},
		{Name: "path", Type: "text", Default: []byte(`""`)},
		{Name: "wait", Type: "duration", Default: []byte(`"90s"`)},
		{Name: "waits", Type: "list of duration", Default: []byte(`["0.25s"]`)},
		{Name: "count", Type: "integer", Default: []byte(`5`)},
		{Name: "share", Type: "number", Default: []byte(`0.5`)},
		{Name: "loud", Type: "boolean", Default: []byte(`false`)},
		{Name: "names", Type: "list of text", Default: []byte(`["a"]`)},
		{Name: "labels", Type: "any", Default: []byte(`{}`)},
		{Name: "tls.ca", Type: "text", Help: "whom to trust", Default: []byte(`"none"`)},
		{Name: "tls.depth", Type: "integer", Unit: "bytes", Default: []byte(`3`)},
	}
	if d.Kind != "sink" || d.Protocol != 2 || d.Version != "2.1" || !reflect.DeepEqual(d.Settings, want) {
		t.Errorf("it is described as %+v, want %+v", d, want)
	}
	s, _ = spec(t, echo, nil)
	if d, err := sdk.Describe(t.Context(), s); err != nil || d.Kind != "input" || d.Settings == nil || len(d.Settings) != 0 {
		t.Errorf("one without settings: %+v, %v", d, err)
	}
}

// settings opens a sink that tells its settings, and returns them.
func settings(t *testing.T, config map[string]any) (told map[string]any) {
	t.Helper()
	config["act"] = "tell settings"
	p, _ := startActor(t, config)
	err := p.Plugin.Write(t.Context(), oneDatapoint)
	if err == nil {
		t.Fatal("it told nothing")
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(err.Error(), "invalid: ")), &told); err != nil {
		t.Fatal(err)
	}
	return told
}

func TestADurationsDefaultMayBeText(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{`{}`: `"wait": 90.0,`, `{"wait": "5s"}`: `"wait": 5.0,`} {
		config := map[string]any{}
		if err := json.Unmarshal([]byte(given), &config); err != nil {
			t.Fatal(err)
		}
		config["act"] = "tell settings"
		s, _ := spec(t, textActor, config)
		p := start(t, sdk.StartSink, s)
		if err := p.Plugin.Write(t.Context(), oneDatapoint); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("of %s it is told %v, want %s", given, err, want)
		}
	}
}

func TestSettingsLieOverTheDefaults(t *testing.T) {
	t.Parallel()
	defaults := func() map[string]any {
		return map[string]any{
			"act": "tell settings", "text": "", "path": "", "wait": 90.0, "waits": []any{0.25}, "count": 5.0, "share": 0.5, "loud": false,
			"names": []any{"a"}, "labels": map[string]any{}, "tls": map[string]any{"ca": "none", "depth": 3.0},
		}
	}
	for _, tt := range []struct{ name, given, changed string }{
		{"nothing", `{}`, `{}`},
		{"null is nothing", `{"text": null, "wait": null}`, `{}`},
		{"each", `{"text": "x", "wait": "1m0.5s", "waits": ["5ms", "2h"], "count": 7, "share": 1, "loud": true, "names": ["b", "c"],
			"labels": {"a": [1]}, "tls": {"ca": "x", "depth": 1}}`,
			`{"text": "x", "wait": 60.5, "waits": [0.005, 7200], "count": 7, "share": 1, "loud": true, "names": ["b", "c"],
			"labels": {"a": [1]}, "tls": {"ca": "x", "depth": 1}}`},
		{"as the environment has them", `{"text": 5, "count": "0x10", "share": "1e3", "loud": "TRUE", "names": "b", "waits": "1s", "wait": 0, "tls": {"ca": "y"}}`,
			`{"text": "5", "count": 16, "share": 1000, "loud": true, "names": ["b"], "waits": [1], "wait": 0, "tls": {"ca": "y", "depth": 3}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var given, changed map[string]any
			if err := errors.Join(json.Unmarshal([]byte(tt.given), &given), json.Unmarshal([]byte(tt.changed), &changed)); err != nil {
				t.Fatal(err)
			}
			want := defaults()
			for name, value := range changed {
				want[name] = value
			}
			if got := settings(t, given); !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// A host that speaks protocol 1 leaves it to the plugin to judge its settings.
func TestRefusedSettings(t *testing.T) {
	t.Parallel()
	r := startRaw(t, actor, "1")
	for settings, says := range map[string]string{
		`{"tect": "x"}`:                   `unknown setting "tect": did you mean "text"?`,
		`{"tls": {"ca": "x", "deep": 1}}`: `unknown setting "tls.deep": did you mean "tls.depth"?`,
		`{"tls": {"depth": 1}}`:           `setting "tls.ca" must be given`,
		`{"tls": "x"}`:                    `setting "tls": "x" must be a section of settings`,
		`{"wait": 5}`:                     `setting "wait": 5 is not of type duration: give it a unit, such as "5s"`,
		`{"waits": ["1s", "1 s"]}`:        `setting "waits": "1 s" is not of type duration`,
		`{"wait": "-1s"}`:                 `wait -1s: must not be negative`,
		`{"count": "many"}`:               `setting "count": "many" is not of type integer`,
		`{"count": 1.5}`:                  `setting "count": 1.5 is not of type integer`,
		`{"count": true}`:                 `setting "count": true is not of type integer`,
		`{"share": []}`:                   `setting "share": [] is not of type number`,
		`{"loud": "yes"}`:                 `setting "loud": "yes" is not of type boolean`,
		`{"text": ["x", "y"]}`:            `setting "text": ["x", "y"] is not of type text`,
		`{"names": [["x"]]}`:              `setting "names": ["x"] is not of type text`,
		`[]`:                              `settings`,
	} {
		err := r.open(t, "sink", settings)
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v, want %q", settings, err, says)
		}
	}
	if err := r.open(t, "sink", `{}`); err != nil {
		t.Errorf("good ones after it: %v", err)
	}
	r = startRaw(t, echo, "1")
	if err := r.open(t, "input", `{"x": 1}`); !strings.Contains(fmt.Sprint(err), `unknown setting "x": there are no settings here`) {
		t.Errorf("where there are none: %v", err)
	}
}

func TestTheOrderOfCalls(t *testing.T) {
	t.Parallel()
	r := startRaw(t, actor, "1,2")
	write := func() error {
		_, err := wire.NewSinkClient(r.conn).Write(t.Context(), &wire.Batch{})
		return err
	}
	check := func() error {
		_, err := r.plugin.Check(t.Context(), &wire.Nothing{})
		return err
	}
	drain := func() error {
		_, err := r.plugin.Drain(t.Context(), &wire.Nothing{})
		return err
	}
	for _, step := range []struct {
		name string
		err  error
		code codes.Code
		says string
	}{
		{"Write before Open", write(), codes.Unavailable, "the plugin is not open"},
		{"Check before Open", check(), codes.Unavailable, "the plugin is not open"},
		{"Drain before Open", drain(), codes.OK, ""},
		{"Open as another kind", r.open(t, "input", "{}"), codes.InvalidArgument, "a plugin of kind sink, and is configured as input"},
		{"Open that raises", r.open(t, "sink", `{"act": "raise in open", "text": "oh"}`), codes.Internal, "RuntimeError: oh"},
		{"Open", r.open(t, "sink", "{}"), codes.OK, ""},
		{"a second Open", r.open(t, "sink", "{}"), codes.InvalidArgument, "the plugin is already open"},
		{"Write", write(), codes.OK, ""},
		{"Drain", drain(), codes.OK, ""},
		{"Write after Drain", write(), codes.Unavailable, "the plugin is not open"},
		{"a second Drain", drain(), codes.OK, ""},
		{"Open after Drain", r.open(t, "sink", "{}"), codes.InvalidArgument, "the plugin is already open"},
	} {
		if status.Code(step.err) != step.code || !strings.Contains(fmt.Sprint(step.err), step.says) {
			t.Errorf("%s: %v, want %v %q", step.name, step.err, step.code, step.says)
		}
	}
	if _, err := grpc_health_v1.NewHealthClient(r.conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "plugin"}); err != nil {
		t.Error(err)
	}
}

func TestMessagesThatNoHostSends(t *testing.T) {
	t.Parallel()
	r := startRaw(t, actor, "2")
	if err := r.open(t, "sink", "{}"); err != nil {
		t.Fatal(err)
	}
	sink := wire.NewSinkClient(r.conn)
	_, err := sink.Write(t.Context(), &wire.Batch{Metric: [][]byte{[]byte("a")}, Value: []float64{1}})
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "1 metrics, 0 timestamps and 1 values") {
		t.Errorf("columns of unequal length: %v", err)
	}
	_, err = sink.Write(t.Context(), &wire.Batch{Metric: [][]byte{make([]byte, 2<<20)}})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a message above the limit: %v", err)
	}
	err = r.conn.Invoke(t.Context(), "/fluxgate.v1.Input/Decode", &wire.Request{}, &wire.Submission{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("a call of another kind: %v", err)
	}
	if _, err := sink.Write(t.Context(), &wire.Batch{}); err != nil {
		t.Errorf("a call after them: %v", err)
	}
}

// await returns the process's state once it has ended.
func await(t *testing.T, cmd *exec.Cmd) *os.ProcessState {
	t.Helper()
	timer := time.AfterFunc(deadline, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	_ = cmd.Wait()
	return cmd.ProcessState
}

func TestATerminalsInterruptIsForTheHost(t *testing.T) {
	t.Parallel()
	r := startRaw(t, actor, "2")
	if err := r.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := r.open(t, "sink", "{}"); err != nil {
		t.Errorf("after a SIGINT: %v", err)
	}
	if err := r.conn.Invoke(t.Context(), "/plugin.GRPCController/Shutdown", &wire.Nothing{}, &wire.Nothing{}); err != nil {
		t.Error(err)
	}
	if state := await(t, r.cmd); !state.Success() {
		t.Errorf("it left with %v", state)
	}
}

// A host is a process that has started a plugin.
type host struct {
	cmd     *exec.Cmd
	pid     int           // of the plugin
	log     *bufio.Reader // its own
	sockets string
}

func startHost(t *testing.T, program, act, path string) host {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, _ := spec(t, program, nil)
	link := filepath.Join(t.TempDir(), "host")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	h := host{cmd: exec.Command(link, s.Path, s.SocketDir, act, path), sockets: s.SocketDir}
	out, err := h.cmd.StdoutPipe()
	logs, err2 := h.cmd.StderrPipe()
	if err := errors.Join(err, err2, h.cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.kill)
	text, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if h.pid, err = strconv.Atoi(strings.TrimSpace(text)); err != nil {
		t.Fatal(text)
	}
	h.log = bufio.NewReader(logs)
	return h
}

func (h host) kill() {
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
}

// awaitEnd returns when a process that is no child has ended.
func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // it has
	}
	defer unix.Close(fd)
	if !peer.Ends(fd, deadline) {
		t.Errorf("process %d has not ended after %v", pid, deadline)
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
}

func TestAPluginLeavesWhenItsHostIsKilled(t *testing.T) {
	for name, program := range map[string]string{"a kernel of today": actor, "one without pidfd_open": oldActor} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			closed := filepath.Join(t.TempDir(), "closed")
			h := startHost(t, program, "note", closed)
			h.kill()
			awaitEnd(t, h.pid)
			if text, err := os.ReadFile(closed); string(text) != "closed\n" {
				t.Errorf("close noted %q, want one line: %v", text, err)
			}
			if _, err := os.Stat(h.sockets); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the folder for sockets is still there: %v", err)
			}
		})
	}
}

// A host that dies before the handshake has left nobody to shake hands with.
func TestAPluginLeavesWhenItsHostDiedBeforeItListened(t *testing.T) {
	t.Parallel()
	unread, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = unread.Close()
	defer stdout.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t, exampleSink))
	cmd.Env = []string{"PLUGIN_OF_FLUXGATE=fluxgate.v1", "PLUGIN_PROTOCOL_VERSIONS=1,2", "PLUGIN_UNIX_SOCKET_DIR=" + t.TempDir()}
	cmd.Stdout = stdout
	err = cmd.Run()
	if ctx.Err() != nil {
		t.Errorf("it lives on until it is killed: %v", err)
	}
}

func TestAPluginLeavesItsHostsDeathFromWithinACall(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	var hosts sync.WaitGroup
	for _, act := range []string{"hang", "read"} { // one that heeds its context, one that does not
		h := startHost(t, actor, act, pipe)
		hosts.Go(func() {
			for line := ""; !strings.Contains(line, "entered"); {
				var err error
				if line, err = h.log.ReadString('\n'); err != nil {
					t.Error(err)
					return
				}
			}
			h.kill()
			awaitEnd(t, h.pid)
		})
	}
	hosts.Wait()
}

// Standard output alone does not tell of a host's end where somebody else reads it.
func TestAPluginLeavesWhenItsHostIsKilledThoughItsOutputIsRead(t *testing.T) {
	t.Parallel()
	s, _ := spec(t, actor, nil)
	cmd := exec.Command("/bin/sh", "-c", s.Path+" & echo $!; wait")
	cmd.Env = []string{"PLUGIN_OF_FLUXGATE=fluxgate.v1", "PLUGIN_UNIX_SOCKET_DIR=" + s.SocketDir}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines, pid := bufio.NewReader(out), 0
	for range 2 { // the process id, and the handshake
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if n, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
			pid = n
		}
	}
	_ = cmd.Process.Kill()
	awaitEnd(t, pid)
	_ = cmd.Wait()
}

// A host that has died before the plugin looks for it has left nobody to read
// what the plugin prints. The plugin's parent here lives on.
func TestAPluginLeavesWhenNobodyReadsWhatItPrints(t *testing.T) {
	t.Parallel()
	s, _ := spec(t, actor, nil)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(s.Path)
	cmd.Env = []string{"PLUGIN_OF_FLUXGATE=fluxgate.v1", "PLUGIN_UNIX_SOCKET_DIR=" + s.SocketDir}
	cmd.Stdout = write
	err = cmd.Start()
	_ = write.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(read).ReadString('\n'); err != nil {
		t.Error(err)
	}
	_ = read.Close()
	if state := await(t, cmd); !state.Success() {
		t.Errorf("it left with %v", state)
	}
}

func TestAttach(t *testing.T) {
	t.Parallel()
	s, _ := spec(t, actor, nil)
	cmd := exec.Command(s.Path, "--attach")
	cmd.Env = []string{"TMPDIR=" + s.SocketDir}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	lines, where := bufio.NewReader(out), ""
	for where == "" {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		_, where, _ = strings.Cut(strings.TrimSpace(line), "fluxgate serve --attach actor.py=")
	}
	for range 2 { // one host after the other
		p, err := sdk.StartSink(t.Context(), sdk.Spec{Name: "it", Attach: where})
		if err != nil {
			t.Fatal(err)
		}
		if p.Pid() != cmd.Process.Pid {
			t.Errorf("attached to process %d, want %d", p.Pid(), cmd.Process.Pid)
		}
		if err := errors.Join(p.Plugin.Write(t.Context(), oneDatapoint), p.Stop(context.Background())); err != nil {
			t.Error(err)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, lines)
	if state := await(t, cmd); !state.Success() {
		t.Errorf("it left with %v", state)
	}
}
