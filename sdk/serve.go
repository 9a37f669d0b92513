package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"fluxgate/sdk/internal/wire"
)

// ServeSink runs the calling program as a sink plugin. When the host asks, it
// lays the plugin's settings over defaults and passes them to open, which
// should touch no network and create nothing. It returns when the host is done
// with the plugin, or is gone.
//
// What the program logs with slog, and what it prints, appears in the host's
// log. A panic in the plugin's method becomes an error of that call.
//
// The fields of C are the plugin's settings: each has its name in the tag koanf,
// what it is in the tag help, the unit of a number in the tag unit, and
// required:"true" where there is no default. Fluxgate refuses others, tells the
// operator of these, and calls the Validate method of C, if it has one, whose
// error refuses the settings.
//
// A plugin may have the methods of [Checker] and [io.Closer], a sink that of
// [BulkSink], and an input that of [Recycler]. One of such a name with another
// signature would never be called, so the plugin is refused, whatever it is meant
// for: give it another name.
//
// Started by hand with --attach the program waits, such as under a debugger, and
// prints how to start a Fluxgate that uses it.
func ServeSink[C any](defaults C, open func(context.Context, C) (Sink, error)) {
	serve(kindSink, defaults, open, registerSink, answerSink)
}

// ServeInput is like [ServeSink], for an input plugin.
func ServeInput[C any](defaults C, open func(context.Context, C) (Input, error)) {
	serve(kindInput, defaults, open, registerInput, answerInput)
}

// ServeResampler is like [ServeSink], for a resampler plugin.
func ServeResampler[C any](defaults C, open func(context.Context, C) (Resampler, error)) {
	serve(kindResampler, defaults, open, registerResampler, nil)
}

// serve serves one kind of plugin: register its portable plane, and answer, unless
// nil, its data socket.
func serve[C, T any](kind string, defaults C, open func(context.Context, C) (T, error), register func(*grpc.Server, *guest[T]), answer func(*guest[T]) answerer) {
	g := &guest[T]{}
	o := &opener[C, T]{kind: kind, defaults: defaults, open: open, guest: g}
	if answer != nil {
		o.answer = answer(g)
	}
	services := func(s *grpc.Server) {
		wire.RegisterPluginServer(s, o)
		register(s, g)
	}
	if len(os.Args) == 2 && os.Args[1] == attachFlag {
		g.reopens = true
		serveAttached(services)
		leave(g)
		return
	}
	if os.Getenv(cookieName) != cookieValue {
		fmt.Fprintf(os.Stderr, "%[1]s is a plugin of Fluxgate, of kind %[2]s: fluxgate starts it when its configuration names it.\n"+
			"Test it with: fluxgate plugin test %[1]s. Debug it with: %[1]s %[3]s\n", os.Args[0], kind, attachFlag)
		os.Exit(1)
	}
	serveHost(services, g)
}

// serveHost serves the host that has started this process, until it is done with
// the plugin or gone.
func serveHost[T any](services func(*grpc.Server), g *guest[T]) {
	// A host that died leaves broken pipes behind, and a log line must not be
	// what this program dies of before it has cleaned up.
	signal.Ignore(syscall.SIGPIPE)
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))

	gone := make(chan struct{})
	go func() {
		hostGone()
		close(gone)
	}()
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  handshake,
		Logger:           quiet,
		GRPCServer:       func(options []grpc.ServerOption) *grpc.Server { return newServer(options, gone) },
		VersionedPlugins: versions(bridge{serve: services}),
	})
	leave(g)
	select {
	case <-gone:
		_ = os.Remove(os.Getenv(socketDirEnv)) // of the host's plugins the last succeeds
	default: // the host goes on using it
	}
}

// newServer returns a server that stops when the host is gone.
func newServer(options []grpc.ServerOption, gone <-chan struct{}) *grpc.Server {
	s := grpc.NewServer(append(options, grpc.MaxRecvMsgSize(messageLimit()), grpc.UnaryInterceptor(answered))...)
	go func() {
		<-gone
		s.Stop()
	}()
	return s
}

// leaveTimeout is how long Close and the calls before it may take once the
// plugin is to leave.
const leaveTimeout = 2 * time.Second

// leave closes the plugin. What does not return must not keep the process: its
// host may be gone.
func leave[T any](g *guest[T]) {
	g.offers.end()
	closed := make(chan error, 1)
	go func() { closed <- g.close() }()
	select {
	case err := <-closed:
		if err != nil {
			slog.Error("close", "err", err)
		}
	case <-time.After(leaveTimeout):
		slog.Error("leaving, though a call or Close has not returned")
	}
}

// messageLimit returns the largest message that the host may send, in bytes.
func messageLimit() int {
	n, err := strconv.Atoi(os.Getenv(messageLimitEnv))
	if err != nil || n <= 0 {
		return defaultMessageLimit
	}
	return n
}

// answered makes an error of the plugin one that crosses the wire.
func answered(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (resp any, err error) {
	err = recovered(func() error {
		resp, err = handle(ctx, req)
		return err
	})
	return resp, toWire(err)
}

// recovered turns a panic of the plugin into an error of the call, so that it
// costs one request and not the process.
func recovered(call func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			slog.Error("panic", "value", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return call()
}

// A guest is the opened plugin inside its process. Calls pass through it, so
// that it is closed after the last one has returned.
type guest[T any] struct {
	mu     sync.RWMutex // held for reading by each call
	plugin *T
	closed bool

	sending sync.RWMutex // held for reading until an answer has left over the data socket

	offers  offers
	reopens bool // for the next host
}

var errNotOpen = errors.New("the plugin is not open")

// call refuses what comes while the plugin closes: that may wait for long.
func (g *guest[T]) call(f func(T) error) error {
	if !g.mu.TryRLock() {
		return Unavailablef("%w", errNotOpen)
	}
	defer g.mu.RUnlock()
	if g.plugin == nil || g.closed {
		return Unavailablef("%w", errNotOpen)
	}
	return f(*g.plugin)
}

func (g *guest[T]) set(p T) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.plugin != nil && !g.reopens {
		return Invalidf("the plugin is already open")
	}
	err := g.shut() // what a host that died has left open
	g.plugin, g.closed = &p, false
	return err
}

// close closes the plugin when the last call has returned, and returns when all are
// answered.
func (g *guest[T]) close() error {
	g.mu.Lock()
	err := g.shut()
	g.mu.Unlock()
	g.sending.Lock()
	defer g.sending.Unlock()
	return err
}

// shut closes the plugin, unless it is closed. The caller holds mu.
func (g *guest[T]) shut() error {
	if g.plugin == nil || g.closed {
		return nil
	}
	g.closed = true
	if c, ok := any(*g.plugin).(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// An opener makes the plugin once its settings have arrived.
type opener[C, T any] struct {
	wire.UnimplementedPluginServer
	kind     string
	defaults C
	open     func(context.Context, C) (T, error)
	guest    *guest[T]
	answer   answerer // of the data socket, of which there is none without a function
}

func (o *opener[C, T]) Open(ctx context.Context, w *wire.Config) (*wire.Opened, error) {
	if w.GetKind() != o.kind {
		return nil, wrongKind(o.kind, w.GetKind())
	}
	config := o.defaults
	detach(reflect.ValueOf(&config).Elem()) // of what the next Open and Describe see
	if err := configureJSON(w.GetJson(), &config); err != nil {
		return nil, err
	}
	p, err := o.open(ctx, config)
	if err == nil {
		err = checkAbilities(p, abilitiesOf(o.kind)...)
	}
	if err != nil {
		return nil, err
	}
	if err := o.guest.set(p); err != nil || !w.GetData() || o.answer.answer == nil {
		return &wire.Opened{}, err
	}
	offer, err := o.guest.offers.next()
	if err != nil {
		slog.Warn("there is no data socket, which only costs speed", "err", err)
		return &wire.Opened{}, nil
	}
	limit := messageLimit()
	if told := w.GetMessageLimit(); told > 0 {
		limit = int(told)
	}
	go offer.serve(o.answer, limit)
	return &wire.Opened{DataSocket: offer.path}, nil
}

func (o *opener[C, T]) Describe(context.Context, *wire.Nothing) (*wire.Description, error) {
	return describe(o.kind, o.defaults), nil
}

func (o *opener[C, T]) Check(ctx context.Context, _ *wire.Nothing) (*wire.Nothing, error) {
	return &wire.Nothing{}, o.guest.call(func(p T) error {
		if c, ok := any(p).(Checker); ok {
			return c.Check(ctx)
		}
		return nil
	})
}

func (o *opener[C, T]) Drain(context.Context, *wire.Nothing) (*wire.Nothing, error) {
	return &wire.Nothing{}, o.guest.close()
}
