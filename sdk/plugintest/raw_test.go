package plugintest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"fluxgate/sdk"
	"fluxgate/sdk/internal/wire"
)

// A rawLiar is a sink that is made without the sdk, which would not let it lie
// about being open.
type rawLiar struct {
	wire.UnimplementedPluginServer
	wire.UnimplementedSinkServer
	lie string

	mu      sync.Mutex
	path    string
	drained bool
}

// serveRaw serves until it is asked to leave or its host is gone.
func serveRaw(lie string) {
	host := os.Getppid()
	path := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), fmt.Sprint("raw", os.Getpid()))
	_ = os.Remove(path) // of a process that had this number and was killed
	listener, err := net.Listen("unix", path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	r := &rawLiar{lie: lie}
	s := grpc.NewServer(grpc.UnknownServiceHandler(shutDown))
	wire.RegisterPluginServer(s, r)
	wire.RegisterSinkServer(s, r)
	grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	go func() {
		for os.Getppid() == host {
			time.Sleep(10 * time.Millisecond)
		}
		syscall.Exit(0)
	}()
	fmt.Printf("1|2|unix|%s|grpc|\n", path)
	_ = s.Serve(listener)
}

func shutDown(_ any, stream grpc.ServerStream) error {
	if method, _ := grpc.MethodFromServerStream(stream); method != "/plugin.GRPCController/Shutdown" {
		return status.Error(codes.Unimplemented, method)
	}
	_ = stream.SendMsg(&wire.Nothing{})
	syscall.Exit(0)
	return nil
}

func (r *rawLiar) Describe(context.Context, *wire.Nothing) (*wire.Description, error) {
	return &wire.Description{Kind: "sink", Version: "1", Setting: []*wire.Setting{{Name: "path", Type: "text", Help: "where it appends lines"}}}, nil
}

func (r *rawLiar) Open(_ context.Context, c *wire.Config) (*wire.Opened, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case c.GetKind() == "sink":
	case r.lie == "opening for everybody":
		return &wire.Opened{}, nil
	default:
		return nil, status.Error(codes.InvalidArgument, "this is a sink")
	}
	if r.lie != "opening twice" && r.path != "" {
		return nil, status.Error(codes.InvalidArgument, "it is open")
	}
	var settings struct{ Path string }
	if err := json.Unmarshal(c.GetJson(), &settings); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	r.path = settings.Path
	if does := onDataSocket[r.lie]; does != nil && c.GetData() {
		return &wire.Opened{DataSocket: offer(does)}, nil
	}
	return &wire.Opened{}, nil
}

// onDataSocket is what a liar does with the listener of a data socket.
var onDataSocket = map[string]func(net.Listener){
	"listening at no data socket": func(l net.Listener) {
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		_ = l.Close()
	},
	"hanging up on its data socket": func(l net.Listener) {
		if conn, err := l.Accept(); err == nil {
			_ = conn.Close()
		}
	},
	"babbling on its data socket": func(l net.Listener) {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			_, _ = conn.Write([]byte(strings.Repeat("bla", 100)))
		}
		_ = conn.Close()
	},
}

// offer returns a data socket.
func offer(does func(net.Listener)) string {
	path := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), fmt.Sprint("data", os.Getpid()))
	listener, err := net.Listen("unix", path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return ""
	}
	go does(listener)
	return path
}

func (r *rawLiar) Check(context.Context, *wire.Nothing) (*wire.Nothing, error) {
	return &wire.Nothing{}, nil
}

func (r *rawLiar) Drain(context.Context, *wire.Nothing) (*wire.Nothing, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drained = true
	return &wire.Nothing{}, nil
}

func (r *rawLiar) Write(_ context.Context, w *wire.Batch) (*wire.Nothing, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.path == "" && r.lie == "working unopened", r.drained && r.lie == "working when drained":
		return &wire.Nothing{}, nil
	case r.drained && r.lie == "refusing when drained":
		return nil, status.Error(codes.InvalidArgument, "it has drained")
	case r.path == "" || r.drained:
		return nil, status.Error(codes.Unavailable, "it is not open")
	}
	b := make(sdk.Batch, len(w.GetMetric()))
	for i, metric := range w.GetMetric() {
		b[i] = sdk.Datapoint{Metric: string(metric), Timestamp: w.GetTimestamp()[i], Value: w.GetValue()[i]}
	}
	if err := (&liar{path: r.path}).append(b); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return &wire.Nothing{}, nil
}
