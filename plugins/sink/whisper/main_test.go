package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-graphite/go-whisper"

	"fluxgate/sdk"
	"fluxgate/sdk/plugintest"
	"fluxgate/sdk/schema"
	"fluxgate/testdata/servers"
)

func TestMain(m *testing.M) { plugintest.Main(m, main) }

// start runs the plugin in a process of its own, on the folder path.
func start(t *testing.T, path string, more ...string) *sdk.Process[sdk.Sink] {
	t.Helper()
	config := map[string]any{"path": path}
	for i := 0; i < len(more); i += 2 {
		config[more[i]] = more[i+1]
	}
	return startWith(t, config)
}

// startWith runs the plugin in a process of its own.
func startWith(t *testing.T, config map[string]any) *sdk.Process[sdk.Sink] {
	t.Helper()
	p, err := sdk.StartSink(t.Context(), sdk.Spec{Name: "whisper", Path: os.Args[0], Config: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	return p
}

// newSink returns a sink inside this process, whose clock a test may set.
func newSink(t testing.TB, path, retentions string) *sink {
	t.Helper()
	c := defaults()
	c.Path, c.Retentions = path, retentions
	return openSink(t, c)
}

// openSink returns a sink inside this process with the settings c.
func openSink(t testing.TB, c config) *sink {
	t.Helper()
	opened, err := open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	s := opened.(*sink)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// setClock sets the clock that this package and go-whisper share.
func setClock(t testing.TB, now func() int64) {
	t.Helper()
	was := whisper.Now
	whisper.Now = func() time.Time { return time.Unix(now(), 0) }
	t.Cleanup(func() { whisper.Now = was })
}

const readScript = `
import json, sys, whisper
root, now = sys.argv[1], int(sys.argv[2])
found = []
for path, step, span in json.load(sys.stdin):
    (start, _, step), values = whisper.fetch(root + '/' + path, now - span, now, now=now, archiveToSelect=step)
    found.append({start + i * step: v for i, v in enumerate(values) if v is not None})
json.dump(found, sys.stdout)
`

// A look is one archive of one file, to be read.
type look struct {
	path       string
	step, span int64
}

// read returns what Graphite's own code finds in archives at the time now, as
// value by timestamp.
func read(t *testing.T, root string, now int64, looks ...look) []map[int64]float64 {
	t.Helper()
	servers.NeedPython(t, "whisper")
	var in [][3]any
	for _, l := range looks {
		in = append(in, [3]any{l.path, l.step, l.span})
	}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var found []map[int64]float64
	out := servers.Python(t, readScript, string(text), root, fmt.Sprint(now))
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatalf("python printed %.200q: %v", out, err)
	}
	return found
}

// must writes a batch that has to be taken.
func must(t *testing.T, s sdk.Sink, b sdk.Batch) {
	t.Helper()
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func TestStoresWhatItAcknowledges(t *testing.T) {
	root := filepath.Join(t.TempDir(), "whisper")
	p := start(t, root)
	if _, err := os.Stat(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opening the sink made its folder (%v)", err)
	}
	now := time.Now().Unix()
	at := now - now%60 - 120
	must(t, p.Plugin, sdk.Batch{
		{Metric: "vista.nodes.skyline-1.cpu.user", Timestamp: at, Value: 1},
		{Metric: "b", Timestamp: at + 60, Value: 3},
		{Metric: "b", Timestamp: at, Value: -2.5},
		{Metric: "b", Timestamp: at, Value: math.MaxFloat64},
		{Metric: "b", Timestamp: at - 3*86400, Value: 7},
		{Metric: "b", Timestamp: at - 30*86400, Value: 8},
		{Metric: "b", Timestamp: at - 300*86400, Value: 9},
	})
	got := read(t, root, now,
		look{"vista/nodes/skyline-1/cpu/user.wsp", 60, 86400}, look{"b.wsp", 60, 86400},
		look{"b.wsp", 600, 4 * 86400}, look{"b.wsp", 3600, 90 * 86400})
	if got[0][at] != 1 || len(got[0]) != 1 {
		t.Errorf("the first metric has %v, want 1 at %d", got[0], at)
	}
	if got[1][at] != math.MaxFloat64 || got[1][at+60] != 3 || len(got[1]) != 2 {
		t.Errorf("the second metric has %v, want the last value of each of two timestamps from %d", got[1], at)
	}
	old, older := at-3*86400, at-30*86400
	if got[2][old-old%600] != 7 || got[3][older-older%3600] != 8 || len(got[3]) != 1 {
		t.Errorf("the coarser archives have %v and %v, want 7 at %d and 8 at %d", got[2], got[3], old, older)
	}
}

func TestSettings(t *testing.T) {
	tests := []struct {
		name   string
		config map[string]any
		words  string
	}{
		{"no path", nil, `setting "path" must be given`},
		{"an empty path", map[string]any{"path": ""}, "path is empty: set it to the folder"},
		{"unknown", map[string]any{"path": "x", "retention": "60s:1d"}, `unknown setting "retention": did you mean "retentions"?`},
		{"retentions", map[string]any{"path": "x", "retentions": "60s:1d,10m:1h"}, "reaches no further back"},
		{"aggregation", map[string]any{"path": "x", "aggregation": "mean"}, `aggregation "mean": must be one of average, sum,`},
		{"xfilesfactor", map[string]any{"path": "x", "xfilesfactor": 1.5}, "xfilesfactor 1.5: must be 0 to 1"},
		{"creations below 0", map[string]any{"path": "x", "creates_per_minute": -1}, "creates_per_minute -1: must be at least 1, or 0"},
		{"no room to wait", map[string]any{"path": "x", "max_waiting": 1000}, "max_waiting 1000: must be at least 1048576 bytes"},
	}
	for _, tt := range tests {
		_, err := sdk.StartSink(t.Context(), sdk.Spec{Name: "whisper", Path: os.Args[0], Config: tt.config})
		if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: StartSink with %v: %v; want invalid, with the words %q", tt.name, tt.config, err, tt.words)
		}
	}
}

func TestCheckMakesTheFolder(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "deep", "whisper")
	if err := start(t, root).Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) != 0 {
		t.Errorf("the folder holds %v, %v; want an empty folder", left, err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, filepath.Join(file, "whisper"))
	for name, err := range map[string]error{
		"Check": p.Check(t.Context()),
		"Write": p.Plugin.Write(t.Context(), sdk.Batch{{Metric: "a", Timestamp: time.Now().Unix()}}),
	} {
		if !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s below a file: %v; want unavailable, naming the file", name, err)
		}
	}
}

func TestSameBatchTwice(t *testing.T) {
	root := t.TempDir()
	p := start(t, root)
	must(t, p.Plugin, nil)
	if left, _ := os.ReadDir(root); len(left) != 0 {
		t.Errorf("an empty batch made %v", left)
	}
	now := time.Now().Unix()
	var batch sdk.Batch
	for i := range int64(2000) { // none at the edge of an archive, which a second later is beyond it
		batch = append(batch, sdk.Datapoint{Metric: "a.b", Timestamp: now - i*600 - 300, Value: float64(i)})
	}
	must(t, p.Plugin, batch)
	once, err := os.ReadFile(filepath.Join(root, "a", "b.wsp"))
	if err != nil {
		t.Fatal(err)
	}
	must(t, p.Plugin, batch)
	if twice, _ := os.ReadFile(filepath.Join(root, "a", "b.wsp")); !slices.Equal(once, twice) {
		t.Error("writing the batch again changed the file")
	}
	if left, _ := os.ReadDir(filepath.Join(root, "a")); len(left) != 1 {
		t.Errorf("the metric's folder holds %v, want its file alone", left)
	}
}

func TestConcurrentWrites(t *testing.T) {
	root := t.TempDir()
	p := start(t, root)
	now := time.Now().Unix()
	first := now - now%60 - 60*59
	const writers, metrics = 12, 5
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() { // every metric by every writer, each at its own timestamps
			for i := w; i < 60; i += writers {
				var batch sdk.Batch
				for m := range metrics {
					batch = append(batch, sdk.Datapoint{Metric: fmt.Sprintf("all.m%d", m), Timestamp: first + int64(i)*60, Value: float64(i)})
				}
				if err := p.Plugin.Write(t.Context(), batch); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for m := range metrics {
		path := fmt.Sprintf("all/m%d.wsp", m)
		got := read(t, root, now, look{path, 60, 86400}, look{path, 600, 86400})
		for i := range int64(60) {
			if v, ok := got[0][first+i*60]; !ok || v != float64(i) {
				t.Errorf("%s has %v at the %dth timestamp, want %d", path, v, i, i)
			}
		}
		whole := first - first%600 + 600 // an interval of which all points were written
		if want := float64((whole-first)/60) + 4.5; got[1][whole] != want {
			t.Errorf("%s has %v in the coarser archive, want %v", path, got[1][whole], want)
		}
	}
}

// Files that come into being under several writers lose none of their points.
func TestConcurrentFirstWrites(t *testing.T) {
	s := newSink(t, t.TempDir(), "60s:1h")
	now := time.Now().Unix()
	const writers, metrics = 8, 250
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for w := range writers {
		wg.Go(func() {
			<-begin
			for m := range metrics {
				b := sdk.Batch{{Metric: fmt.Sprintf("m%d", m), Timestamp: now - int64(w)*60, Value: float64(w)}}
				if err := s.Write(t.Context(), b); err != nil {
					t.Error(err)
				}
			}
		})
	}
	close(begin)
	wg.Wait()
	var looks []look
	for m := range metrics {
		looks = append(looks, look{fmt.Sprintf("m%d.wsp", m), 60, 3600})
	}
	for m, got := range read(t, s.path, now, looks...) {
		if len(got) != writers {
			t.Errorf("metric m%d has %v, want a point of each of %d writers", m, got, writers)
		}
	}
}

func TestLocks(t *testing.T) {
	var l locks
	unlock, err := l.lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.lock(over, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("a held lock was given again: %v", err)
	}
	other, err := l.lock(over, "b")
	if err != nil {
		t.Fatalf("the lock of another file: %v", err)
	}
	other()
	unlock()
	again, err := l.lock(over, "a")
	if err != nil {
		t.Fatalf("a lock that was given back: %v", err)
	}
	again()
	if len(l.held) != 0 {
		t.Errorf("locks that nobody holds are kept: %v", l.held)
	}
}

// A file that another process has locked is waited for, as long as the call may
// take.
func TestLockOfAnotherProcess(t *testing.T) {
	s := newSink(t, t.TempDir(), "60s:1d")
	now := time.Now().Unix()
	batch := sdk.Batch{{Metric: "a", Timestamp: now, Value: 1}}
	must(t, s, batch)
	file, err := os.Open(filepath.Join(s.path, "a.wsp"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := s.Write(ctx, batch); !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "a.wsp: locked") {
		t.Errorf("Write to a locked file: %v; want unavailable, naming the file", err)
	}
	done := make(chan error)
	go func() { done <- s.Write(t.Context(), batch) }()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Write after the lock was given back: %v", err)
	}
}

// One metric that cannot be stored keeps no other from it.
func TestOthersAreWritten(t *testing.T) {
	root := t.TempDir()
	p := start(t, root)
	if err := os.WriteFile(filepath.Join(root, "bad.wsp"), []byte("not a whisper file, and longer than a header"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "folder.wsp"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(root, "fifo.wsp"), 0o644); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	good := now - now%60
	for _, tt := range []struct{ metric, words string }{
		{"bad", "whisper file bad.wsp: the file is damaged"},
		{"bad.inside.wsp.it", ""},
		{"folder", "whisper file folder.wsp"},
		{"fifo", "no regular file"},
		{"a;b=c", "tags"},
		{"a\nb", "control character"},
		{strings.Repeat(strings.Repeat("x", 200)+".", 21) + "x", "longer than 4095 bytes"},
	} {
		err := p.Plugin.Write(t.Context(), sdk.Batch{
			{Metric: "before", Timestamp: good, Value: 1}, {Metric: tt.metric, Timestamp: good, Value: 2}, {Metric: "after", Timestamp: good, Value: 3},
		})
		if tt.words == "" && err != nil || tt.words != "" && (!errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), tt.words)) {
			t.Errorf("Write of %.20q: %v; want invalid, with the words %q", tt.metric, err, tt.words)
		}
		got := read(t, root, now, look{"before.wsp", 60, 86400}, look{"after.wsp", 60, 86400})
		if got[0][good] != 1 || got[1][good] != 3 {
			t.Errorf("beside %.20q, the others have %v", tt.metric, got)
		}
		for _, name := range []string{"before.wsp", "after.wsp"} {
			if err := os.Remove(filepath.Join(root, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	err := p.Plugin.Write(t.Context(), sdk.Batch{{Metric: "far", Timestamp: 1 << 32, Value: 1}, {Metric: "far", Timestamp: good, Value: 2}})
	if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), "4294967296") {
		t.Errorf("a timestamp beyond 32 bits: %v; want invalid, naming it", err)
	}
	if got := read(t, root, now, look{"far.wsp", 60, 86400}); got[0][good] != 2 {
		t.Errorf("beside a timestamp beyond 32 bits the metric has %v", got)
	}
}

// Links are followed inside the root, and not out of it.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	root, outside := filepath.Join(dir, "root"), filepath.Join(dir, "outside")
	s, elsewhere := newSink(t, root, "60s:1d"), newSink(t, outside, "60s:1d")
	now := time.Now().Unix()
	must(t, s, sdk.Batch{{Metric: "inside.a", Timestamp: now, Value: 1}})
	must(t, elsewhere, sdk.Batch{{Metric: "a", Timestamp: now, Value: 1}})
	for name, target := range map[string]string{
		"out": outside, "up": "../outside", "file.wsp": "../outside/a.wsp", "absolute.wsp": filepath.Join(outside, "a.wsp"),
		"new.wsp": "../outside/new.wsp", "loop": "loop", "near": "inside",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	before, _ := os.ReadFile(filepath.Join(outside, "a.wsp"))
	for _, metric := range []string{"out.a", "out.b", "out.b.c", "up.a", "up.b", "file", "absolute", "new", "loop.a"} {
		err := s.Write(t.Context(), sdk.Batch{{Metric: metric, Timestamp: now, Value: 2}})
		if !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("Write of %s, through a link: %v; want invalid", metric, err)
		}
	}
	after, _ := os.ReadFile(filepath.Join(outside, "a.wsp"))
	if left, _ := os.ReadDir(outside); len(left) != 1 || !slices.Equal(before, after) {
		t.Errorf("the folder outside was changed: %v", left)
	}
	must(t, s, sdk.Batch{{Metric: "near.a", Timestamp: now - 60, Value: 3}})
	if got := read(t, root, now, look{"inside/a.wsp", 60, 3600}); got[0][now-now%60-60] != 3 {
		t.Errorf("through a link inside the root, the file has %v", got[0])
	}
}

// smallDisk returns a folder that is a disk of its own.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	root := t.TempDir()
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size="+size); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("mount a small disk: %v", err)
		}
		t.Skipf("mount a small disk: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(root, 0) })
	return root
}

func TestFullDisk(t *testing.T) {
	root := smallDisk(t, "64k")
	p := start(t, root, "retentions", "60s:1d")
	now := time.Now().Unix()
	var batch sdk.Batch
	for i := range 6 {
		batch = append(batch, sdk.Datapoint{Metric: fmt.Sprintf("m%d", i), Timestamp: now, Value: 1})
	}
	err := p.Plugin.Write(t.Context(), batch)
	if !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("Write to a full disk: %v; want unavailable", err)
	}
	left, _ := os.ReadDir(root)
	if len(left) == 0 || len(left) == len(batch) {
		t.Errorf("the disk holds %d files, want some of %d", len(left), len(batch))
	}
	for _, f := range left {
		raw, _ := os.ReadFile(filepath.Join(root, f.Name()))
		if _, err := parseHeader(raw, int64(len(raw))); err != nil || !strings.HasSuffix(f.Name(), ".wsp") {
			t.Errorf("the full disk was left with %s: %v", f.Name(), err)
		}
	}
}

func TestKindsOfError(t *testing.T) {
	for err, want := range map[error]error{
		syscall.ENOSPC: sdk.ErrUnavailable, syscall.EDQUOT: sdk.ErrUnavailable, syscall.EACCES: sdk.ErrUnavailable,
		syscall.EROFS: sdk.ErrUnavailable, syscall.EMFILE: sdk.ErrUnavailable, context.DeadlineExceeded: sdk.ErrUnavailable,
		syscall.ENOTDIR: sdk.ErrInvalid, syscall.ENAMETOOLONG: sdk.ErrInvalid, errDamaged: sdk.ErrInvalid,
		libraryError(errors.New("update_many_for_archive panics: Failed to propagate\nstack")):       sdk.ErrUnavailable,
		libraryError(errors.New("update_many_for_archive panics: index out of range [3]\nstack...")): sdk.ErrInvalid,
	} {
		got := fileError("a/b.wsp", &fs.PathError{Op: "openat", Path: "/proc/self/fd/3", Err: err})
		if !errors.Is(got, want) || !strings.Contains(got.Error(), "a/b.wsp") || strings.Contains(got.Error(), "stack") {
			t.Errorf("fileError of %v: %v; want %v, naming the file", err, got, want)
		}
	}
}

// makeFile returns an empty whisper file as Carbon makes it.
func makeFile(kind schema.Aggregation, xFilesFactor float32, retentions []schema.Retention) []byte {
	offset := headerSize + archiveHeaderSize*len(retentions)
	b := binary.BigEndian.AppendUint32(nil, uint32(kind))
	b = binary.BigEndian.AppendUint32(b, uint32(retentions[len(retentions)-1].Span()))
	b = binary.BigEndian.AppendUint32(b, math.Float32bits(xFilesFactor))
	b = binary.BigEndian.AppendUint32(b, uint32(len(retentions)))
	for _, r := range retentions {
		b = binary.BigEndian.AppendUint32(b, uint32(offset))
		b = binary.BigEndian.AppendUint32(b, uint32(r.Step))
		b = binary.BigEndian.AppendUint32(b, uint32(r.Count))
		offset += int(r.Count) * pointSize
	}
	return append(b, make([]byte, offset-len(b))...)
}
