package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"fluxgate/sdk"
	"fluxgate/sdk/internal/wire"
)

// offersIn returns the folders for data sockets in a folder for temporary files.
func offersIn(t *testing.T, temporary string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(temporary, "fluxgate-data-*"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// openWaiting opens a plugin that was started with --attach, as a host does that dies
// before it comes to the data socket. It returns the connection and the socket.
func openWaiting(t *testing.T, where string) (*grpc.ClientConn, string) {
	t.Helper()
	_, path, _ := strings.Cut(where, ":")
	conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	opened, err := wire.NewPluginClient(conn).Open(t.Context(), &wire.Config{Json: []byte("{}"), Kind: "sink", Data: true})
	if err != nil || opened.GetDataSocket() == "" {
		t.Fatalf("data socket %q, %v", opened.GetDataSocket(), err)
	}
	return conn, opened.GetDataSocket()
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Nothing of a data socket is left once its host has come.
func TestADataSocketThatIsInUseLeavesNothing(t *testing.T) {
	t.Parallel()
	temporary := socketDir(t)
	p, err := sdk.StartSink(t.Context(), sdk.Spec{Name: "it", Path: executable(t), Env: []string{"TMPDIR=" + temporary}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Plugin.Write(t.Context(), oneDatapoint); err != nil || !p.OverDataSocket() || !p.OffersDataSocket() {
		t.Errorf("over its data socket: %v, %v", p.OverDataSocket(), err)
	}
	if left := offersIn(t, temporary); left != nil {
		t.Errorf("in use: %q", left)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if left := offersIn(t, temporary); left != nil {
		t.Errorf("stopped: %q", left)
	}
}

// A plugin that leaves while it waits for its host at a data socket removes that, and one
// that waits for the next host does so, too.
func TestADataSocketThatNobodyComesTo(t *testing.T) {
	for _, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(end.String(), func(t *testing.T) {
			t.Parallel()
			nobodyComes(t, end)
		})
	}
}

func nobodyComes(t *testing.T, end syscall.Signal) {
	t.Helper()
	cmd, where := waiting(t)
	_, first := openWaiting(t, where)
	_, second := openWaiting(t, where)
	if exists(filepath.Dir(first)) {
		t.Error("the first is left when there is a second")
	}
	folder := filepath.Dir(second)
	f, err := os.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("a sweep could take it: %v", err)
	}
	if err := cmd.Process.Signal(end); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if exists(folder) {
		t.Error("it is left")
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Errorf("the lock outlives its process: %v", err)
	}
}

// In the host's folder, too, a plugin that leaves removes what the host has not come to.
func TestADataSocketInTheFolderOfAHostThatDied(t *testing.T) {
	t.Parallel()
	folder := socketDir(t)
	cmd := exec.Command(executable(t))
	cmd.Env = []string{"PLUGIN_OF_FLUXGATE=fluxgate.v1", "PLUGIN_PROTOCOL_VERSIONS=2", "PLUGIN_UNIX_SOCKET_DIR=" + folder}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line := make([]byte, 4096)
	n, err := out.Read(line)
	fields := strings.Split(string(line[:n]), "|")
	if err != nil || len(fields) < 4 {
		t.Fatalf("%q, %v", line[:n], err)
	}
	conn, socket := openWaiting(t, "2:"+fields[3])
	if filepath.Dir(socket) != folder || !exists(socket) {
		t.Errorf("it offers %s", socket)
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	_ = conn.Invoke(ctx, "/plugin.GRPCController/Shutdown", &wire.Nothing{}, &wire.Nothing{}) // it may be gone before
	_ = cmd.Wait()
	if exists(socket) {
		t.Error("it is left")
	}
}

// What the host has started may start the plugin.
func TestADataSocketBehindALauncher(t *testing.T) {
	t.Parallel()
	launcher := filepath.Join(t.TempDir(), "launcher")
	script := fmt.Sprintf("#!/bin/sh\n%s\nexit $?\n", executable(t))
	if err := os.WriteFile(launcher, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	p, log := startSink(t, sdk.Spec{Path: launcher})
	if err := p.Plugin.Write(t.Context(), oneDatapoint); err != nil || !p.OverDataSocket() {
		t.Errorf("over its data socket: %v, %v; logged %q", p.OverDataSocket(), err, log.order(uselessOffer))
	}
}

// A program that waits for its host is not told the limit when it starts.
func TestTheLimitOfAHostThatAttaches(t *testing.T) {
	t.Parallel()
	_, where := waiting(t)
	p, err := sdk.StartSink(t.Context(), sdk.Spec{Name: "it", Attach: where, MessageLimit: 64 << 20, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := p.Plugin.Write(ctx, sdk.Batch{{Metric: string(make([]byte, 40<<20))}}); err != nil || !p.OverDataSocket() {
		t.Errorf("over its data socket: %v, %v", p.OverDataSocket(), err)
	}
	_ = p.Stop(t.Context())
}
