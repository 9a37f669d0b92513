package sdk_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"fluxgate/sdk"
	"fluxgate/sdk/internal/wire"
)

func TestOddJSONInAPluginsLogHarmsNobody(t *testing.T) {
	p, log := startActor(t, map[string]any{"act": "print", "text": poison})
	if err := p.Plugin.Write(t.Context(), oneDatapoint); err != nil {
		t.Fatal(err)
	}
	log.await(t, poison, 3)
	early, log := startSink(t, sdk.Spec{Path: trapNamed(t, "speaks-early-on-stderr")})
	log.await(t, poison, 1)
	for _, p := range []*sdk.Process[sdk.Sink]{p, early} {
		if err := p.Plugin.Write(t.Context(), oneDatapoint); err != nil {
			t.Errorf("a call after the line: %v", err)
		}
	}
}

func TestLogLinesKeepLevelAndAttributes(t *testing.T) {
	p, log := startActor(t, map[string]any{"act": "print", "text": "so"})
	if err := p.Plugin.Write(t.Context(), oneDatapoint); err != nil {
		t.Fatal(err)
	}
	got := log.await(t, "printed", 1)[0]
	want := line{slog.LevelWarn, "printed", map[string]any{"text": "so", "of": map[string]any{"bytes": 2.0}}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("logged %v, want %v", got, want)
	}
}

func TestLongLogLinesAreCut(t *testing.T) {
	const bound = 16 << 10
	p, log := startActor(t, map[string]any{"act": "print", "text": strings.Repeat("x", 1<<20) + "\nthe next line"})
	if err := p.Plugin.Write(t.Context(), oneDatapoint); err != nil {
		t.Fatal(err)
	}
	log.await(t, "the next line", 3)
	for _, l := range log.await(t, strings.Repeat("x", bound), 3) {
		if l.attrs["cut"] != true {
			t.Errorf("a line that was cut is not marked: %v", l.attrs)
		}
	}
	for _, l := range log.await(t, "the next line", 3) {
		if len(l.attrs) > 0 {
			t.Errorf("a line after one that was cut: %v", l.attrs)
		}
	}
}

func TestPanicIsAnErrorOfItsCall(t *testing.T) {
	p, log := startActor(t, map[string]any{"act": "panic", "text": "index out of range"})
	for range 2 {
		err := p.Plugin.Write(t.Context(), oneDatapoint)
		if err == nil || err.Error() != "panic: index out of range" || errors.Is(err, sdk.ErrInvalid) {
			t.Fatalf("error %v", err)
		}
	}
	for _, l := range log.await(t, "panic", 2) {
		if stack, _ := l.attrs["stack"].(string); l.level != slog.LevelError || !strings.Contains(stack, "actor.Write") {
			t.Errorf("logged at %v: %v", l.level, l.attrs)
		}
	}
	select {
	case <-p.Done():
		t.Error("the process has ended")
	default:
	}
}

func TestCallsEndWithTheirContext(t *testing.T) {
	p, log := startActor(t, map[string]any{"act": "hang"})
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- p.Plugin.Write(ctx, oneDatapoint) }()
	log.await(t, "entered", 1)
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
}

func TestCloseIsCalledOnce(t *testing.T) {
	p, log := startActor(t, nil)
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	_ = p.Stop(t.Context()) // of a process that has ended
	if got := log.await(t, "closed", 1); len(got) != 1 {
		t.Errorf("closed %d times", len(got))
	}
}

func TestStopTellsWhatCloseReturned(t *testing.T) {
	p, _ := startActor(t, map[string]any{"act": "unclean", "text": "half a batch is unwritten"})
	if err := p.Stop(t.Context()); !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "half a batch") {
		t.Errorf("error %v", err)
	}
}

func TestStopWaitsForCloseUpToItsContext(t *testing.T) {
	t.Parallel()
	patient, _ := startActor(t, map[string]any{"act": "slow to close", "wait": "2500ms"})
	impatient, _ := startActor(t, map[string]any{"act": "slow to close", "wait": "1h"})
	gone := watch(t, impatient.Pid())
	var stops sync.WaitGroup
	stops.Go(func() {
		if err := patient.Stop(t.Context()); err != nil {
			t.Errorf("a plugin that takes longer over it than over leaving: %v", err)
		}
	})
	stops.Go(func() {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := impatient.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a plugin that takes an hour over it: %v", err)
		}
		gone(t, 0)
	})
	within(t, soon, "Stop", stops.Wait)
}

// occupied starts a plugin with a call under way that ends when the function
// free is called.
func occupied(t *testing.T) (p *sdk.Process[sdk.Sink], log *book, result chan error, free func()) {
	t.Helper()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	p, log = startActor(t, map[string]any{"act": "read", "path": pipe})
	result = make(chan error, 1)
	go func() { result <- p.Plugin.Write(context.Background(), oneDatapoint) }()
	log.await(t, "entered", 1)
	return p, log, result, func() {
		if err := os.WriteFile(pipe, nil, 0o600); err != nil {
			t.Error(err)
		}
	}
}

// awaitDrain returns when the plugin takes no more calls.
func awaitDrain(t *testing.T, p *sdk.Process[sdk.Sink]) {
	t.Helper()
	for end := time.Now().Add(deadline); ; {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		err := p.Check(ctx)
		cancel()
		if err != nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal("a plugin that is to stop takes calls")
		}
	}
}

func TestStopWaitsForCallsUnderWay(t *testing.T) {
	p, log, result, free := occupied(t)
	stopped := make(chan error, 1)
	go func() { stopped <- p.Stop(context.Background()) }()
	awaitDrain(t, p)
	select {
	case err := <-stopped:
		t.Fatalf("stopped while a call is under way: %v", err)
	case err := <-result:
		t.Fatalf("the call was cut off: %v", err)
	default:
	}
	free()
	if err := errors.Join(<-result, <-stopped); err != nil {
		t.Error(err)
	}
	log.await(t, "closed", 1)
	if got, want := log.order("entered", "left", "closed"), []string{"entered", "left", "closed"}; !slices.Equal(got, want) {
		t.Errorf("in this order: %q, want %q", got, want)
	}
}

func TestStopWaitsNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	p, _, result, _ := occupied(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	gone := watch(t, p.Pid())
	within(t, soon, "Stop", func() {
		if err := p.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop: %v", err)
		}
	})
	if err := <-result; !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("the call that was cut off: %v", err)
	}
	gone(t, 0)
}

// A host is a process that has started a plugin.
type host struct {
	cmd       *exec.Cmd
	out, logs *bufio.Reader
	sockets   string
}

func startHost(t *testing.T, program, act, path string) host {
	t.Helper()
	h := host{sockets: socketDir(t)}
	h.cmd = exec.Command(trapNamed(t, "host"), program, h.sockets, act, path)
	pipes := make([]io.ReadCloser, 2)
	var err error
	if pipes[0], err = h.cmd.StdoutPipe(); err == nil {
		pipes[1], err = h.cmd.StderrPipe()
	}
	if err == nil {
		err = h.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	h.out, h.logs = bufio.NewReader(pipes[0]), bufio.NewReader(pipes[1])
	t.Cleanup(func() { h.kill() })
	return h
}

func (h host) kill() {
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
}

// number reads a line with a number, behind whatever else is in it.
func number(t *testing.T, r *bufio.Reader) int {
	t.Helper()
	text, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	text = strings.TrimSpace(text)
	n, err := strconv.Atoi(text[strings.LastIndexByte(text, ' ')+1:])
	if err != nil {
		t.Fatalf("line %q: %v", text, err)
	}
	return n
}

func TestPluginLeavesWhenItsHostIsKilled(t *testing.T) {
	t.Parallel()
	closed := filepath.Join(t.TempDir(), "closed")
	h := startHost(t, executable(t), "note", closed)
	gone := watch(t, number(t, h.out))
	h.kill()
	gone(t, 2*time.Second)
	if text, err := os.ReadFile(closed); string(text) != "closed\n" {
		t.Errorf("Close noted %q, want one line: %v", text, err)
	}
	if _, err := os.Stat(h.sockets); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder for sockets is still there: %v", err)
	}
}

func TestPluginLeavesItsHostsDeathFromWithinACall(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	var hosts sync.WaitGroup
	for _, act := range []string{"hang", "read"} { // one that heeds its context, one that does not
		h := startHost(t, executable(t), act, pipe)
		gone := watch(t, number(t, h.out))
		hosts.Go(func() {
			awaitText(t, h.logs, "entered")
			h.kill()
			gone(t, 4*time.Second)
		})
	}
	hosts.Wait()
}

func awaitText(t *testing.T, r *bufio.Reader, text string) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Errorf("no %q: %v", text, err)
			return
		}
		if strings.Contains(line, text) {
			return
		}
	}
}

func TestPluginLeavesWhenItsHostDiedBeforeItWasReady(t *testing.T) {
	t.Parallel()
	h := startHost(t, trapNamed(t, "slow-start"), "", "")
	gone := watch(t, number(t, h.logs))
	h.kill()
	gone(t, 2*time.Second)
}

// The host's own limit is not what keeps a plugin safe.
func TestPluginLimitsWhatItReads(t *testing.T) {
	const limit = 1 << 20
	p, sockets := startEcho(t, limit)
	entries, err := os.ReadDir(sockets)
	if err != nil || len(entries) != 1 {
		t.Fatalf("sockets: %v, %v", entries, err)
	}
	conn, err := grpc.NewClient("unix:"+filepath.Join(sockets, entries[0].Name()),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	input := wire.NewInputClient(conn)
	if _, err := input.Decode(t.Context(), &wire.Request{Body: make([]byte, 2*limit)}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a message above the limit: %v", err)
	}
	if _, err := wire.NewPluginClient(conn).Open(t.Context(), &wire.Config{Kind: "input", Json: []byte("{}")}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a second Open: %v", err)
	}
	if _, err := p.Plugin.Decode(t.Context(), sdk.Request{}); err != nil {
		t.Errorf("the host's call after it: %v", err)
	}
}
