package sdk

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"fluxgate/sdk/internal/wire"
)

// The versions of the protocol in fluxgate.proto that both ends speak: the
// newest, and the one before it. A host and a plugin use the newest that both
// know.
const (
	protocol           = 2
	oldestProtocol     = 1
	describingProtocol = 2 // the first with Describe
)

// versions has b served, or called, in every version.
func versions(b bridge) map[int]plugin.PluginSet {
	all := make(map[int]plugin.PluginSet)
	for v := oldestProtocol; v <= protocol; v++ {
		all[v] = plugin.PluginSet{bridgeName: b}
	}
	return all
}

// bridgeName is what each end calls the bridge. The other does not see it.
const bridgeName = "plugin"

// The environment that a host gives its plugins besides go-plugin's own. The
// names are not under FLUXGATE_, where the host reads its settings.
const (
	cookieName      = "PLUGIN_OF_FLUXGATE"
	cookieValue     = "fluxgate.v1"
	messageLimitEnv = "PLUGIN_MESSAGE_LIMIT"
	socketDirEnv    = plugin.EnvUnixSocketDir
)

var handshake = plugin.HandshakeConfig{
	ProtocolVersion:  protocol,
	MagicCookieKey:   cookieName,
	MagicCookieValue: cookieValue,
}

// quiet turns go-plugin's own logging off. It must be Off, not a null logger:
// at any other level go-plugin parses what a plugin prints, and panics on JSON
// that it does not expect.
var quiet = hclog.New(&hclog.LoggerOptions{Level: hclog.Off})

// The kinds of plugin, as the operator and the handshake spell them.
const (
	kindInput     = "input"
	kindSink      = "sink"
	kindResampler = "resampler"
)

// A bridge is the one go-plugin type in Fluxgate. It registers services on the
// plugin's side; on the host's it hands over the bare connection.
type bridge struct {
	plugin.NetRPCUnsupportedPlugin
	serve func(*grpc.Server)
}

func (b bridge) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	b.serve(s)
	return nil
}

func (bridge) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return c, nil
}

// Sink

type sinkServer struct {
	wire.UnimplementedSinkServer
	guest *guest[Sink]
}

func registerSink(s *grpc.Server, g *guest[Sink]) {
	wire.RegisterSinkServer(s, sinkServer{guest: g})
}

func (s sinkServer) Write(ctx context.Context, w *wire.Batch) (*wire.Nothing, error) {
	return &wire.Nothing{}, s.guest.call(func(sink Sink) error {
		b, err := unpackBatch(w)
		if err != nil {
			return err
		}
		return sink.Write(ctx, b)
	})
}

type remoteSink struct {
	wire.SinkClient
	link *link // nil: none
}

func dialSink(c grpc.ClientConnInterface, l *link) Sink { return remoteSink{wire.NewSinkClient(c), l} }

func (s remoteSink) Write(ctx context.Context, b Batch) error { return s.WriteAll(ctx, []Batch{b}) }

// WriteAll implements [BulkSink]. A plugin without a data socket is given one batch
// after the other.
func (s remoteSink) WriteAll(ctx context.Context, batches []Batch) error {
	if s.link != nil {
		if err := s.link.write(ctx, batches); err != errNoLink {
			return ofCall(ctx, err)
		}
	}
	for _, b := range batches {
		if _, err := s.SinkClient.Write(ctx, packBatch(b)); err != nil {
			return fromCall(ctx, err)
		}
	}
	return nil
}

// Input

type inputServer struct {
	wire.UnimplementedInputServer
	guest *guest[Input]
}

func registerInput(s *grpc.Server, g *guest[Input]) {
	wire.RegisterInputServer(s, inputServer{guest: g})
}

func (s inputServer) Decode(ctx context.Context, w *wire.Request) (out *wire.Submission, err error) {
	err = s.guest.call(func(in Input) error {
		sub, err := in.Decode(ctx, unpackRequest(w))
		out = packSubmission(sub)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

type remoteInput struct {
	wire.InputClient
	link *gathering // nil: none
}

func dialInput(c grpc.ClientConnInterface, l *link) Input {
	i := remoteInput{InputClient: wire.NewInputClient(c)}
	if l != nil {
		i.link = newGathering(l)
	}
	return i
}

func (i remoteInput) Decode(ctx context.Context, r Request) (Submission, error) {
	if i.link != nil {
		if s, err := i.link.decode(ctx, r); err != errNoLink {
			return s, ofCall(ctx, err)
		}
	}
	w, err := i.InputClient.Decode(ctx, packRequest(r))
	if err != nil {
		return Submission{}, fromCall(ctx, err)
	}
	return unpackSubmission(w)
}

// Resampler

type resamplerServer struct {
	wire.UnimplementedResamplerServer
	guest *guest[Resampler]
}

func registerResampler(s *grpc.Server, g *guest[Resampler]) {
	wire.RegisterResamplerServer(s, resamplerServer{guest: g})
}

func (s resamplerServer) Resample(ctx context.Context, w *wire.ResampleCall) (out *wire.Series, err error) {
	err = s.guest.call(func(r Resampler) error {
		series, err := unpackSeries(w.GetSeries())
		if err != nil {
			return err
		}
		series, err = r.Resample(ctx, series, time.Duration(w.GetStep())*time.Second)
		out = packSeries(series)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

type remoteResampler struct{ wire.ResamplerClient }

func dialResampler(c grpc.ClientConnInterface, _ *link) Resampler {
	return remoteResampler{wire.NewResamplerClient(c)}
}

func (r remoteResampler) Resample(ctx context.Context, s Series, step time.Duration) (Series, error) {
	w, err := r.ResamplerClient.Resample(ctx, &wire.ResampleCall{Series: packSeries(s), Step: int64(step / time.Second)})
	if err != nil {
		return Series{}, fromWire(err)
	}
	return unpackSeries(w)
}
