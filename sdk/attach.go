package sdk

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"fluxgate/sdk/internal/peer"
)

// attachFlag has a plugin wait for a host instead of being started by one, so
// that it can run under a debugger.
const attachFlag = "--attach"

// serveAttached serves hosts one after the other until SIGINT, SIGTERM or, unless
// that is ignored, SIGHUP. It prints the line to start Fluxgate with.
func serveAttached(register func(*grpc.Server)) {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	defer stop()
	listening := make(chan *plugin.ReattachConfig, 1)
	go func() {
		where := <-listening
		fmt.Printf("start Fluxgate with:\n\n    fluxgate serve --attach %s=%d:%s\n\n", filepath.Base(os.Args[0]), protocol, where.Addr)
	}()
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  handshake,
		Logger:           quiet,
		GRPCServer:       func(options []grpc.ServerOption) *grpc.Server { return newServer(options, ctx.Done()) },
		VersionedPlugins: map[int]plugin.PluginSet{protocol: {bridgeName: bridge{serve: register}}},
		Test:             &plugin.ServeTestConfig{Context: ctx, ReattachConfigCh: listening},
	})
}

// attach connects to the process that waits.
func (p *Process[T]) attach(s Spec) error {
	where, err := waiting(s.Attach)
	if err != nil {
		return err
	}
	config := s.client(s.relays())
	config.Reattach, config.Plugins = where, plugin.PluginSet{bridgeName: bridge{}}
	p.client, p.pid, p.protocol = plugin.NewClient(config), where.Pid, where.ProtocolVersion
	var detached context.Context
	detached, p.end = context.WithCancel(context.Background())
	if _, err := p.client.Start(); err != nil {
		return Unavailablef("%w", err)
	}
	go func() {
		defer close(p.done)
		awaitEndOf(detached, p.pid)
	}()
	return nil
}

// detach lets go of an attached process. go-plugin would not even close the
// connection.
func (p *Process[T]) detach() {
	p.end()
	<-p.done
	if p.conn != nil {
		_ = p.conn.Close()
	}
}

// waiting returns how to reach the process that Spec.Attach names. The error
// wraps [ErrInvalid] where it names none, and [ErrUnavailable] where nobody
// answers there.
func waiting(attach string) (*plugin.ReattachConfig, error) {
	version, path, ok := strings.Cut(attach, ":")
	speaks, err := strconv.Atoi(version)
	if !ok || err != nil {
		return nil, Invalidf("attach %q: must be PROTOCOL:SOCKET, as the plugin prints it when started with %s", attach, attachFlag)
	}
	if speaks < oldestProtocol || speaks > protocol {
		return nil, Invalidf("attach %q: the plugin speaks protocol %d, and the host %d to %d", attach, speaks, oldestProtocol, protocol)
	}
	pid, err := peer.Pid(path)
	if err != nil {
		return nil, Unavailablef("no plugin waits at %s: start it with %s, and Fluxgate with the line that it prints: %w", path, attachFlag, err)
	}
	return &plugin.ReattachConfig{
		Protocol: plugin.ProtocolGRPC, ProtocolVersion: speaks, Addr: &net.UnixAddr{Name: path, Net: "unix"}, Pid: pid, Test: true,
	}, nil
}
