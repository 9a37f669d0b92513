package sdk_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/plugintest"
)

// The plugins of these tests are this test binary, started again. Under its own
// name it is a sink that does as its settings say; under a name that begins with
// trapPrefix it is what trap makes of it.

const trapPrefix = "trap-"

// poison is a line at which go-plugin's own log reader panics.
const poison = `{"@message": 5}`

func TestMain(m *testing.M) {
	if act, ok := strings.CutPrefix(filepath.Base(os.Args[0]), trapPrefix); ok {
		if odd, ok := strings.CutPrefix(act, "odd-"); ok {
			serveOdd(odd)
		} else {
			trap(act)
		}
		leave()
	}
	flag.Parse()
	_ = flag.Set("test.parallel", "16") // the parallel tests wait more than they work
	plugintest.Main(m, func() {
		serveActor()
		leave()
	})
}

// leave ends a plugin as a return from main does, without the second for which
// the race detector waits then.
func leave() { syscall.Exit(0) }

func trap(act string) {
	host := os.Getppid()
	switch act {
	case "sink":
		serveActor()
	case "input":
		sdk.ServeInput(sdk.NoConfig{}, func(context.Context, sdk.NoConfig) (sdk.Input, error) { return echo{}, nil })
	case "fast-sink", "fast-input":
		serveFast(strings.TrimPrefix(act, "fast-"))
	case "waiter":
		sdk.ServeInput(sdk.NoConfig{}, func(context.Context, sdk.NoConfig) (sdk.Input, error) { return waiter{}, nil })
	case "demanding":
		sdk.ServeSink(demands{Depth: 3, Names: []string{"a"}, Waits: []time.Duration{time.Second}}, func(context.Context, demands) (sdk.Sink, error) {
			return actor{}, nil
		})
	case "resampler":
		sdk.ServeResampler(sdk.NoConfig{}, func(context.Context, sdk.NoConfig) (sdk.Resampler, error) { return last{}, nil })
	case "speaks-early-on-stderr":
		fmt.Fprintln(os.Stderr, poison)
		serveActor()
	case "speaks-early-on-stdout":
		fmt.Println(poison)
		serveActor()
	case "speaks-late-on-stdout":
		stdout := os.Stdout // go-plugin puts another in its place
		sdk.ServeSink(sdk.NoConfig{}, func(context.Context, sdk.NoConfig) (sdk.Sink, error) {
			_, err := fmt.Fprintf(stdout, "%s\na late word\n", strings.Repeat("x", 200<<10))
			return actor{}, err
		})
	case "dies-in-open":
		sdk.ServeSink(sdk.NoConfig{}, func(context.Context, sdk.NoConfig) (sdk.Sink, error) {
			go panic("the disk is upside down")
			select {}
		})
	case "floods":
		for {
			if _, err := fmt.Print(strings.Repeat("x", 64<<10)); err != nil {
				return
			}
		}
	case "exits":
		fmt.Fprintln(os.Stderr, "there is no licence on this machine")
		os.Exit(3)
	case "leaves-a-child":
		if err := (actor{stderr: os.Stderr}).beget(nil); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	case "silent":
		awaitOrphanhood(host)
	case "mute":
		socket, err := net.Listen("unix", filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "mute"))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		fmt.Printf("1|2|unix|%s|grpc|\n", socket.Addr())
		awaitOrphanhood(host)
	case "host":
		runHost()
	case "slow-start":
		fmt.Fprintf(os.Stderr, "%d\n", os.Getpid())
		awaitOrphanhood(host)
		serveActor()
	default: // a handshake line, spelled as a name may be
		fmt.Println(strings.ReplaceAll(act, "_", "/"))
		awaitOrphanhood(host)
	}
}

func awaitOrphanhood(host int) {
	for os.Getppid() == host {
		time.Sleep(20 * time.Millisecond)
	}
}

func serveActor() {
	stderr := os.Stderr
	sdk.ServeSink(settings{Wait: time.Second}, func(ctx context.Context, s settings) (sdk.Sink, error) {
		switch s.Act {
		case "refuse":
			return nil, sdk.Invalidf("text %q is not to my taste", s.Text)
		case "panic in open":
			panic(s.Text)
		case "hang in open":
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return actor{s, stderr}, nil
	})
}

// runHost is a host of one actor, with the settings in its argument. It tells
// the plugin's process id and writes to it until it is killed.
func runHost() {
	p, err := sdk.StartSink(context.Background(), sdk.Spec{
		Name: "actor", Path: os.Args[1], SocketDir: os.Args[2],
		Config: map[string]any{"act": os.Args[3], "path": os.Args[4]},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Pid())
	_ = p.Plugin.Write(context.Background(), sdk.Batch{{Metric: "a"}})
	<-p.Done()
}

type settings struct {
	Act  string        `koanf:"act" help:"what the sink does"`
	Text string        `koanf:"text" help:"what it says | or writes"`
	Path string        `koanf:"path" help:"where it leaves a mark"`
	Wait time.Duration `koanf:"wait" help:"how long it takes"`
}

func (s settings) Validate() error {
	if s.Wait < 0 {
		return fmt.Errorf("wait %v: must not be negative", s.Wait)
	}
	return nil
}

type demands struct {
	Path  string          `koanf:"path" required:"true" help:"where it is"`
	Depth int             `koanf:"depth" unit:"bytes" help:"how deep"`
	Names []string        `koanf:"names" help:"how it is called"`
	Waits []time.Duration `koanf:"waits"`
	TLS   struct {
		CA string `koanf:"ca" required:"true"`
	} `koanf:"tls"`
	Rules  []rule         `koanf:"rules"`
	Labels map[string]any `koanf:"labels"`
	NoName string
}

// An actor is a sink that does as its settings say.
type actor struct {
	settings
	stderr *os.File
}

func (a actor) Write(ctx context.Context, b sdk.Batch) error {
	switch a.Act {
	case "print":
		a.print()
	case "panic":
		panic(a.Text)
	case "exit":
		os.Exit(3)
	case "hang":
		slog.Info("entered")
		<-ctx.Done()
		return ctx.Err()
	case "read": // which blocks while the path is a pipe that nobody writes to
		slog.Info("entered")
		_, err := os.ReadFile(a.Path)
		slog.Info("left")
		return err
	case "child":
		return a.beget(nil)
	case "estranged child":
		return a.beget(&syscall.SysProcAttr{Setsid: true})
	case "environment":
		return errors.New(strings.Join(os.Environ(), "\n"))
	case "unavailable":
		return sdk.Unavailablef("far end: %s", b[0].Metric)
	case "invalid":
		return sdk.Invalidf("%d datapoints: %s", len(b), b[0].Metric)
	case "odd":
		return errors.New(b[0].Metric)
	}
	return nil
}

// print says the text on every way that a plugin has.
func (a actor) print() {
	fmt.Fprintln(a.stderr, a.Text)
	fmt.Fprintln(os.Stderr, a.Text)
	fmt.Println(a.Text)
	slog.Warn("printed", "text", a.Text, slog.Group("of", "bytes", len(a.Text)))
}

// beget starts a process that holds on to the plugin's standard error.
func (a actor) beget(attributes *syscall.SysProcAttr) error {
	child := exec.Command("/bin/sleep", "600") // a plugin has no PATH
	child.SysProcAttr = attributes
	child.Stderr = a.stderr
	if err := child.Start(); err != nil {
		return err
	}
	slog.Info("child", "pid", child.Process.Pid)
	return nil
}

func (a actor) Check(context.Context) error {
	if a.Text != "" {
		return sdk.Unavailablef("%s", a.Text)
	}
	return nil
}

func (a actor) Close() error {
	slog.Info("closed")
	switch a.Act {
	case "note":
		f, err := os.OpenFile(a.Path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(f, "closed")
		return errors.Join(err, f.Close())
	case "slow to close":
		time.Sleep(a.Wait)
	case "unclean":
		return sdk.Unavailablef("%s", a.Text)
	}
	return nil
}

// An echo is an input that answers with what it was asked.
type echo struct{}

func (echo) Decode(_ context.Context, r sdk.Request) (sdk.Submission, error) {
	var size int
	if want := r.Header.Get("X-Reply-Bytes"); want != "" {
		if _, err := fmt.Sscan(want, &size); err != nil {
			return sdk.Submission{}, err
		}
	}
	return sdk.Submission{
		Key:     r.Query,
		Invalid: r.Header.Get("X-Text") + fmt.Sprint(len(r.Body)),
		Dropped: r.Header["X-Many"],
		Batch:   sdk.Batch{{Metric: r.Query, Timestamp: -1, Value: 0.5}},
		Reply:   &sdk.Reply{Status: 207, Body: append([]byte(r.Route+r.Method), make([]byte, size)...)},
	}, nil
}

// A last is a resampler that keeps the last point of each interval.
type last struct{}

func (last) Resample(_ context.Context, s sdk.Series, step time.Duration) (sdk.Series, error) {
	out := sdk.Series{Metric: s.Metric}
	for start, points := range s.Intervals(step) {
		out.Points = append(out.Points, sdk.Point{Timestamp: start, Value: points[len(points)-1].Value})
	}
	return out, nil
}

// trapNamed returns the path of this binary under a name that makes it a trap.
func trapNamed(t testing.TB, act string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), trapPrefix+act)
	if err := os.Symlink(executable(t), path); err != nil {
		t.Fatal(err)
	}
	return path
}

func executable(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// socketDir returns a folder with a short name.
func socketDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func startActor(t *testing.T, config map[string]any) (*sdk.Process[sdk.Sink], *book) {
	t.Helper()
	return startSink(t, sdk.Spec{Path: executable(t), Config: config})
}

func startSink(t *testing.T, s sdk.Spec) (*sdk.Process[sdk.Sink], *book) {
	t.Helper()
	log := newBook()
	s.Name, s.SocketDir, s.Log = "actor", socketDir(t), slog.New(log)
	p, err := sdk.StartSink(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Stop(context.Background())
		if lines, _ := log.read(); strings.Contains(fmt.Sprint(lines), "DATA RACE") {
			t.Errorf("the plugin raced:\n%v", lines)
		}
	})
	return p, log
}

func startEcho(t *testing.T, limit int) (p *sdk.Process[sdk.Input], sockets string) {
	t.Helper()
	sockets = socketDir(t)
	p, err := sdk.StartInput(t.Context(), sdk.Spec{
		Name: "echo", Path: trapNamed(t, "input"), MessageLimit: limit, SocketDir: sockets,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	return p, sockets
}

var oneDatapoint = sdk.Batch{{Metric: "a", Timestamp: 1, Value: 1}}

func TestErrorsKeepTheirKindAndWords(t *testing.T) {
	tests := []struct {
		act, metric string
		kind        error
		text        string
	}{
		{"invalid", "so", sdk.ErrInvalid, "invalid: 1 datapoints: so"},
		{"unavailable", "so", sdk.ErrUnavailable, "unavailable: far end: so"},
		{"invalid", "50 %,\nünd", sdk.ErrInvalid, "invalid: 1 datapoints: 50 %,\nünd"},
		{"unavailable", "a\xffb", sdk.ErrUnavailable, "unavailable: far end: a\ufffdb"},
		{"odd", "so", nil, "so"},
	}
	for _, tt := range tests {
		p, _ := startActor(t, map[string]any{"act": tt.act})
		err := p.Plugin.Write(t.Context(), sdk.Batch{{Metric: tt.metric}})
		if err == nil || err.Error() != tt.text {
			t.Errorf("%s %q: error %q, want %q", tt.act, tt.metric, err, tt.text)
		}
		for _, kind := range []error{sdk.ErrInvalid, sdk.ErrUnavailable} {
			if errors.Is(err, kind) != (kind == tt.kind) {
				t.Errorf("%s: error %q is of kind %q: %v", tt.act, err, kind, errors.Is(err, kind))
			}
		}
	}
}

func TestLongErrorsAreCut(t *testing.T) {
	const bound = 8 << 10
	for _, letter := range []string{"x", "ü", "\xff"} {
		p, _ := startActor(t, map[string]any{"act": "invalid"})
		err := p.Plugin.Write(t.Context(), sdk.Batch{{Metric: strings.Repeat(letter, 4*bound)}})
		if !errors.Is(err, sdk.ErrInvalid) {
			t.Fatalf("error of kind %v", err)
		}
		// Each byte that is no letter's arrives as three.
		if n := len(err.Error()); n < bound-1 || n > 3*bound || !strings.HasPrefix(err.Error(), "invalid: 1 datapoints: ") {
			t.Errorf("%q: error of %d bytes, want about %d: %.40q", letter, n, bound, err)
		}
	}
}

func TestBytesThatAreNotUTF8(t *testing.T) {
	p, _ := startEcho(t, 0)
	s, err := p.Plugin.Decode(t.Context(), sdk.Request{
		Route: "GET /x", Method: "GET", Query: "k=\xff\xfe",
		Header: http.Header{"X-Text": {"\xff"}, "X-Many": {"a", "\x80"}}, Body: []byte{0xff},
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.Key != "k=\xff\xfe" || s.Batch[0].Metric != "k=\xff\xfe" || s.Invalid != "\xff1" || s.Dropped[1] != "\x80" {
		t.Errorf("bytes were changed on the way: %+v", s)
	}
	if s.Reply == nil || s.Reply.Status != 207 || string(s.Reply.Body) != "GET /xGET" {
		t.Errorf("reply %+v", s.Reply)
	}
}

func TestResamplerProcess(t *testing.T) {
	p, err := sdk.StartResampler(t.Context(), sdk.Spec{Name: "last", Path: trapNamed(t, "resampler"), SocketDir: socketDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	got, err := p.Plugin.Resample(t.Context(), sdk.Series{Metric: "a\xff", Points: []sdk.Point{{61, 1}, {119, 2}, {240, 3}}}, time.Minute)
	want := sdk.Series{Metric: "a\xff", Points: []sdk.Point{{60, 2}, {240, 3}}}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("resampled %v, %v; want %v", got, err, want)
	}
}

func TestCheck(t *testing.T) {
	well, _ := startActor(t, nil)
	if err := well.Check(t.Context()); err != nil {
		t.Errorf("a plugin that is well: %v", err)
	}
	unwell, _ := startActor(t, map[string]any{"text": "nobody listens on port 2004"})
	if err := unwell.Check(t.Context()); !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "port 2004") {
		t.Errorf("a plugin that is not: %v", err)
	}
	silent, _ := startEcho(t, 0)
	if err := silent.Check(t.Context()); err != nil {
		t.Errorf("a plugin that cannot tell: %v", err)
	}
}
