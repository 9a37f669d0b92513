package sdk_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

// A waiter is an input that hangs on a request with the query "hang" until its
// context ends.
type waiter struct{ echo }

func (w waiter) Decode(ctx context.Context, r sdk.Request) (sdk.Submission, error) {
	if r.Query == "hang" {
		slog.Info("entered")
		<-ctx.Done()
		slog.Info("left", "why", ctx.Err().Error())
		return sdk.Submission{}, ctx.Err()
	}
	return w.echo.Decode(ctx, r)
}

func startInput(t *testing.T, s sdk.Spec) (*sdk.Process[sdk.Input], *book) {
	t.Helper()
	log := newBook()
	if s.SocketDir == "" {
		s.SocketDir = socketDir(t)
	}
	s.Name, s.Log = "it", slog.New(log)
	p, err := sdk.StartInput(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Stop(context.Background())
		if lines, _ := log.read(); strings.Contains(fmt.Sprint(lines), "DATA RACE") {
			t.Errorf("the plugin raced:\n%v", lines)
		}
	})
	return p, log
}

func TestCallsOfAPluginThatHangsOnOne(t *testing.T) {
	p, log := startInput(t, sdk.Spec{Path: trapNamed(t, "waiter")})
	ctx, cancel := context.WithCancel(t.Context())
	hanging := make(chan error, 1)
	go func() {
		_, err := p.Plugin.Decode(ctx, sdk.Request{Query: "hang"})
		hanging <- err
	}()
	log.await(t, "entered", 1)
	within(t, deadline, "calls beside one that hangs", func() {
		for range 200 {
			if s, err := p.Plugin.Decode(t.Context(), sdk.Request{Query: "a"}); err != nil || s.Key != "a" {
				t.Errorf("a call beside one that hangs: %+v, %v", s, err)
			}
		}
		var calls sync.WaitGroup
		for i := range 200 {
			calls.Go(func() {
				query := fmt.Sprint(i)
				if s, err := p.Plugin.Decode(t.Context(), sdk.Request{Query: query}); err != nil || s.Key != query {
					t.Errorf("call %d of several: %+v, %v", i, s, err)
				}
			})
		}
		calls.Wait()
	})
	cancel()
	if err := <-hanging; !errors.Is(err, context.Canceled) {
		t.Errorf("the call that hangs: %v", err)
	}
	if left := log.await(t, "left", 1); left[0].attrs["why"] != context.Canceled.Error() {
		t.Errorf("the plugin was told %v", left)
	}
	if !p.OverDataSocket() {
		t.Error("it is not called over its data socket")
	}
}

// A plugin that does not read costs each call no more than its time, and its memory
// nobody.
func TestLongRequestsOfAStoppedPlugin(t *testing.T) {
	t.Parallel()
	p, _ := startInput(t, sdk.Spec{Path: trapNamed(t, "waiter")})
	halt(t, p.Pid())
	within(t, soon, "calls of a stopped plugin", func() {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		var calls sync.WaitGroup
		for range 8 {
			calls.Go(func() {
				body := make([]byte, 8<<20)
				if _, err := p.Plugin.Decode(ctx, sdk.Request{Body: body}); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v, want the deadline's", err)
				}
				clear(body) // nobody refers to it
			})
		}
		calls.Wait()
	})
	p.Kill()
}

func TestStopAnswersWhatIsUnderWay(t *testing.T) {
	p, log := startInput(t, sdk.Spec{Path: trapNamed(t, "waiter")})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	results := make(chan error, 20)
	for range cap(results) {
		go func() {
			_, err := p.Plugin.Decode(t.Context(), sdk.Request{Query: "a", Header: map[string][]string{"X-Reply-Bytes": {"1000000"}}})
			results <- err
		}()
	}
	go func() { _, _ = p.Plugin.Decode(ctx, sdk.Request{Query: "hang"}) }()
	log.await(t, "entered", 1)
	stopped := make(chan error, 1)
	go func() { stopped <- p.Stop(context.Background()) }()
	within(t, deadline, "a call that comes while the plugin waits for one under way", func() {
		for { // some come before that
			if _, err := p.Plugin.Decode(t.Context(), sdk.Request{}); errors.Is(err, sdk.ErrUnavailable) {
				return
			}
		}
	})
	for range cap(results) {
		if err := <-results; err != nil && !errors.Is(err, sdk.ErrUnavailable) {
			t.Errorf("a call: %v", err)
		}
	}
	select {
	case err := <-stopped:
		t.Fatalf("stopped while a call is under way: %v", err)
	default:
	}
	cancel()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	log.await(t, "left", 1)
	if got := log.order("left", brokenSocket); len(got) != 1 {
		t.Errorf("logged %q: a link that ends with its process has not broken", got)
	}
}

// What a host logs of a data socket that is of no use.
const (
	brokenSocket = "the plugin's data socket has broken, which only costs speed until the plugin is started again"
	uselessOffer = "the plugin's data socket cannot be used, which only costs speed"
)

func TestPluginsWithoutADataSocket(t *testing.T) {
	t.Parallel()
	servers.NeedPython(t, "grpc", "google.protobuf")
	python := filepath.Join(t.TempDir(), "main.py")
	for from, to := range map[string]string{
		"../testdata/plugins/python-sink/main.py": python, "python/fluxgate.py": "", "python/fluxgate_pb2.py": "", "python/fluxgate_process.py": "",
	} {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(cmp.Or(to, filepath.Join(filepath.Dir(python), filepath.Base(from))), text, 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, s := range map[string]sdk.Spec{
		"of protocol 1":          {Path: servers.Build(t, "testdata/protocol1/sink"), Config: map[string]any{"path": filepath.Join(t.TempDir(), "stored")}},
		"in Python":              {Path: python, Config: map[string]any{"path": filepath.Join(t.TempDir(), "stored")}},
		"called over gRPC alone": {Path: executable(t), Portable: true},
	} {
		p, log := startSink(t, s)
		if p.OverDataSocket() {
			t.Errorf("%s: it is called over a data socket", name)
		}
		if err := p.Plugin.(sdk.BulkSink).WriteAll(t.Context(), []sdk.Batch{oneDatapoint, nil, oneDatapoint}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := log.order(brokenSocket, uselessOffer); got != nil {
			t.Errorf("%s: logged %q", name, got)
		}
	}
}

func TestAttachOverTheDataSocket(t *testing.T) {
	cmd, where := waiting(t)
	for range 2 { // hosts, one after the other
		log := newBook()
		p, err := sdk.StartSink(t.Context(), sdk.Spec{Name: "it", Attach: where, Log: slog.New(log), SocketDir: socketDir(t)})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Plugin.Write(t.Context(), oneDatapoint); err != nil || !p.OverDataSocket() {
			t.Errorf("over its data socket: %v, %v", p.OverDataSocket(), err)
		}
		if err := p.Stop(t.Context()); err != nil || p.OverDataSocket() {
			t.Errorf("stopped: %v, %v", p.OverDataSocket(), err)
		}
		if got := log.order(brokenSocket, uselessOffer); got != nil {
			t.Errorf("logged %q", got)
		}
		if left, _ := filepath.Glob(filepath.Join(cmd.Env[0][len("TMPDIR="):], "*", "data*")); left != nil {
			t.Errorf("it has left %q", left)
		}
	}
}
