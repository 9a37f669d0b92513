package sdk_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
)

// waiting starts a sink as one does under a debugger, and returns what it says
// a host needs.
func waiting(t *testing.T) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(trapNamed(t, "sink"), "--attach")
	cmd.Env = []string{"TMPDIR=" + socketDir(t)}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, where, ok := strings.Cut(lines.Text(), "fluxgate serve --attach trap-sink="); ok {
			return cmd, where
		}
	}
	t.Fatal("it does not say how to attach")
	return nil, ""
}

func TestAttach(t *testing.T) {
	cmd, where := waiting(t)
	attach := func(config map[string]any) *sdk.Process[sdk.Sink] {
		p, err := sdk.StartSink(t.Context(), sdk.Spec{Name: "it", Attach: where, Config: config})
		if err != nil {
			t.Fatal(err)
		}
		if p.Pid() != cmd.Process.Pid || p.Protocol() != 2 {
			t.Errorf("attached to process %d with protocol %d, want %d", p.Pid(), p.Protocol(), cmd.Process.Pid)
		}
		if err := p.Plugin.Write(t.Context(), sdk.Batch{{Metric: "a", Timestamp: 1}}); err != nil {
			t.Error(err)
		}
		if err := p.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		return p
	}
	first := attach(nil)
	first.Kill()
	<-first.Done()
	if err := first.Stop(t.Context()); err != nil {
		t.Errorf("a host leaves: %v", err)
	}
	_ = attach(nil) // and dies without a word
	last := attach(map[string]any{"wait": "2s"})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	select {
	case <-last.Done():
	case <-time.After(20 * time.Second):
		t.Error("the end of the process is not noticed")
	}
	_ = last.Stop(t.Context())
	_, err := sdk.StartSink(t.Context(), sdk.Spec{Name: "it", Attach: where})
	if !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "no plugin waits at") {
		t.Errorf("nobody is there: %v", err)
	}
}

// A process that stands still, such as at a breakpoint, holds up nobody.
func TestAttachEndsWithItsContext(t *testing.T) {
	socket, err := net.Listen("unix", filepath.Join(socketDir(t), "mute"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	within(t, sdk.StartTimeout/2, "the start", func() {
		_, err := sdk.StartSink(ctx, sdk.Spec{Name: "it", Attach: "2:" + socket.Addr().String()})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the context's", err)
		}
	})
}

func TestAttachRefuses(t *testing.T) {
	for attach, says := range map[string]string{
		"here":            "must be PROTOCOL:SOCKET",
		"two:/tmp/plugin": "must be PROTOCOL:SOCKET",
		"3:/tmp/plugin":   "the plugin speaks protocol 3, and the host 1 to 2",
	} {
		_, err := sdk.StartSink(t.Context(), sdk.Spec{Name: "it", Attach: attach})
		if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v, want %q", attach, err, says)
		}
	}
}
