package sdk

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"fluxgate/sdk/internal/wire"
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
	Pin          string         // for people: what pins Checksum, and how to change that
	Config       map[string]any // settings that the plugin alone understands
	SocketDir    string         // folder for its socket, at most 90 bytes long; empty: the system's
	MessageLimit int            // largest message in either direction, in bytes; 0: 33 MiB
	Env          []string       // more of the program's environment, as NAME=VALUE; it has nothing of the host's
	Log          *slog.Logger   // where its log lines go; nil: slog's default

	// Portable has every call go over gRPC, as those to plugins in other languages do,
	// also where the plugin offers a data socket.
	Portable bool

	// Attach is what a plugin printed that was started with --attach. Instead of
	// starting Path the host speaks to that process, and never ends it.
	Attach string
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

func start[T any](ctx context.Context, kind string, s Spec, dial func(grpc.ClientConnInterface, *link) T) (*Process[T], error) {
	config, err := json.Marshal(s.Config)
	if err != nil {
		return nil, Invalidf("settings of %s %q: %w", kind, s.Name, err)
	}
	if s.Config == nil {
		config = []byte("{}")
	}
	p := &Process[T]{done: make(chan struct{})}
	if err := p.connect(ctx, kind, s); err != nil {
		return nil, err
	}
	socket, err := p.open(ctx, kind, config, !s.Portable, s.limit())
	if err != nil {
		return nil, fmt.Errorf("open %s %q (%s): %w", kind, s.Name, s.program(), p.giveUp(err))
	}
	p.join(ctx, s, socket)
	p.Plugin = dial(p.conn, p.link)
	return p, nil
}

// program returns what s starts, or what it attaches to.
func (s Spec) program() string {
	if s.Attach != "" {
		return s.Attach
	}
	return s.Path
}

// connect starts the process, or finds the one that waits, and connects to it.
func (p *Process[T]) connect(ctx context.Context, kind string, s Spec) error {
	err := p.launch(ctx, s)
	if err == nil {
		if err = p.dispense(ctx); err != nil {
			p.leave()
		}
	}
	if err != nil {
		return fmt.Errorf("start %s %q (%s): %w", kind, s.Name, s.program(), err)
	}
	return nil
}

// join connects to the data socket that the plugin offers, if it does. Without it
// the calls go over the portable plane.
func (p *Process[T]) join(ctx context.Context, s Spec, socket string) {
	if socket == "" || s.Portable {
		return
	}
	p.offered = true
	log := s.log()
	link, err := dialLink(ctx, s, p.Pid(), socket)
	if err != nil {
		log.Warn("the plugin's data socket cannot be used, which only costs speed", "socket", socket, "err", err)
		return
	}
	p.link = link
	go p.follow(link, log)
}

// partingTime is how much longer than its data socket a process that ends may live.
const partingTime = time.Second

// follow closes the link when the process has ended, and tells of one that breaks
// under a process that lives on.
func (p *Process[T]) follow(l *link, log *slog.Logger) {
	select {
	case <-p.done:
		l.close(errEnded)
		return
	case <-l.broken:
	}
	select {
	case <-p.done:
	case <-time.After(partingTime):
		if !p.leaving.Load() {
			log.Warn("the plugin's data socket has broken, which only costs speed until the plugin is started again", "err", l.why)
		}
	}
}

// open opens the plugin if it describes itself as one of that kind with those
// settings, or does not describe itself. It returns the data socket that the plugin
// offers.
func (p *Process[T]) open(ctx context.Context, kind string, config []byte, data bool, limit int) (socket string, err error) {
	ctx, cancel := context.WithTimeout(ctx, StartTimeout)
	defer cancel()
	description, err := p.Describe(ctx)
	if err != nil {
		return "", err
	}
	p.described = description
	if err := description.admit(kind, config); err != nil {
		return "", err
	}
	opened, err := p.remote.Open(ctx, &wire.Config{Json: config, Kind: kind, Data: data, MessageLimit: uint32(min(uint64(limit), math.MaxUint32))})
	return opened.GetDataSocket(), fromWire(err)
}

// launch starts the process and shakes hands with it.
func (p *Process[T]) launch(ctx context.Context, s Spec) error {
	if s.Attach != "" {
		return p.attach(s)
	}
	if err := s.verify(); err != nil {
		return err
	}
	if len(s.SocketDir) > maxSocketDir {
		return Invalidf("the folder for sockets, %s, must have a shorter name, of at most %d bytes", s.SocketDir, maxSocketDir)
	}
	p.command(s)
	relays := s.relays()
	p.program = newProgram(p.cmd, relays)
	config := s.client(relays)
	config.RunnerFunc, config.Stderr = p.program.run, p.program.stderr
	p.client = plugin.NewClient(config)
	defer context.AfterFunc(ctx, p.end)()
	_, err := p.client.Start()
	go p.bury()
	if err != nil {
		p.leave()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return p.explain(err)
	}
	p.protocol = p.client.NegotiatedVersion()
	return nil
}

// relays returns what makes a relay for each stream of one process.
func (s Spec) relays() func() *relay {
	log := s.log()
	limit := newThrottle(log)
	return func() *relay { return newRelay(log, limit) }
}

// client returns how every process is spoken to.
func (s Spec) client(newRelay func() *relay) *plugin.ClientConfig {
	return &plugin.ClientConfig{
		HandshakeConfig:  handshake,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		VersionedPlugins: versions(bridge{}),
		Logger:           quiet,
		SyncStdout:       newRelay(),
		SyncStderr:       newRelay(),
		StartTimeout:     StartTimeout,
		SkipHostEnv:      true,
		GRPCDialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(s.limit()), grpc.MaxCallSendMsgSize(s.limit()))},
	}
}

func (s Spec) log() *slog.Logger { return cmp.Or(s.Log, slog.Default()) }

func (s Spec) limit() int {
	if s.MessageLimit == 0 {
		return defaultMessageLimit
	}
	return s.MessageLimit
}
