package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"fluxgate/sdk"
)

// limitedSink returns a sink inside this process that makes files now, and then
// one each interval.
func limitedSink(t testing.TB, path string, now int, interval time.Duration) *sink {
	t.Helper()
	c := defaults()
	c.Path, c.CreatesPerMinute = path, 1
	s := openSink(t, c)
	s.creations = rate.NewLimiter(rate.Every(interval), max(now, 1))
	if now == 0 {
		s.creations.Allow()
	}
	return s
}

// awaitFiles returns when nothing waits in the log of a folder any more.
func awaitFiles(t testing.TB, root string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	overdue := time.After(30 * time.Second)
	for {
		if info, err := os.Stat(filepath.Join(root, logName)); err == nil && info.Size() == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-overdue:
			text, _ := os.ReadFile(filepath.Join(root, logName))
			t.Fatalf("after thirty seconds this waits: %.500s", text)
		}
	}
}

func exists(root, metric string) bool {
	_, err := os.Stat(filepath.Join(root, metric+".wsp"))
	return err == nil
}

// many is a datapoint for each of n metrics.
func many(prefix string, n int, at int64) (b sdk.Batch) {
	for i := range n {
		b = append(b, sdk.Datapoint{Metric: fmt.Sprintf("%s%d", prefix, i), Timestamp: at, Value: float64(i)})
	}
	return b
}

// While metrics wait for their files, those that have one are written at once,
// and in the end every metric has what came.
func TestExistingMetricsDoNotWait(t *testing.T) {
	s := limitedSink(t, t.TempDir(), 3, time.Hour)
	now := time.Now().Unix()
	at := now - now%60 - 600
	must(t, s, many("old", 3, at))
	const metrics, rounds = 30, 5
	for i := range int64(rounds) {
		b := append(many("new", metrics, at+i*60), many("old", 3, at+i*60)...)
		rand.Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
		must(t, s, b)
		got := read(t, s.path, now, look{"old0.wsp", 60, 3600}, look{"old2.wsp", 60, 3600})
		if len(got[0]) != int(i)+1 || got[1][at+i*60] != 2 {
			t.Errorf("after batch %d the old metrics have %v", i, got)
		}
		if files, _ := filepath.Glob(filepath.Join(s.path, "*.wsp")); len(files) != 3 {
			t.Fatalf("%d files are there, want the 3 old ones: the new wait an hour for the next", len(files))
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	must(t, newSink(t, s.path, defaults().Retentions), many("old", 1, at))
	awaitFiles(t, s.path)
	var looks []look
	for i := range metrics {
		looks = append(looks, look{fmt.Sprintf("new%d.wsp", i), 60, 3600})
	}
	for m, got := range read(t, s.path, now, looks...) {
		for i := range int64(rounds) {
			if v, ok := got[at+i*60]; !ok || v != float64(m) || len(got) != rounds {
				t.Fatalf("%s has %v, want %d at %d timestamps", looks[m].path, got, m, rounds)
			}
		}
	}
	if left, _ := os.ReadDir(s.path); len(left) != metrics+3+1 {
		t.Errorf("%d files in the folder, want the metrics' and the log", len(left))
	}
}

// Files are made no faster than they may be, in the order in which their metrics
// came, and no new metric overtakes one that waits.
func TestCreationsAreLimited(t *testing.T) {
	const interval = 50 * time.Millisecond
	s := limitedSink(t, t.TempDir(), 2, interval)
	now, began := time.Now().Unix(), time.Now()
	must(t, s, many("a", 8, now))
	made := 0
	for i := range 8 {
		if exists(s.path, fmt.Sprintf("a%d", i)) {
			made++
		}
	}
	if limit := 2 + int(time.Since(began)/interval) + 1; made < 2 || made > limit {
		t.Errorf("%d files were made at once, want 2 to %d", made, limit)
	}
	must(t, s, many("b", 1, now))
	awaitFiles(t, s.path)
	if took := time.Since(began); took < 6*interval {
		t.Errorf("7 more files were made within %v, which is less than one each %v", took, interval)
	}
	if !exists(s.path, "b0") || !exists(s.path, "a7") {
		t.Error("a file is missing")
	}
}

// A new metric does not overtake those that wait, even where a file might be made.
func TestNoMetricOvertakes(t *testing.T) {
	s := limitedSink(t, t.TempDir(), 10, time.Hour)
	s.drain.cancel = func() {} // as if it had begun, and were slow
	if opened, err := s.waiting.open(s.path, true); err != nil || !opened {
		t.Fatal(opened, err)
	}
	now := time.Now().Unix()
	if err := s.keep([]filing{{"first.wsp", "first", []sdk.Point{{Timestamp: now, Value: 1}}}}); err != nil {
		t.Fatal(err)
	}
	must(t, s, many("next", 1, now))
	if exists(s.path, "next0") {
		t.Fatal("the next metric has its file before the first")
	}
	for _, want := range []string{"first", "next0"} {
		if f, ok := s.waiting.next(t.Context()); !ok || f.metric != want {
			t.Errorf("the turn is that of %q, want %q", f.metric, want)
		}
	}
}

// Close ends what goes on in the background.
func TestCloseLeavesNothingRunning(t *testing.T) {
	before := runtime.NumGoroutine()
	s := limitedSink(t, t.TempDir(), 1, time.Hour)
	must(t, s, many("a", 20, time.Now().Unix()))
	if runtime.NumGoroutine() <= before {
		t.Fatal("nothing goes on: this test proves nothing")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, were %d", runtime.NumGoroutine(), before)
		}
	}
}

func TestNoLimitNoLog(t *testing.T) {
	s := newSink(t, t.TempDir(), "60s:1h")
	must(t, s, many("a", 100, time.Now().Unix()))
	if left, _ := os.ReadDir(s.path); len(left) != 100 {
		t.Errorf("%d files, want one for each of 100 metrics and no other", len(left))
	}
}

// A metric's points are in its file as if it had never waited: each behind those
// that came before it, whatever its timestamp.
func TestOrderOfWaitingPoints(t *testing.T) {
	waits, direct := limitedSink(t, t.TempDir(), 0, time.Hour), newSink(t, t.TempDir(), defaults().Retentions)
	now := int64(1_600_000_000)
	setClock(t, func() int64 { return now })
	at := now - now%600 - 1200
	b := func(points ...sdk.Point) sdk.Batch { return sdk.Series{Metric: "m", Points: points}.Batch() }
	for _, batch := range []sdk.Batch{
		b(sdk.Point{Timestamp: at, Value: 1}, sdk.Point{Timestamp: at + 5, Value: 2}),
		b(sdk.Point{Timestamp: at + 120, Value: 3}),
		b(sdk.Point{Timestamp: at + 1, Value: 4}), // into the same interval, later
		b(sdk.Point{Timestamp: at + 125, Value: 5}, sdk.Point{Timestamp: at + 125, Value: 6}),
		b(sdk.Point{Timestamp: at + 121, Value: 7}),
		b(sdk.Point{Timestamp: at + 121, Value: 7}, sdk.Point{Timestamp: at + 125, Value: 6}), // again, as in a retry
		b(sdk.Point{Timestamp: now - 3*86400, Value: 8}),
	} {
		must(t, waits, batch)
		must(t, direct, batch)
	}
	if exists(waits.path, "m") {
		t.Fatal("the metric does not wait: this test proves nothing")
	}
	if err := waits.Close(); err != nil {
		t.Fatal(err)
	}
	after := newSink(t, waits.path, defaults().Retentions) // without a limit: it writes before anything else what waits
	last := b(sdk.Point{Timestamp: at + 2, Value: 9})
	must(t, after, last)
	must(t, direct, last)
	awaitFiles(t, after.path)
	got, err := os.ReadFile(filepath.Join(after.path, "m.wsp"))
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := os.ReadFile(filepath.Join(direct.path, "m.wsp")); !bytes.Equal(got, want) {
		t.Error("the file differs from that of a metric that has not waited")
	}
}

// A batch that is retried waits once, or the log would fill with it.
func TestRetriedBatchWaitsOnce(t *testing.T) {
	s := limitedSink(t, t.TempDir(), 0, time.Hour)
	b := many("a", 100, time.Now().Unix())
	b = append(b, b[0], sdk.Datapoint{Metric: "a0", Timestamp: b[0].Timestamp, Value: -1})
	must(t, s, b)
	size := s.waiting.log.size
	for range 3 {
		must(t, s, b)
	}
	if s.waiting.log.size != size {
		t.Errorf("the log has grown from %d to %d bytes", size, s.waiting.log.size)
	}
	if got := s.waiting.of("a0.wsp"); len(got) != 1 || got[0].Value != -1 {
		t.Errorf("%v waits, want the last value of the timestamp", got)
	}
}

// Where there is no more room the batch may be tried again, which succeeds once
// enough files have been made; existing metrics are written meanwhile.
func TestFullLog(t *testing.T) {
	s := limitedSink(t, t.TempDir(), 1, time.Hour)
	now := time.Now().Unix()
	must(t, s, sdk.Batch{{Metric: "old", Timestamp: now, Value: 1}})
	s.waiting.most = 100 // one datapoint more than nothing
	must(t, s, many("a", 500, now))
	b := sdk.Batch{{Metric: "new", Timestamp: now, Value: 2}, {Metric: "old", Timestamp: now, Value: 3}}
	err := s.Write(t.Context(), b)
	if !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "1 metrics of the batch have no file yet") ||
		!strings.Contains(err.Error(), "max_waiting") || !strings.Contains(err.Error(), "room again in about 49") { // hours, for 499 of 500 files
		t.Errorf("Write where nothing more may wait: %v; want unavailable, saying for how long", err)
	}
	if got := read(t, s.path, now, look{"old.wsp", 60, 3600}); got[0][now-now%60] != 3 {
		t.Errorf("the existing metric has %v, want the 3 of the batch that has no room", got[0])
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	next := limitedSink(t, s.path, 500, time.Millisecond)
	next.waiting.most = 100
	for { // as the host does
		if err = next.Write(t.Context(), b); err == nil {
			break
		}
		if !errors.Is(err, sdk.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	awaitFiles(t, s.path)
	if !exists(s.path, "new") || !exists(s.path, "a499") {
		t.Error("a file is missing")
	}
}

// The host retries a batch whole. One of 5,000 new metrics that has no room to
// wait comes to its end nevertheless.
func TestRetriesConverge(t *testing.T) {
	s := limitedSink(t, t.TempDir(), 1, time.Millisecond)
	s.waiting.most = 64 * 50
	now := time.Now().Unix()
	whole := many("a", 1000, now)
	tries := 0
	for part := range slices.Chunk(whole, 100) { // ten batches behind each other
		for {
			tries++
			err := s.Write(t.Context(), part)
			if err == nil {
				break
			}
			if !errors.Is(err, sdk.ErrUnavailable) {
				t.Fatal(err)
			}
		}
	}
	awaitFiles(t, s.path)
	s.waiting.mu.RLock()
	defer s.waiting.mu.RUnlock()
	if s.waiting.bytes != 0 {
		t.Errorf("nothing waits, and %d bytes are counted", s.waiting.bytes)
	}
	if files, _ := filepath.Glob(filepath.Join(s.path, "*.wsp")); len(files) != len(whole) || tries <= 10 {
		t.Errorf("%d files of %d after %d writes, want all of them, and retries", len(files), len(whole), tries)
	}
}

// What a killed process has acknowledged is in the files of the next, whenever
// the kill came.
func TestKilledWhileMetricsWait(t *testing.T) {
	root := t.TempDir()
	random := rand.New(rand.NewPCG(3, 4))
	now := time.Now().Unix()
	at := now - now%60 - 50*60
	acknowledged := make(map[string]map[int64]float64)
	const kills, metrics = 6, 200
	waited := 0
	for k := range kills {
		p := startWith(t, map[string]any{"path": root, "creates_per_minute": 120, "retentions": "60s:2h"})
		written := make(chan sdk.Batch, 1000)
		var writing sync.WaitGroup
		for w := range 2 {
			writing.Go(func() {
				for i := 0; ; i++ {
					var b sdk.Batch
					for range 1 + (i*7+w)%40 {
						m := (i*13 + len(b)*29 + w) % metrics // each metric belongs to one writer
						b = append(b, sdk.Datapoint{
							Metric: fmt.Sprintf("k%d.w%d.m%d", k%3, w, m), Timestamp: at + int64((i+k*7)%50)*60, Value: float64(k*1_000_000 + i*100 + w),
						})
					}
					if err := p.Plugin.Write(context.Background(), b); err != nil {
						return // it is dead; what became of the batch is not known
					}
					written <- b
				}
			})
		}
		go func() {
			writing.Wait()
			close(written)
		}()
		left := 30 + random.IntN(60)
		for b := range written {
			for _, d := range b {
				if acknowledged[d.Metric] == nil {
					acknowledged[d.Metric] = make(map[int64]float64)
				}
				acknowledged[d.Metric][d.Timestamp] = d.Value
			}
			if left--; left == 0 {
				if err := syscall.Kill(p.Pid(), syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
		}
		<-p.Done()
		if info, err := os.Stat(filepath.Join(root, logName)); err == nil && info.Size() > 0 {
			waited++
		}
	}
	if waited == 0 {
		t.Fatal("nothing waited at any kill: this test proves nothing")
	}
	p := start(t, root, "retentions", "60s:2h")
	must(t, p.Plugin, sdk.Batch{{Metric: "last", Timestamp: now, Value: 1}})
	awaitFiles(t, root)
	compareAcknowledged(t, root, now, acknowledged)
}

// compareAcknowledged compares files with what was acknowledged, by metric and
// timestamp. A value may be of a later write that was not acknowledged.
func compareAcknowledged(t *testing.T, root string, now int64, acknowledged map[string]map[int64]float64) {
	t.Helper()
	var looks []look
	var metrics []string
	for metric := range acknowledged {
		metrics = append(metrics, metric)
		looks = append(looks, look{strings.ReplaceAll(metric, ".", "/") + ".wsp", 60, 7200})
	}
	missing := 0
	for i, got := range read(t, root, now, looks...) {
		for timestamp, want := range acknowledged[metrics[i]] {
			if v, ok := got[timestamp]; !ok || v < want {
				if missing++; missing <= 5 {
					t.Errorf("%s has %v (%v) at %d, acknowledged was %v", metrics[i], v, ok, timestamp, want)
				}
			}
		}
	}
	if missing > 0 {
		t.Errorf("%d datapoints that were acknowledged are missing", missing)
	}
}

// A log that ends in the middle of a line, or has a damaged one, loses no other
// line, and takes more.
func TestDamagedLog(t *testing.T) {
	log := listen(t)
	now := time.Now().Unix()
	var whole []byte
	for i := range 20 {
		whole = filing{metric: fmt.Sprintf("a%d", i), points: []sdk.Point{{Timestamp: now, Value: float64(i)}}}.appendTo(whole)
	}
	ends := []int{0}
	for i, c := range whole {
		if c == '\n' {
			ends = append(ends, i+1)
		}
	}
	for _, tt := range []struct {
		name string
		text []byte
		lost int // datapoints
		told int // times
	}{
		{"torn", whole[:len(whole)-5], 1, 0},
		{"torn after a checksum", whole[:ends[19]+9], 1, 0},
		{"zeros at the end", append(slices.Clone(whole), make([]byte, 100)...), 0, 0},
		{"a flipped bit", slices.Concat(whole[:200], []byte{whole[200] ^ 1}, whole[201:]), 1, 1},
		{"a line of something else", slices.Concat(whole[:ends[3]], []byte("hello\n"), whole[ends[3]:]), 0, 1},
	} {
		root, before := t.TempDir(), log.count("the log is damaged")
		if err := os.WriteFile(filepath.Join(root, logName), tt.text, 0o600); err != nil {
			t.Fatal(err)
		}
		s := limitedSink(t, root, 0, time.Hour)
		must(t, s, many("b", 3, now))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		must(t, newSink(t, root, "60s:1h"), many("c", 1, now))
		awaitFiles(t, root)
		files, _ := filepath.Glob(filepath.Join(root, "*.wsp"))
		if len(files) != 20+3+1-tt.lost {
			t.Errorf("%s: %d files, want %d", tt.name, len(files), 24-tt.lost)
		}
		if told := log.count("the log is damaged") - before; told != tt.told {
			t.Errorf("%s: told %d times, want %d", tt.name, told, tt.told)
		}
	}
}

// The log does not grow with what is settled, and what it holds survives its
// being written anew.
func TestLogIsWrittenAnew(t *testing.T) {
	root := t.TempDir()
	s := limitedSink(t, root, 0, time.Hour)
	now := time.Now().Unix()
	now -= now % 60
	must(t, s, many("stays", 10, now))
	for i := range 40 {
		var b sdk.Batch
		for k := range 2000 {
			b = append(b, sdk.Datapoint{Metric: fmt.Sprintf("a%d", i), Timestamp: now - int64(k), Value: float64(k)})
		}
		must(t, s, b)
		s.waiting.settle(fmt.Sprintf("a%d.wsp", i), 2000)
	}
	if info, err := os.Stat(filepath.Join(root, logName)); err != nil || info.Size() > 3<<20 {
		t.Errorf("the log has %d bytes, of which 10 lines wait", info.Size())
	}
	if left, _ := filepath.Glob(filepath.Join(root, newLogName)); len(left) > 0 {
		t.Error("half a log is left")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	must(t, newSink(t, root, "60s:1h"), many("c", 1, now))
	awaitFiles(t, root)
	if files, _ := filepath.Glob(filepath.Join(root, "*.wsp")); len(files) != 11 {
		t.Errorf("files %v, want the ten that waited and another", files)
	}
}

// Two processes never keep a log in one folder: the second writes to files that
// exist, and its new metrics are told to come again, until the first is gone.
func TestOneProcessKeepsTheLog(t *testing.T) {
	root := t.TempDir()
	now := time.Now().Unix()
	first := startWith(t, map[string]any{"path": root, "creates_per_minute": 1})
	must(t, first.Plugin, many("a", 1, now))
	must(t, first.Plugin, many("a", 3, now))
	second := start(t, root)
	must(t, second.Plugin, many("a", 1, now))
	if err := second.Plugin.Write(t.Context(), many("b", 1, now)); !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), root+": another process makes files here") {
		t.Errorf("Write of a new metric beside a process that keeps the log: %v; want unavailable", err)
	}
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, second.Plugin, many("b", 1, now))
	awaitFiles(t, root)
	if !exists(root, "a2") || !exists(root, "b0") {
		t.Error("a file is missing")
	}
}

// Opening leaves the log alone, as fluxgate check opens beside a server.
func TestOpenLeavesTheLogAlone(t *testing.T) {
	root := t.TempDir()
	now := time.Now().Unix()
	p := startWith(t, map[string]any{"path": root, "creates_per_minute": 1})
	must(t, p.Plugin, many("a", 3, now))
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(filepath.Join(root, logName))
	again := start(t, root)
	if err := again.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := again.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(filepath.Join(root, logName)); len(before) == 0 || !bytes.Equal(before, after) {
		t.Errorf("the log has %d bytes, had %d", len(after), len(before))
	}
}

// A file that cannot be made keeps its datapoints waiting, and no other file.
func TestFileThatCannotBeMade(t *testing.T) {
	log := listen(t)
	s := limitedSink(t, t.TempDir(), 0, 10*time.Millisecond)
	s.creations.SetLimit(rate.Every(time.Hour))
	now := time.Now().Unix()
	must(t, s, sdk.Batch{{Metric: "bad.a", Timestamp: now, Value: 1}})
	if err := os.WriteFile(filepath.Join(s.path, "bad"), nil, 0o600); err != nil { // where its folder should be
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	next := limitedSink(t, s.path, 1, 10*time.Millisecond)
	must(t, next, many("good", 3, now))
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !exists(s.path, "good2") || log.count("bad/a.wsp") == 0 {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("the others are not made")
		}
	}
	if got := next.waiting.of("bad/a.wsp"); len(got) != 1 {
		t.Errorf("%v waits for the file that cannot be made, want its datapoint", got)
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(s.path, "bad")); err != nil {
		t.Fatal(err)
	}
	must(t, newSink(t, s.path, "60s:1h"), many("good", 1, now))
	awaitFiles(t, s.path)
	if !exists(s.path, "bad/a") {
		t.Error("once it can be made, the file is missing")
	}
}

func TestFullDiskWhileMetricsWait(t *testing.T) {
	root := smallDisk(t, "64k")
	s := limitedSink(t, root, 0, time.Hour)
	now := time.Now().Unix()
	var err error
	taken := 0
	for ; err == nil && taken < 100; taken++ {
		err = s.Write(t.Context(), many(fmt.Sprintf("a%d.", taken), 100, now))
	}
	if !errors.Is(err, sdk.ErrUnavailable) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("after %d batches: %v; want unavailable, for the disk is full", taken, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	next := limitedSink(t, root, 0, time.Hour)
	err = next.Write(t.Context(), many("b", 100, now))
	if !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("on the full disk: %v; want unavailable", err)
	}
	if got, want := len(next.waiting.all), (taken-1)*100; got != want {
		t.Errorf("%d metrics wait, want the %d of the batches that were taken", got, want)
	}
}

// A line is read as it was written, whatever the value.
func FuzzLine(f *testing.F) {
	for _, v := range []float64{0, math.Copysign(0, -1), 1.5, math.MaxFloat64, math.SmallestNonzeroFloat64, -1e-7} {
		f.Add("a.b", int64(1_600_000_000), math.Float64bits(v), "")
	}
	f.Add("a b", int64(-1), uint64(1), "00000000 - 3 a\n")
	f.Fuzz(func(t *testing.T, metric string, timestamp int64, bits uint64, other string) {
		_, _, _ = parseLine(other)
		value := math.Float64frombits(bits)
		if value != value || strings.ContainsAny(metric, "\n") {
			return
		}
		in := filing{metric: metric, points: []sdk.Point{{Timestamp: timestamp, Value: value}}}
		text := string(in.appendTo(nil))
		if len(text) > maxLine+len(metric) {
			t.Errorf("%q is longer than is counted", text)
		}
		out, settled, err := parseLine(strings.TrimSuffix(text, "\n"))
		if err != nil {
			if !errors.Is(err, sdk.ErrInvalid) { // no such file can be
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if out.metric != metric || settled != 0 || len(out.points) != 1 || out.points[0].Timestamp != timestamp ||
			math.Float64bits(out.points[0].Value) != bits {
			t.Errorf("%q is read as %v", text, out)
		}
		if _, n, err := parseLine(strings.TrimSuffix(string(appendSettled(nil, metric, 7)), "\n")); err != nil || n != 7 {
			t.Errorf("settled: %d, %v", n, err)
		}
	})
}
