package plugintest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/plugintest"
)

// The plugins of these tests are this test binary, started again: what it is, and
// how it breaks its contract, is in its name, such as "sink lies by forgetting".

const lies = " lies by "

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "16") // the parallel tests wait more than they work
	plugintest.Main(m, func() {
		kind, lie, _ := strings.Cut(filepath.Base(os.Args[0]), lies)
		serveLiar(kind, lie)
		syscall.Exit(0) // without the second for which the race detector waits
	})
}

type config struct {
	Path string         `koanf:"path" help:"where a sink appends lines"`
	More map[string]any `koanf:"more" help:"whatever"`
}

// vague describes a setting, and not what it is.
type vague struct {
	config
	Path string `koanf:"path"`
}

// lenient takes any setting.
type lenient struct {
	Path string `koanf:"path" help:"where a sink appends lines"`
	Any  any    `koanf:"*" help:"whatever"`
}

func serveLiar(kind, lie string) {
	host := os.Getppid()
	switch lie {
	case "opening for everybody", "opening twice", "working unopened", "working when drained", "refusing when drained",
		"babbling on its data socket", "listening at no data socket", "hanging up on its data socket":
		serveRaw(lie)
	case "describing vaguely":
		serveAs(kind, lie, vague{}, func(c vague) string { return c.Path })
	case "taking any setting":
		serveAs(kind, lie, lenient{}, func(c lenient) string { return c.Path })
	case "speaking":
		stdout := os.Stdout
		go func() {
			for os.Stdout == stdout { // until the handshake is over
				time.Sleep(time.Millisecond)
			}
			fmt.Println("hello")
		}()
		serveAs(kind, lie, config{}, func(c config) string { return c.Path })
	default:
		serveAs(kind, lie, config{}, func(c config) string { return c.Path })
	}
	for alone := os.Getppid() != host; lie == "staying" && !alone || lie == "outliving its host" && alone; alone = os.Getppid() != host {
		time.Sleep(10 * time.Millisecond)
	}
}

func serveAs[C any](kind, lie string, defaults C, path func(C) string) {
	stdout, _ := syscall.Dup(syscall.Stdout) // behind the back of go-plugin, which puts another in its place
	open := func(c C) (*liar, error) {
		if lie == "staying shut" {
			return nil, sdk.Unavailablef("not today")
		}
		return &liar{lie: lie, path: path(c), stdout: stdout}, nil
	}
	switch {
	case kind == "input" && lie == "showing what was before":
		sdk.ServeInput(defaults, func(_ context.Context, c C) (sdk.Input, error) {
			l, err := open(c)
			return &recycler{liar: l}, err
		})
	case kind == "sink" && severalAtOnce[lie] != nil:
		sdk.ServeSink(defaults, func(_ context.Context, c C) (sdk.Sink, error) {
			l, err := open(c)
			return bulk{l}, err
		})
	case kind == "input":
		sdk.ServeInput(defaults, func(_ context.Context, c C) (sdk.Input, error) { return open(c) })
	case kind == "resampler":
		sdk.ServeResampler(defaults, func(_ context.Context, c C) (sdk.Resampler, error) { return open(c) })
	default:
		sdk.ServeSink(defaults, func(_ context.Context, c C) (sdk.Sink, error) { return open(c) })
	}
}

// A liar is a plugin of any kind that keeps to its contract but for its lie.
type liar struct {
	lie, path string
	stdout    int // a file descriptor
	calls     atomic.Int64
	later     sync.WaitGroup
	mu        sync.Mutex
	kept      sdk.Batch
}

func (l *liar) Check(context.Context) error {
	if l.lie == "complaining" {
		return sdk.Unavailablef("I am not well")
	}
	return nil
}

func (l *liar) Close() error {
	l.later.Wait()
	if l.lie == "closing badly" {
		return errors.New("half a batch is unwritten")
	}
	return nil
}

// begin is where each call begins. A liar may go on for long after ctx has ended,
// or speak.
func (l *liar) begin(ctx context.Context) {
	switch {
	case l.lie == "dawdling" && hurried(ctx, time.Second):
		time.Sleep(4 * time.Second)
	case l.lie == "speaking behind go-plugin's back":
		_, _ = syscall.Write(l.stdout, []byte("hello"))
	}
}

// hurried reports whether less than d is left.
func hurried(ctx context.Context, d time.Duration) bool {
	until, ok := ctx.Deadline()
	return ok && time.Until(until) < d
}

// Write appends lines to the file.
func (l *liar) Write(ctx context.Context, b sdk.Batch) error {
	l.begin(ctx)
	switch l.lie {
	case "forgetting":
		if of(b, "acknowledged") {
			return nil
		}
	case "forgetting over gRPC", "forgetting over the data socket":
		if of(b, "acknowledged") && l.asked() {
			return nil
		}
	case "forgetting when stopped":
		if of(b, "stopped") {
			return nil
		}
	case "hurrying":
		if of(b, "hurry") && hurried(ctx, 5*time.Second) {
			return nil
		}
	case "refusing nothing":
		if len(b) == 0 {
			return sdk.Invalidf("an empty batch")
		}
	case "panicking at nothing":
		if len(b) == 0 {
			panic("there is nothing in it")
		}
	case "keeping the first":
		if of(b, "twice") {
			b = l.unseen(b)
		}
	case "losing under load":
		if l.calls.Add(1); l.company(1) && of(b, "concurrent") {
			return nil
		}
	case "cutting":
		b = b[:min(len(b), 4999)]
	case "hoping":
		for _, d := range b {
			if math.IsNaN(d.Value) {
				return sdk.Unavailablef("not a number")
			}
		}
	case "dying of it":
		for _, d := range b {
			if d.Metric == "" {
				syscall.Exit(3)
			}
		}
	case "storing later":
		if of(b, "killed") {
			l.later.Go(func() {
				time.Sleep(3 * time.Second)
				_ = l.append(b)
			})
			return nil
		}
	}
	return l.append(b)
}

// of reports whether a batch is of one sentence.
func of(b sdk.Batch, name string) bool {
	return len(b) > 0 && strings.HasPrefix(b[0].Metric, "fluxgate.kit."+name)
}

// company reports whether more than n calls are under way.
func (l *liar) company(n int64) bool {
	defer l.calls.Add(-1)
	for range 20 {
		if l.calls.Load() > n {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

// unseen returns what of b is of a metric and timestamp that it had not before.
func (l *liar) unseen(b sdk.Batch) (unseen sdk.Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := make(map[string]bool)
	for _, d := range l.kept {
		seen[fmt.Sprint(d.Metric, d.Timestamp)] = true
	}
	for _, d := range b {
		if !seen[fmt.Sprint(d.Metric, d.Timestamp)] {
			unseen = append(unseen, d)
		}
	}
	l.kept = append(l.kept, unseen...)
	return unseen
}

func (l *liar) append(b sdk.Batch) error {
	var lines strings.Builder
	for _, d := range b {
		if d.Metric == "" || strings.ContainsAny(d.Metric, " \n") {
			return sdk.Invalidf("metric %q: it cannot be a word of a line", d.Metric)
		}
		fmt.Fprintln(&lines, d.Metric, d.Value, d.Timestamp)
	}
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return sdk.Unavailablef("%w", err)
	}
	_, err = io.WriteString(f, lines.String())
	return errors.Join(err, f.Close())
}

// Decode reads lines "metric value timestamp", with the key in a header.
func (l *liar) Decode(ctx context.Context, r sdk.Request) (sdk.Submission, error) {
	l.begin(ctx)
	if l.lie == "dying of it" && len(r.Body) > 1000 {
		syscall.Exit(3)
	}
	if l.lie == "choking" && len(r.Body) > 4<<20 {
		return sdk.Submission{}, errors.New("message above the limit of 4 MiB")
	}
	s := sdk.Submission{Key: r.Header.Get("Key"), Reply: l.reply(r)}
	if l.calls.Add(1); l.lie == "wavering" && l.company(4) {
		s.Key += "x"
	}
	if s.Key == "" {
		return s, sdk.Invalidf("no key")
	}
	for line := range strings.Lines(string(r.Body)) {
		var d sdk.Datapoint
		n, _ := fmt.Sscanf(line, "%s %g %d", &d.Metric, &d.Value, &d.Timestamp)
		switch {
		case l.lie == "hoping" && n < 3:
			return s, sdk.Unavailablef("perhaps later")
		case n < 3, l.lie != "letting infinity pass" && (math.IsNaN(d.Value) || math.IsInf(d.Value, 0)):
			s.Invalid = "line: " + line
			return s, nil
		}
		if l.lie == "misreading" || strings.HasPrefix(l.lie, "misreading over") && l.asked() {
			d.Timestamp++
		}
		s.Batch = append(s.Batch, d)
	}
	return s, nil
}

// reply is what a liar answers by itself to a body that is not whole.
func (l *liar) reply(r sdk.Request) *sdk.Reply {
	whole := len(r.Body) == 0 || strings.HasSuffix(string(r.Body), "\n")
	switch {
	case l.lie == "replying with no status" && !whole:
		return &sdk.Reply{Status: 100}
	case l.lie == "replying in prose" && !whole:
		return &sdk.Reply{Status: 400, Body: []byte("no")}
	}
	return nil
}

// Resample keeps the last point of each interval.
func (l *liar) Resample(ctx context.Context, s sdk.Series, step time.Duration) (sdk.Series, error) {
	l.begin(ctx)
	if l.lie == "choking" && len(s.Points) > 100_000 {
		return s, errors.New("message above the limit of 4 MiB")
	}
	out := sdk.Series{Metric: s.Metric}
	for start, points := range s.Intervals(step) {
		out.Points = append(out.Points, sdk.Point{Timestamp: start, Value: points[len(points)-1].Value})
	}
	l.falsify(&out, step)
	return out, nil
}

func (l *liar) falsify(out *sdk.Series, step time.Duration) {
	p, n := out.Points, len(out.Points)
	switch {
	case l.lie == "renaming":
		out.Metric += "x"
	case l.lie == "making something of nothing" && n == 0:
		out.Points = []sdk.Point{{Timestamp: 0, Value: 1}}
	case n < 2:
	case l.lie == "disordering":
		p[0], p[1] = p[1], p[0]
	case l.lie == "repeating":
		p[1].Timestamp = p[0].Timestamp
	case l.lie == "exaggerating":
		p[1].Value = math.Inf(1)
	case l.lie == "being askew" && step > time.Second:
		p[0].Timestamp++
	case l.lie == "inventing":
		out.Points = append(p, sdk.Point{Timestamp: p[n-1].Timestamp + int64(step/time.Second), Value: 1})
	case l.lie == "wavering":
		p[0].Value += float64(l.calls.Add(1))
	case l.lie == "drifting":
		p[0].Value = p[0].Value/2 + 1
	}
}
