package sdk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"fluxgate/sdk/internal/wire"
)

// A Process is a running plugin.
type Process[T any] struct {
	Plugin    T
	cmd       *exec.Cmd // nil: attached
	program   *program  // runs cmd
	described Description
	pid       int
	protocol  int
	end       context.CancelFunc // kills the process and what it has started, or lets go of an attached one
	done      chan struct{}      // closed when the process has ended, or was let go of
	client    *plugin.Client
	conn      *grpc.ClientConn
	remote    wire.PluginClient
	health    grpc_health_v1.HealthClient
	offered   bool        // the plugin has named a data socket
	link      *link       // to that; nil: none
	leaving   atomic.Bool // it was asked to leave, or is being ended
}

// errEnded is why the link to a process ends with it.
var errEnded = errors.New("the process has ended")

var errMute = fmt.Errorf("it does not answer where it says that it listens, within %v: does it wait for something before it serves?", StartTimeout)

// dispense connects to the plugin. go-plugin would wait for one that does not answer as
// long as gRPC does.
func (p *Process[T]) dispense(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, StartTimeout, errMute)
	defer cancel()
	dialled := make(chan *grpc.ClientConn)
	failed := make(chan error, 1)
	go func() {
		conn, err := p.dial()
		if err != nil {
			failed <- err
			return
		}
		select {
		case dialled <- conn:
		case <-ctx.Done():
			_ = conn.Close() // nobody waits for it any more
		}
	}()
	select {
	case p.conn = <-dialled:
		p.remote, p.health = wire.NewPluginClient(p.conn), grpc_health_v1.NewHealthClient(p.conn)
		return nil
	case err := <-failed:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *Process[T]) dial() (*grpc.ClientConn, error) {
	client, err := p.client.Client()
	if err != nil {
		return nil, err
	}
	conn, err := client.Dispense(bridgeName)
	if err != nil {
		return nil, err
	}
	return conn.(*grpc.ClientConn), nil
}

// Protocol returns the version of the protocol that host and plugin use, the
// newest that both know.
func (p *Process[T]) Protocol() int { return p.protocol }

// Described returns what the plugin said of itself before it was opened.
func (p *Process[T]) Described() Description { return p.described }

// Outdated reports whether the plugin speaks an older protocol than the host's
// newest: the next Fluxgate may not speak it any more.
func (p *Process[T]) Outdated() bool { return p.protocol < protocol }

// OverDataSocket reports whether the plugin's method is called over a data socket. A
// plugin that offers none, or whose socket has broken, is called over gRPC.
func (p *Process[T]) OverDataSocket() bool {
	return p.link != nil && !p.link.isBroken()
}

// OffersDataSocket reports whether the plugin has named a data socket when it was
// opened, of use or not. A host that calls over gRPC alone does not ask for one.
func (p *Process[T]) OffersDataSocket() bool { return p.offered }

// Check asks the plugin whether it would work now.
func (p *Process[T]) Check(ctx context.Context) error {
	_, err := p.remote.Check(ctx, &wire.Nothing{})
	return fromWire(err)
}

// Ping asks the process for a sign of life. It is given beside the plugin's own
// methods, however long these take, and any answer is one. The error is ctx's,
// or wraps [ErrUnavailable] when the process cannot be reached.
func (p *Process[T]) Ping(ctx context.Context) error {
	_, err := p.health.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: plugin.GRPCServiceName})
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return fromWire(err)
	default:
		return nil
	}
}

// Pid returns the process id.
func (p *Process[T]) Pid() int {
	if p.cmd != nil {
		return p.cmd.Process.Pid
	}
	return p.pid
}

// Done is closed when the process has ended, or an attached one was let go of.
func (p *Process[T]) Done() <-chan struct{} { return p.done }

// Stop lets the plugin finish the calls under way and close, for as long as ctx
// lasts, and ends its process. What does not leave within a second more is
// killed. An attached process lives on, and waits for the next host. The error
// is the plugin's own about closing.
func (p *Process[T]) Stop(ctx context.Context) error {
	p.leaving.Store(true)
	_, err := p.remote.Drain(ctx, &wire.Nothing{})
	p.leave()
	if p.link != nil {
		p.link.close(errEnded)
	}
	return fromWire(err)
}

// Kill ends the process at once, whatever state it is in, and what it has
// started, unless it was attached. Stop is to be called nevertheless: it frees
// what the host holds.
func (p *Process[T]) Kill() {
	p.leaving.Store(true)
	p.end()
}

// pipeTimeout is how long the pipes of a process are waited for after its end.
const pipeTimeout = 100 * time.Millisecond

// leave asks the process to leave, ends it, and returns when it is gone.
// go-plugin's own Kill waits for a stopped process without end, and for one
// whose pipes a child holds; a SIGKILL from outside frees it.
func (p *Process[T]) leave() {
	if p.cmd == nil {
		p.detach()
		return
	}
	gone := make(chan struct{})
	go func() {
		p.client.Kill()
		close(gone)
	}()
	select {
	case <-gone:
		return
	case <-time.After(stopTimeout):
	}
	p.end()
	<-p.done
	select {
	case <-gone:
	case <-time.After(pipeTimeout):
	}
}

// bury waits until the process has ended, and kills what it has started: that
// may hold on to the pipes by whose end go-plugin tells that a process is dead.
// What has left the group lives on, with the pipes.
func (p *Process[T]) bury() {
	defer close(p.done)
	if p.cmd.Process == nil { // it could not be started
		return
	}
	err := p.cmd.Process.WithHandle(func(pidfd uintptr) { awaitEnd(int(pidfd)) })
	if err != nil && !errors.Is(err, os.ErrProcessDone) { // the kernel has no such handles
		for !p.client.Exited() {
			time.Sleep(pipeTimeout)
		}
	}
	_ = p.killGroup()
}

func (p *Process[T]) killGroup() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }

// command prepares the process, in a group of its own: the terminal's signals
// are for the host, and what the plugin starts can be ended with it.
func (p *Process[T]) command(s Spec) {
	var life context.Context
	life, p.end = context.WithCancel(context.Background())
	p.cmd = exec.CommandContext(life, s.Path)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Cancel = p.killGroup
	p.cmd.Env = append(slices.Clone(s.Env), fmt.Sprintf("%s=%d", messageLimitEnv, s.limit()))
	if s.SocketDir != "" {
		p.cmd.Env = append(p.cmd.Env, socketDirEnv+"="+s.SocketDir)
	}
}
