package plugintest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"fluxgate/sdk/internal/peer"
	"fluxgate/sdk/internal/wire"
)

// What a plugin finds in its environment, as PROTOCOL.md has it.
const (
	cookieName  = "PLUGIN_OF_FLUXGATE"
	cookieValue = "fluxgate.v1"
	versions    = "PLUGIN_PROTOCOL_VERSIONS=1,2"
	socketDir   = "PLUGIN_UNIX_SOCKET_DIR"
)

// How a session starts its plugin.
var (
	direct       = func(path string) *exec.Cmd { return exec.Command(path) }
	throughShell = func(path string) *exec.Cmd { return exec.Command("/bin/sh", "-c", `"$0" & wait`, path) }
)

// A session is a plugin that was started by hand, to see what a host does not
// show: its standard output, whether it leaves by itself, and what it answers to
// what a host would never ask.
type session struct {
	cmd    *exec.Cmd // the plugin, or the shell that is its host
	pid    int       // of the plugin
	pidfd  int
	folder string
	conn   *grpc.ClientConn
	remote wire.PluginClient
	spoken *spoken
}

// connect starts the plugin and connects to it. It is not open.
func (k *kit) connect(ctx context.Context, start func(path string) *exec.Cmd) (*session, error) {
	folder, err := os.MkdirTemp("", "kit")
	if err != nil {
		return nil, err
	}
	s := &session{cmd: start(k.Path), folder: folder, pidfd: -1, spoken: &spoken{}}
	s.cmd.Env = []string{cookieName + "=" + cookieValue, versions, socketDir + "=" + folder, "GORACE=atexit_sleep_ms=0"}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.shakeHands(ctx); err != nil {
		s.kill()
		return nil, err
	}
	return s, nil
}

// opened is a session with an open plugin.
func (k *kit) opened(ctx context.Context) (*session, error) {
	s, err := k.connect(ctx, direct)
	if err != nil {
		return nil, err
	}
	if err := s.open(ctx, k.Kind, k.Settings); err != nil {
		s.kill()
		return nil, err
	}
	return s, nil
}

// shakeHands starts the process, reads where it listens, and dials that.
func (s *session) shakeHands(ctx context.Context) error {
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	lines := make(chan string, 1)
	go func() {
		from := bufio.NewReader(out)
		line, _ := from.ReadString('\n')
		lines <- line
		s.spoken.listen(from)
	}()
	var line string
	select {
	case line = <-lines:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(limit):
		return brokenf("it prints no handshake line within %v", limit)
	}
	fields := strings.Split(strings.TrimSpace(line), "|")
	if len(fields) < 5 || fields[2] != "unix" || fields[4] != "grpc" {
		return brokenf("its first line on standard output is %.200q, not 1|PROTOCOL|unix|SOCKET|grpc|", line)
	}
	if s.pid, err = peer.Pid(fields[3]); err != nil {
		return brokenf("nobody listens on the socket that it names: %v", err)
	}
	if s.pidfd, err = unix.PidfdOpen(s.pid, 0); err != nil {
		return err
	}
	return s.dial(fields[3])
}

func (s *session) dial(socket string) (err error) {
	s.conn, err = grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	s.remote = wire.NewPluginClient(s.conn)
	s.spoken.follow(s.conn)
	return nil
}

func (s *session) open(ctx context.Context, kind string, settings map[string]any) error {
	if settings == nil {
		settings = map[string]any{}
	}
	text, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	ctx, cancel := within(ctx)
	defer cancel()
	_, err = s.remote.Open(ctx, &wire.Config{Json: text, Kind: kind})
	return err
}

// invalid reports whether an error of a session's call is of that kind.
func invalid(err error) bool { return status.Code(err) == codes.InvalidArgument }

// work has the plugin do once what it can.
func (s *session) work(ctx context.Context, kind string) error {
	err := s.call(ctx, kind)
	if kind == "input" && invalid(err) { // an answer as good as any
		return nil
	}
	return err
}

// call calls the plugin's own method.
func (s *session) call(ctx context.Context, kind string) (err error) {
	ctx, cancel := within(ctx)
	defer cancel()
	switch kind {
	case "sink":
		b := batch("work", 1)
		_, err = wire.NewSinkClient(s.conn).Write(ctx, &wire.Batch{
			Metric: [][]byte{[]byte(b[0].Metric)}, Timestamp: []int64{b[0].Timestamp}, Value: []float64{b[0].Value},
		})
	case "input":
		_, err = wire.NewInputClient(s.conn).Decode(ctx, &wire.Request{Route: "POST /kit", Method: "POST"})
	default:
		_, err = wire.NewResamplerClient(s.conn).Resample(ctx, &wire.ResampleCall{
			Series: &wire.Series{Metric: []byte("fluxgate.kit"), Timestamp: []int64{60}, Value: []float64{1}}, Step: 60,
		})
	}
	return err
}

func (s *session) drain(ctx context.Context) error {
	if _, err := s.remote.Drain(ctx, &wire.Nothing{}); err != nil {
		return brokenf("drained without a call under way, which closes the plugin, it says: %v", err)
	}
	return nil
}

// end has the plugin drain and leave, and tells if it does not.
func (s *session) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.drain(ctx); err != nil {
		return err
	}
	const shutdown = "/plugin.GRPCController/Shutdown"
	err := s.conn.Invoke(ctx, shutdown, &wire.Nothing{}, &wire.Nothing{}) // the answer may be cut off
	if !peer.Ends(s.pidfd, patience) {
		return brokenf("%v after the call of %s process %d has not left: %v", patience, shutdown, s.pid, err)
	}
	return nil
}

// killHost kills the shell that has started the plugin. Its process id, and so that of
// the group, is free after kill alone.
func (s *session) killHost() { _ = s.cmd.Process.Kill() }

// said returns what the plugin has written to standard output, and waits a little
// for that.
func (s *session) said() string { return s.spoken.text(hearing) }

// kill ends the plugin and gives back what the session holds.
func (s *session) kill() {
	if s.cmd.Process != nil {
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		_, _ = s.cmd.Process.Wait()
	}
	if s.conn != nil {
		_ = s.conn.Close()
	}
	if s.pidfd >= 0 {
		_ = unix.Close(s.pidfd)
	}
	if err := os.RemoveAll(s.folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
