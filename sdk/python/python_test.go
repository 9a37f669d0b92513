//go:build !race

// Package python_test tests plugins in Python as the programs that ship: each
// test starts real ones, in Debian's python3, with what an author copies beside
// them.
package python_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

// deadline is when a test gives up waiting for what should happen at once.
const deadline = 20 * time.Second

// TestMain runs the tests, or a host in whose death they are interested.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "host" {
		runHost()
		return
	}
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // the tests wait more than they work
	code := m.Run()
	_ = os.RemoveAll(folder())
	os.Exit(code)
}

// runHost is a host of one actor. It tells the plugin's process id and writes to
// it until it is killed.
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

// folder is where the programs lie, with what an author copies beside his own.
// It is written before anything is started: a file that a process under way has
// open for writing cannot be.
var folder = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "python")
	if err == nil {
		err = copyAll(dir, append(slices.Clip(modules), actor, echo, exampleSink, exampleInput, exampleResampler)...)
	}
	if err == nil {
		err = copyOld(filepath.Join(dir, oldActor))
	}
	if err == nil {
		err = copyActor(filepath.Join(dir, textActor), `fluxgate.setting(fluxgate.Duration("1m30s"))`, `fluxgate.setting("1m30s")`)
	}
	if err != nil {
		panic(err)
	}
	return dir
})

var modules = []string{"fluxgate.py", "fluxgate_process.py", "fluxgate_pb2.py"}

func copyAll(dir string, files ...string) error {
	for _, from := range files {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(from)), text, 0o755)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyOld writes the actor as it is on a kernel that cannot tell of the end of a
// process.
func copyOld(path string) error {
	const first = "import dataclasses\n"
	return copyActor(path, first, first+"import os; del os.pidfd_open\n")
}

// copyActor writes the actor with a part of its text replaced.
func copyActor(path, old, new string) error {
	text, err := os.ReadFile(actor)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strings.Replace(string(text), old, new, 1)), 0o755)
}

// program returns the path of a program that lies beside fluxgate.py.
func program(t testing.TB, path string) string {
	t.Helper()
	path = filepath.Join(folder(), filepath.Base(path))
	servers.NeedPython(t, "grpc", "google.protobuf")
	return path
}

const (
	actor    = "testdata/actor.py"
	echo     = "testdata/echo.py"
	oldActor = "old-actor.py"

	textActor = "text-actor.py" // one with a duration whose default is text
)

// spec says how to start a program from this folder.
func spec(t testing.TB, path string, config map[string]any) (sdk.Spec, *book) {
	t.Helper()
	log := newBook()
	sockets, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(sockets) })
	return sdk.Spec{Name: "it", Path: program(t, path), Config: config, SocketDir: sockets, Log: slog.New(log)}, log
}

func startActor(t *testing.T, config map[string]any) (*sdk.Process[sdk.Sink], *book) {
	t.Helper()
	s, log := spec(t, actor, config)
	return start(t, sdk.StartSink, s), log
}

func start[T any](t *testing.T, start func(context.Context, sdk.Spec) (*sdk.Process[T], error), s sdk.Spec) *sdk.Process[T] {
	t.Helper()
	p, err := start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	return p
}

var oneDatapoint = sdk.Batch{{Metric: "a", Timestamp: 1, Value: 1}}

// stored reads what an actor has stored.
func stored(t *testing.T, path string) sdk.Batch {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b sdk.Batch
	for d := json.NewDecoder(strings.NewReader(string(text))); d.More(); {
		var rows [][3]any
		d.UseNumber()
		if err := d.Decode(&rows); err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			timestamp, err := row[1].(json.Number).Int64()
			value, err2 := json.Number(row[2].(string)).Float64()
			if errors.Join(err, err2) != nil {
				t.Fatal(err, err2)
			}
			b = append(b, sdk.Datapoint{Metric: bytesOf(row[0].(string)), Timestamp: timestamp, Value: value})
		}
	}
	return b
}

// bytesOf and lettersOf turn bytes into the letters of Latin-1, which JSON can
// hold, and back.
func bytesOf(letters string) string {
	var b []byte
	for _, r := range letters {
		b = append(b, byte(r))
	}
	return string(b)
}

func lettersOf(s string) string {
	var letters []rune
	for i := range len(s) {
		letters = append(letters, rune(s[i]))
	}
	return string(letters)
}

// randomBatch has names of any bytes, and numbers of any size.
func randomBatch(r *rand.Rand, n int) sdk.Batch {
	b := make(sdk.Batch, n)
	for i := range b {
		name := make([]byte, r.IntN(20))
		for j := range name {
			name[j] = byte(r.Uint32())
		}
		value := math.Float64frombits(r.Uint64())
		if math.IsNaN(value) || math.IsInf(value, 0) {
			value = -0.1
		}
		b[i] = sdk.Datapoint{Metric: string(name), Timestamp: int64(r.Uint64()), Value: value}
	}
	return b
}

// same tells whether two batches are equal in every bit.
func same(a, b sdk.Batch) bool {
	return slices.EqualFunc(a, b, func(a, b sdk.Datapoint) bool {
		return a.Metric == b.Metric && a.Timestamp == b.Timestamp && math.Float64bits(a.Value) == math.Float64bits(b.Value)
	})
}

func TestASinkGetsWhatTheHostSends(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "stored")
	p, _ := startActor(t, map[string]any{"act": "store", "path": path})
	random := rand.New(rand.NewPCG(1, 2))
	var sent sdk.Batch
	for _, n := range []int{0, 1, 2, 450, 5000} {
		b := randomBatch(random, n)
		if err := p.Plugin.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, b...)
	}
	if got := stored(t, path); !same(got, sent) {
		t.Errorf("stored %d datapoints that are not the %d sent: %.300v", len(got), len(sent), got)
	}
}

func TestTheHostGetsWhatAnInputDecodes(t *testing.T) {
	t.Parallel()
	s, _ := spec(t, echo, nil)
	p := start(t, sdk.StartInput, s)
	random := rand.New(rand.NewPCG(3, 4))
	rows := func(b sdk.Batch) [][3]any {
		out := make([][3]any, len(b))
		for i, d := range b {
			out[i] = [3]any{lettersOf(d.Metric), d.Timestamp, d.Value}
		}
		return out
	}
	for _, n := range []int{0, 1, 450, 5000} {
		batch, backfill := randomBatch(random, n), randomBatch(random, n/3)
		body, err := json.Marshal(map[string]any{"Batch": rows(batch), "Backfill": rows(backfill)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Plugin.Decode(t.Context(), sdk.Request{Route: "GET /x", Method: "GET", Body: body})
		if err != nil || !same(got.Batch, batch) || !same(got.Backfill, backfill) {
			t.Errorf("%d datapoints came back as %d and %d, or changed: %v", n, len(got.Batch), len(got.Backfill), err)
		}
	}
}

func TestBytesThatAreNotUTF8(t *testing.T) {
	t.Parallel()
	s, _ := spec(t, echo, nil)
	p := start(t, sdk.StartInput, s)
	for query := range strings.SplitSeq("k=\xff\xfe &ü&\xed\xa0\x80&\x80", "&") {
		got, err := p.Plugin.Decode(t.Context(), sdk.Request{
			Route: "GET /x", Method: "GET", Query: query, Body: []byte{0, 0xff},
			Header: map[string][]string{"X-Text": {"\xff"}, "X-Many": {"a", "\x80"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		want := sdk.Submission{
			Key: query, Dropped: []string{"a", "\x80"}, DryRun: true, KeyCheck: true, Invalid: "\xff2",
			Reply: &sdk.Reply{Status: 207, Body: []byte("GET /xGET")},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	none, err := p.Plugin.Decode(t.Context(), sdk.Request{})
	if err != nil || none.Reply != nil || none.Invalid != "0" {
		t.Errorf("a request without anything: %+v, %v", none, err)
	}
}

// JSON can spell half of a letter, which no encoding has.
func TestHalfOfALetter(t *testing.T) {
	t.Parallel()
	s, _ := spec(t, echo, nil)
	p := start(t, sdk.StartInput, s)
	got, err := p.Plugin.Decode(t.Context(), sdk.Request{Body: []byte(`{"Broken": ["a\ud800b", "\ud83d\ude00"]}`)})
	if want := []string{"a\ufffdb", "\U0001f600"}; err != nil || !slices.Equal(got.Dropped, want) {
		t.Errorf("got %q, %v, want %q", got.Dropped, err, want)
	}
}

func TestMessagesAreLimitedAsTheHostSays(t *testing.T) {
	t.Parallel()
	const mebibyte = 1 << 20
	for _, tt := range []struct {
		name        string
		limit       int
		body, reply int
		refusal     string
	}{
		{"more than gRPC allows", 0, 5 * mebibyte, 5 * mebibyte, ""},
		{"as much as the limit allows", 8 * mebibyte, 7 * mebibyte, 7 * mebibyte, ""},
		{"an answer above the limit", mebibyte, 0, 2 * mebibyte, "received message larger than max"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := spec(t, echo, nil)
			s.MessageLimit = tt.limit
			p := start(t, sdk.StartInput, s)
			got, err := p.Plugin.Decode(t.Context(), sdk.Request{
				Route: "x", Body: make([]byte, tt.body), Header: map[string][]string{"X-Reply-Bytes": {fmt.Sprint(tt.reply)}},
			})
			if tt.refusal != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refusal) {
					t.Errorf("error %v, want %q", err, tt.refusal)
				}
				return
			}
			if err != nil || got.Invalid != fmt.Sprint(tt.body) || len(got.Reply.Body) != tt.reply+1 {
				t.Errorf("it read %s bytes, and answered %d: %v", got.Invalid, len(got.Reply.Body), err)
			}
		})
	}
}

func TestErrorsKeepTheirKindAndWords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		act, metric string
		kind        error
		text        string
	}{
		{"invalid", "so", sdk.ErrInvalid, "invalid: 1 datapoints: so"},
		{"unavailable", "so", sdk.ErrUnavailable, "unavailable: far end: so"},
		{"invalid", "50 %,\nünd", sdk.ErrInvalid, "invalid: 1 datapoints: 50 %,\nünd"},
		{"unavailable", "a\xffb", sdk.ErrUnavailable, "unavailable: far end: a\ufffdb"},
		{"fail", "so", nil, "LookupError: so"},
		{"exit", "so", nil, "SystemExit: 3"},
	} {
		p, _ := startActor(t, map[string]any{"act": tt.act})
		for range 2 { // it lives on
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
}

func TestLongErrorsAreCut(t *testing.T) {
	t.Parallel()
	const bound = 8 << 10
	p, _ := startActor(t, map[string]any{"act": "invalid"})
	for _, letter := range []string{"x", "ü", "\xff"} {
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

func TestTheTracebackOfAnExceptionIsLogged(t *testing.T) {
	t.Parallel()
	exception := func(metric string) map[string]any {
		p, log := startActor(t, map[string]any{"act": "fail"})
		_ = p.Plugin.Write(t.Context(), sdk.Batch{{Metric: metric}})
		l := log.await(t, "exception", 1)[0]
		stack, _ := l.attrs["stack"].(string)
		if l.level != slog.LevelError || !strings.Contains(stack, "LookupError") && l.attrs["cut"] != true {
			t.Errorf("logged at %v: %v", l.level, l.attrs)
		}
		return l.attrs
	}
	exception(strings.Repeat("ü", 10_000))
	odd := exception("odd")
	if stack, _ := odd["stack"].(string); odd["value"] != "odd" || !strings.Contains(stack, "actor.py") || !strings.Contains(stack, "in fail") {
		t.Errorf("logged: %v", odd)
	}
}

func TestAnExceptionThatComesAgainIsOneLine(t *testing.T) {
	t.Parallel()
	p, log := startActor(t, map[string]any{"act": "as told"})
	for _, metric := range []string{"fail.1", "fail.2", "unavailable", "fail.3", "exit", "exit", "fail.4", "succeed", "fail.5"} {
		_ = p.Plugin.Write(t.Context(), sdk.Batch{{Metric: metric}})
		if err := p.Check(t.Context()); err != nil { // another call, which succeeds
			t.Error(err)
		}
	}
	again := log.await(t, "LookupError again", 2)
	for i, value := range []string{"fail.2", "fail.3"} {
		if l := again[i]; l.level != slog.LevelError || fmt.Sprint(l.attrs) != fmt.Sprint(map[string]any{"value": value}) {
			t.Errorf("logged at %v: %v, want just the value %s", l.level, l.attrs, value)
		}
	}
	log.await(t, "exception", 4)
	want := []string{"exception", "LookupError again", "LookupError again", "exception", "SystemExit again", "exception", "exception"}
	if got := log.order("exception", "LookupError again", "SystemExit again"); !slices.Equal(got, want) {
		t.Errorf("logged %q, want %q", got, want)
	}
}

func TestWhatAProgramPrintsIsLogged(t *testing.T) {
	t.Parallel()
	const poison = `{"@message": 5}`
	p, log := startActor(t, map[string]any{"act": "say", "text": poison})
	for range 2 {
		if err := p.Plugin.Write(t.Context(), oneDatapoint); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range log.await(t, poison, 8) {
		if want := slog.LevelInfo; l.level != want && l.level != slog.LevelError {
			t.Errorf("logged at %v", l.level)
		}
	}
	if got := log.await(t, "logged so", 2)[0]; got.level != slog.LevelWarn || fmt.Sprint(got.attrs) != "map[bytes:15]" {
		t.Errorf("logged %v", got)
	}
	log.await(t, "before anything else", 1)
	if got := log.order("logged quietly"); got != nil {
		t.Errorf("logged below the level: %q", got)
	}
}

func TestAProgramSetsItsLevel(t *testing.T) {
	t.Parallel()
	s, log := spec(t, echo, nil)
	p := start(t, sdk.StartInput, s)
	if _, err := p.Plugin.Decode(t.Context(), sdk.Request{}); err != nil {
		t.Fatal(err)
	}
	if got := log.await(t, "asked", 1)[0]; got.level != slog.LevelDebug {
		t.Errorf("logged %v", got)
	}
}

// Every one of the eight calls waits for the others.
func TestWritesComeAtTheSameTime(t *testing.T) {
	t.Parallel()
	p, _ := startActor(t, map[string]any{"act": "gather"})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	errs := make([]error, 8)
	var writes sync.WaitGroup
	for i := range errs {
		writes.Go(func() { errs[i] = p.Plugin.Write(ctx, oneDatapoint) })
	}
	writes.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

func TestCallsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	p, log := startActor(t, map[string]any{"act": "hang"})
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- p.Plugin.Write(ctx, oneDatapoint) }()
	log.await(t, "entered", 1)
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
	log.await(t, "given up", 1)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Plugin.Write(short, oneDatapoint); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the deadline's", err)
	}
	log.await(t, "given up", 2)
}

func TestAMethodKnowsItsDeadline(t *testing.T) {
	t.Parallel()
	p, _ := startActor(t, map[string]any{"act": "remaining"})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
	defer cancel()
	if err := p.Plugin.Write(ctx, oneDatapoint); err == nil || err.Error() != "invalid: 100 True" {
		t.Errorf("of 100 s: %v", err)
	}
	if err := p.Plugin.Write(context.Background(), oneDatapoint); err == nil || err.Error() != "invalid: 3600 True" {
		t.Errorf("of any time: %v", err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	well, _ := startActor(t, nil)
	if err := well.Check(t.Context()); err != nil {
		t.Errorf("a plugin that is well: %v", err)
	}
	unwell, _ := startActor(t, map[string]any{"text": "nobody listens on port 2004"})
	if err := unwell.Check(t.Context()); !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "port 2004") {
		t.Errorf("a plugin that is not: %v", err)
	}
	s, _ := spec(t, echo, nil)
	if err := start(t, sdk.StartInput, s).Check(t.Context()); err != nil {
		t.Errorf("a plugin that cannot tell: %v", err)
	}
}

func TestEnvironmentIsWhatTheHostGives(t *testing.T) {
	t.Setenv("FLUXGATE_REDIS__PASSWORD", "planted")
	p, _ := startActor(t, map[string]any{"act": "environment"})
	err := p.Plugin.Write(t.Context(), oneDatapoint)
	if err == nil || strings.Contains(err.Error(), "FLUXGATE_") || !strings.Contains(err.Error(), "PLUGIN_OF_FLUXGATE") {
		t.Errorf("environment %v", err)
	}
}

func TestCalledWithoutAHost(t *testing.T) {
	path := program(t, actor)
	cmd := exec.Command(path)
	cmd.Env = []string{}
	out, err := cmd.CombinedOutput()
	exit := (*exec.ExitError)(nil)
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("it left with %v, want exit code 1", err)
	}
	want := path + " is a plugin of Fluxgate, of kind sink: fluxgate starts it when its configuration names it.\n" +
		"Test it with: fluxgate plugin test " + path + ". Debug it with: " + path + " --attach\n"
	if !strings.Contains(string(out), want) {
		t.Errorf("it said %q, want %q", out, want)
	}
}

func TestAnotherPythonIsToldWhatItLacks(t *testing.T) {
	path := program(t, actor)
	out, err := exec.Command("/usr/bin/python3", "-S", path).CombinedOutput() // without Debian's modules
	if err == nil || !strings.Contains(string(out), "a plugin needs python3-grpcio") {
		t.Errorf("it said %s, %v", out, err)
	}
}

// A program that is one file is covered whole by its checksum.
func TestOneFile(t *testing.T) {
	t.Parallel()
	s, _ := spec(t, actor, nil)
	dir := t.TempDir()
	if err := copyAll(dir, append(slices.Clip(modules), actor)...); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "actor.py"), filepath.Join(dir, "__main__.py")); err != nil {
		t.Fatal(err)
	}
	s.Path = filepath.Join(t.TempDir(), "one")
	if out, err := exec.Command("/usr/bin/python3", "-m", "zipapp", dir, "-p", "/usr/bin/python3", "-o", s.Path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(s.Path)
	if err != nil {
		t.Fatal(err)
	}
	s.Checksum = fmt.Sprintf("%x", sha256.Sum256(text))
	p := start(t, sdk.StartSink, s)
	if err := p.Plugin.Write(t.Context(), oneDatapoint); err != nil {
		t.Error(err)
	}
}

// shut tells whether an error is that of a plugin which takes no calls.
func shut(err error) bool {
	return errors.Is(err, sdk.ErrUnavailable) && strings.Contains(err.Error(), "not open")
}

// occupied starts an actor with a call under way that ends when the function
// free is called.
func occupied(t *testing.T) (p *sdk.Process[sdk.Sink], log *book, result chan error, free func()) {
	t.Helper()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	p, log = startActor(t, map[string]any{"act": "read", "path": pipe})
	result = make(chan error, 1)
	go func() { result <- p.Plugin.Write(context.Background(), oneDatapoint) }()
	log.await(t, "entered", 1)
	return p, log, result, func() {
		if err := os.WriteFile(pipe, nil, 0o600); err != nil {
			t.Error(err)
		}
	}
}

func awaitDrain(t *testing.T, p *sdk.Process[sdk.Sink]) {
	t.Helper()
	for end := time.Now().Add(deadline); !shut(p.Check(t.Context())); {
		if time.Now().After(end) {
			t.Fatal("a plugin that is to stop takes calls")
		}
	}
}

func TestStopWaitsForCallsUnderWayAndClosesOnce(t *testing.T) {
	t.Parallel()
	p, log, result, free := occupied(t)
	stopped := make(chan error, 1)
	go func() { stopped <- p.Stop(context.Background()) }()
	awaitDrain(t, p)
	select {
	case err := <-stopped:
		t.Fatalf("stopped while a call is under way: %v", err)
	case err := <-result:
		t.Fatalf("the call was cut off: %v", err)
	default:
	}
	if err := p.Ping(t.Context()); err != nil {
		t.Errorf("a sign of life while it waits: %v", err)
	}
	if err := p.Plugin.Write(t.Context(), oneDatapoint); !shut(err) {
		t.Errorf("a call that comes later: %v", err)
	}
	free()
	if err := errors.Join(<-result, <-stopped); err != nil {
		t.Error(err)
	}
	log.await(t, "closed", 1)
	if got, want := log.order("entered", "left", "closed"), []string{"entered", "left", "closed"}; !slices.Equal(got, want) {
		t.Errorf("in this order: %q, want %q", got, want)
	}
}

// Calls that hang must not make the process look dead.
func TestSignsOfLifeBesideBusyThreads(t *testing.T) {
	t.Parallel()
	p, log := startActor(t, map[string]any{"act": "hang"})
	ctx, cancel := context.WithCancel(t.Context())
	var writes sync.WaitGroup
	for range 20 {
		writes.Go(func() { _ = p.Plugin.Write(ctx, oneDatapoint) })
	}
	log.await(t, "entered", 8)
	short, done := context.WithTimeout(t.Context(), 2*time.Second)
	defer done()
	if err := errors.Join(p.Ping(short), p.Check(short)); err != nil {
		t.Error(err)
	}
	cancel()
	writes.Wait()
	log.await(t, "given up", 8)
}

func TestStopTellsWhatCloseRaised(t *testing.T) {
	t.Parallel()
	p, _ := startActor(t, map[string]any{"act": "unclean", "text": "half a batch is unwritten"})
	if err := p.Stop(t.Context()); !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "half a batch") {
		t.Errorf("error %v", err)
	}
}

func TestStopWaitsForCloseAndLeavesNoSocket(t *testing.T) {
	t.Parallel()
	s, _ := spec(t, actor, map[string]any{"act": "close slowly", "wait": "300ms"})
	p := start(t, sdk.StartSink, s)
	if entries, err := os.ReadDir(s.SocketDir); err != nil || len(entries) != 1 {
		t.Fatalf("sockets of a running plugin: %v, %v", entries, err)
	}
	began := time.Now()
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("it took %v to stop, which is less than to close", took)
	}
	if entries, err := os.ReadDir(s.SocketDir); len(entries) != 0 || err != nil {
		t.Errorf("in the folder, which is still the host's: %v, %v", entries, err)
	}
}
