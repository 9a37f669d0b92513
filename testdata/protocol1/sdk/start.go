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
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"fluxgate/testdata/protocol1/wire"
)

const (
	// StartTimeout is how long a plugin may take to be ready to be opened, and
	// again to open.
	StartTimeout = 10 * time.Second

	// stopTimeout is how long a plugin may take to leave once its host has asked
	// it to.
	stopTimeout = 800 * time.Millisecond

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
	p := &Process[T]{done: make(chan struct{})}
	if err := p.launch(ctx, kind, s); err != nil {
		return nil, fmt.Errorf("start %s %q (%s): %w", kind, s.Name, s.Path, err)
	}
	conn, err := p.dispense(kind)
	if err == nil {
		p.dial(conn, dial)
		opening, cancel := context.WithTimeout(ctx, StartTimeout)
		defer cancel()
		_, err = p.remote.Open(opening, &wire.Config{Json: config, Kind: kind})
		err = fromWire(err)
	}
	if err != nil {
		p.leave()
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
	_, err = p.client.Start()
	go p.bury()
	if err != nil {
		p.leave()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return explain(s, err)
	}
	return nil
}

func (p *Process[T]) clientOf(kind string, s Spec, secure *plugin.SecureConfig) *plugin.Client {
	log := s.Log
	if log == nil {
		log = slog.Default()
	}
	limit := newThrottle(log)
	return plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  handshake,
		Cmd:              p.cmd,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		VersionedPlugins: map[int]plugin.PluginSet{protocol: {kind: bridge{}}},
		Logger:           quiet,
		Stderr:           newRelay(log, limit),
		SyncStdout:       newRelay(log, limit),
		SyncStderr:       newRelay(log, limit),
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
