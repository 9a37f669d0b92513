package sdk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"fluxgate/sdk/internal/wire"
)

const (
	// StartTimeout is how long a plugin may take to be ready to be opened, and
	// again to open.
	StartTimeout = 10 * time.Second

	// stopTimeout is how long a plugin may take to leave once it is asked to.
	stopTimeout = 2 * time.Second

	// maxSocketDir leaves room for the socket's name: the kernel takes no path of
	// more than 107 bytes.
	maxSocketDir = 107 - len("/plugin4294967295")

	defaultMessageLimit = 33 << 20 // bytes
)

// A Spec says how to start a plugin.
type Spec struct {
	Name         string         // what the operator calls it
	Path         string         // the program
	Checksum     string         // its sha256 in hexadecimal; empty: not looked at
	Config       map[string]any // settings that the plugin alone understands
	SocketDir    string         // folder for its socket, at most 90 bytes long; empty: the system's
	MessageLimit int            // largest message in either direction, in bytes; 0: 33 MiB
	Log          *slog.Logger   // where its log lines go; nil: slog's default
}

// A Process is a running plugin.
type Process[T any] struct {
	Plugin T
	cmd    *exec.Cmd
	end    context.CancelFunc // kills the process and what it has started
	client *plugin.Client
	remote wire.PluginClient
	alive  context.Context
}

// StartSink starts a sink plugin and opens it. The error wraps [ErrInvalid] when
// only a person can mend it, such as settings that the plugin refuses, a
// program of another kind or protocol, or a wrong checksum; any other may pass.
func StartSink(ctx context.Context, s Spec) (*Process[Sink], error) {
	return start(ctx, kindSink, s, dialSink)
}

// StartInput is like [StartSink], for an input plugin.
func StartInput(ctx context.Context, s Spec) (*Process[Input], error) {
	return start(ctx, kindInput, s, dialInput)
}

// StartResampler is like [StartSink], for a resampler plugin.
func StartResampler(ctx context.Context, s Spec) (*Process[Resampler], error) {
	return start(ctx, kindResampler, s, dialResampler)
}

func start[T any](ctx context.Context, kind string, s Spec, dial func(grpc.ClientConnInterface) T) (*Process[T], error) {
	config, err := json.Marshal(s.Config)
	if err != nil {
		return nil, Invalidf("settings of %s %q: %w", kind, s.Name, err)
	}
	if s.Config == nil {
		config = []byte("{}")
	}
	p := &Process[T]{}
	if err := p.launch(ctx, kind, s); err != nil {
		return nil, fmt.Errorf("start %s %q (%s): %w", kind, s.Name, s.Path, err)
	}
	raw, err := p.dispense(kind)
	if err == nil {
		p.alive, p.Plugin, p.remote = raw.alive, dial(raw.conn), wire.NewPluginClient(raw.conn)
		opening, cancel := context.WithTimeout(ctx, StartTimeout)
		defer cancel()
		_, err = p.remote.Open(opening, &wire.Config{Json: config, Kind: kind})
		err = fromWire(err)
	}
	if err != nil {
		p.kill()
		return nil, fmt.Errorf("open %s %q (%s): %w", kind, s.Name, s.Path, err)
	}
	return p, nil
}

// launch starts the process and shakes hands with it.
func (p *Process[T]) launch(ctx context.Context, kind string, s Spec) error {
	secure, err := s.secure()
	if err != nil {
		return err
	}
	if len(s.SocketDir) > maxSocketDir {
		return Invalidf("the folder for sockets, %s, must have a shorter name, of at most %d bytes", s.SocketDir, maxSocketDir)
	}
	p.command(s)
	p.client = p.clientOf(kind, s, secure)
	defer context.AfterFunc(ctx, p.end)()
	if _, err := p.client.Start(); err != nil {
		p.kill()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return explain(s, err)
	}
	go p.bury()
	return nil
}

// command prepares the process, in a group of its own: the terminal's signals
// are for the host, and what the plugin starts can be ended with it.
func (p *Process[T]) command(s Spec) {
	var life context.Context
	life, p.end = context.WithCancel(context.Background())
	p.cmd = exec.CommandContext(life, s.Path)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Cancel = p.killGroup
	p.cmd.Env = []string{fmt.Sprintf("%s=%d", messageLimitEnv, s.limit())}
	if s.SocketDir != "" {
		p.cmd.Env = append(p.cmd.Env, socketDirEnv+"="+s.SocketDir)
	}
}

func (p *Process[T]) clientOf(kind string, s Spec, secure *plugin.SecureConfig) *plugin.Client {
	log := s.Log
	if log == nil {
		log = slog.Default()
	}
	return plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  handshake,
		Cmd:              p.cmd,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		VersionedPlugins: map[int]plugin.PluginSet{protocol: {kind: bridge{}}},
		Logger:           quiet,
		Stderr:           newRelay(log),
		SyncStdout:       newRelay(log),
		SyncStderr:       newRelay(log),
		StartTimeout:     StartTimeout,
		SecureConfig:     secure,
		SkipHostEnv:      true,
		GRPCDialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(s.limit()), grpc.MaxCallSendMsgSize(s.limit()))},
	})
}

func (s Spec) limit() int {
	if s.MessageLimit == 0 {
		return defaultMessageLimit
	}
	return s.MessageLimit
}

// secure returns the checksum in the form that go-plugin checks. It serves for
// one start only: its hash is never reset.
func (s Spec) secure() (*plugin.SecureConfig, error) {
	if s.Checksum == "" {
		return nil, nil
	}
	sum, err := hex.DecodeString(s.Checksum)
	if err != nil || len(sum) != sha256.Size {
		return nil, Invalidf("checksum %q: must be a sha256 in hexadecimal, 64 digits", s.Checksum)
	}
	return &plugin.SecureConfig{Checksum: sum, Hash: sha256.New()}, nil
}

// explain says what a failed start means, and whose it is to mend.
func explain(s Spec, err error) error {
	text, _, _ := strings.Cut(err.Error(), "\n") // guesses about the cause follow
	switch {
	case errors.Is(err, plugin.ErrChecksumsDoNotMatch):
		return Invalidf("the program's sha256 is not the configured checksum %s", s.Checksum)
	case strings.HasPrefix(text, "error verifying checksum"):
		return Invalidf("%w", err)
	case notRunnable(err):
		return Invalidf("it cannot be run: %w", err)
	case strings.Contains(text, "API version") || strings.HasPrefix(text, "unsupported plugin protocol"):
		return Invalidf("the plugin speaks another protocol than %d, which is the host's: %s", protocol, text)
	case strings.HasPrefix(text, "Unrecognized remote plugin message"):
		return fmt.Errorf("the program left or spoke before it said where it listens, "+
			"as a plugin does: its log lines tell more: %s", text)
	default:
		return err
	}
}

// notRunnable reports whether err says that a program is none, or not for this
// user or machine.
func notRunnable(err error) bool {
	return errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) ||
		errors.Is(err, syscall.ENOEXEC) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

func (p *Process[T]) dispense(kind string) (link, error) {
	client, err := p.client.Client()
	if err != nil {
		return link{}, err
	}
	raw, err := client.Dispense(kind)
	if err != nil {
		return link{}, err
	}
	return raw.(link), nil
}

// Check asks the plugin whether it would work now.
func (p *Process[T]) Check(ctx context.Context) error {
	_, err := p.remote.Check(ctx, &wire.Nothing{})
	return fromWire(err)
}

// Pid returns the process id.
func (p *Process[T]) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process[T]) Done() <-chan struct{} { return p.alive.Done() }

// Stop lets the plugin finish the calls under way and close, for as long as ctx
// lasts, and ends its process. What does not leave within two seconds more is
// killed. The error is the plugin's own about closing.
func (p *Process[T]) Stop(ctx context.Context) error {
	_, err := p.remote.Drain(ctx, &wire.Nothing{})
	p.kill()
	return fromWire(err)
}

// kill ends the process, whatever state it is in, and returns when it is gone.
// go-plugin's own Kill waits for a stopped process without end; a SIGKILL from
// outside frees it.
func (p *Process[T]) kill() {
	gone := make(chan struct{})
	go func() {
		p.client.Kill()
		close(gone)
	}()
	select {
	case <-gone:
	case <-time.After(stopTimeout):
		p.end()
		<-gone
	}
}

// bury waits until the process has ended, and kills what it has started: that
// may hold on to the pipes by whose end go-plugin tells that a process is dead.
func (p *Process[T]) bury() {
	err := p.cmd.Process.WithHandle(func(pidfd uintptr) { awaitEnd(int(pidfd)) })
	if err == nil || errors.Is(err, os.ErrProcessDone) { // else the kernel has no such handles
		_ = p.killGroup()
	}
}

func (p *Process[T]) killGroup() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }
