package main

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-graphite/go-whisper"

	"fluxgate/sdk"
	"fluxgate/sdk/schema"
	"fluxgate/testdata/servers"
)

const (
	fixtures    = "../../../testdata/whisper"
	fixturesNow = 1_600_000_000 // when they were made
)

// A fixture is a file that Graphite's tools have made, with its points.
type fixture struct {
	name     string
	content  []byte
	steps    []int64             // of its archives, the finest first
	archives []map[int64]float64 // value by timestamp
}

// readFixtures reads the files of testdata/whisper, and the texts beside them.
func readFixtures(t testing.TB) (all []fixture) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(fixtures, "*.wsp"))
	if err != nil || len(paths) < 11 {
		t.Fatalf("%d whisper files in %s, %v", len(paths), fixtures, err)
	}
	for _, path := range paths {
		f := fixture{name: strings.TrimSuffix(filepath.Base(path), ".wsp")}
		if f.content, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(strings.TrimSuffix(path, ".wsp") + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			left, right, _ := strings.Cut(strings.TrimSpace(line), " ")
			if left == "#" {
				step, err := strconv.ParseInt(right, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				f.steps, f.archives = append(f.steps, step), append(f.archives, make(map[int64]float64))
				continue
			}
			timestamp, err := strconv.ParseInt(left, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if f.archives[len(f.archives)-1][timestamp], err = strconv.ParseFloat(right, 64); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, f)
	}
	return all
}

// points returns those of the finest archive, in ascending order of time.
func (f fixture) points(metric string) (b sdk.Batch) {
	for _, timestamp := range slices.Sorted(maps.Keys(f.archives[0])) {
		b = append(b, sdk.Datapoint{Metric: metric, Timestamp: timestamp, Value: f.archives[0][timestamp]})
	}
	return b
}

// compare compares an archive as it was read with the text.
func (f fixture) compare(t *testing.T, reader string, i int, got map[int64]float64) {
	t.Helper()
	if !maps.Equal(got, f.archives[i]) {
		t.Errorf("%s, archive %d s: %s reads %v, the text says %v", f.name, f.steps[i], reader, got, f.archives[i])
	}
}

func TestFixturesAreMadeAgain(t *testing.T) {
	servers.NeedPython(t, "whisper")
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "/usr/bin/python3", "-I", filepath.Join(fixtures, "make.py"), dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	made, _ := os.ReadDir(dir)
	kept, _ := filepath.Glob(filepath.Join(fixtures, "*.[wt][sx][pt]"))
	if len(made) != len(kept) {
		t.Errorf("make.py makes %d files, in the folder are %d", len(made), len(kept))
	}
	for _, e := range made {
		got, _ := os.ReadFile(filepath.Join(dir, e.Name()))
		if want, _ := os.ReadFile(filepath.Join(fixtures, e.Name())); !bytes.Equal(got, want) {
			t.Errorf("make.py makes another %s", e.Name())
		}
	}
}

// Graphite, go-whisper and this package read in every archive what the text says.
func TestFixturesAreReadAlike(t *testing.T) {
	setClock(t, func() int64 { return fixturesNow })
	kinds := make(map[schema.Aggregation]bool)
	for _, f := range readFixtures(t) {
		h, err := parseHeader(f.content, int64(len(f.content)))
		if err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		kinds[h.aggregation] = true
		if !bytes.Equal(h.encode(), f.content[:len(h.encode())]) {
			t.Errorf("%s: the header is written otherwise than it was read", f.name)
		}
		w, err := whisper.OpenWithOptions(filepath.Join(fixtures, f.name+".wsp"), &whisper.Options{})
		if err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		var looks []look
		for i, a := range h.archives {
			if a.Step != f.steps[i] {
				t.Fatalf("%s: step %d, the text says %d", f.name, a.Step, f.steps[i])
			}
			f.compare(t, "the file", i, rawPoints(f.content, a))
			f.compare(t, "go-whisper", i, fetched(t, w, a))
			looks = append(looks, look{f.name + ".wsp", a.Step, a.Span()})
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		for i, got := range read(t, fixtures, fixturesNow, looks...) {
			f.compare(t, "Graphite", i, got)
		}
	}
	if len(kinds) != int(schema.AbsoluteMin) {
		t.Errorf("aggregations %v, want a file for each", kinds)
	}
}

// rawPoints returns what stands in an archive's bytes.
func rawPoints(content []byte, a archive) map[int64]float64 {
	found := make(map[int64]float64)
	for b := content[a.offset : a.offset+a.size()]; len(b) > 0; b = b[pointSize:] {
		if at := binary.BigEndian.Uint32(b); at != 0 {
			found[int64(at)] = math.Float64frombits(binary.BigEndian.Uint64(b[4:]))
		}
	}
	return found
}

// fetched returns what go-whisper fetches of the whole span of an archive, which
// is how fluxgate show reads.
func fetched(t *testing.T, w *whisper.Whisper, a archive) map[int64]float64 {
	t.Helper()
	series, err := w.Fetch(int(fixturesNow-a.Span()), fixturesNow)
	if err != nil {
		t.Fatal(err)
	}
	if int64(series.Step()) != a.Step {
		t.Fatalf("go-whisper reads the archive of %d s for that of %d s", series.Step(), a.Step)
	}
	found := make(map[int64]float64)
	for _, p := range series.Points() {
		if !math.IsNaN(p.Value) {
			found[int64(p.Time)] = p.Value
		}
	}
	return found
}

// Of the finest points the sink makes a file with the same archives, in which
// Graphite reads the same. Where in the file a ring begins is left to chance, also
// by Graphite.
func TestFixturesAreWrittenAlike(t *testing.T) {
	setClock(t, func() int64 { return fixturesNow })
	for _, f := range readFixtures(t) {
		if f.name == "gaps" || f.name == "empty" { // written at several times, and never
			continue
		}
		h, err := parseHeader(f.content, int64(len(f.content)))
		if err != nil {
			t.Fatal(err)
		}
		s := newSink(t, t.TempDir(), "1s:1h")
		s.rules.otherwise = schema.Schema{Aggregation: h.aggregation, XFilesFactor: float64(h.xFilesFactor)}
		var looks []look
		for _, a := range h.archives {
			s.rules.otherwise.Retentions = append(s.rules.otherwise.Retentions, a.Retention)
			looks = append(looks, look{"m.wsp", a.Step, a.Span()})
		}
		must(t, s, f.points("m"))
		content, err := os.ReadFile(filepath.Join(s.path, "m.wsp"))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(h.encode()); len(content) != len(f.content) || !bytes.Equal(content[:n], f.content[:n]) {
			t.Errorf("%s: the sink's file has %d bytes and begins with % x; want %d and % x", f.name, len(content), content[:n], len(f.content), f.content[:n])
		}
		for i, got := range read(t, s.path, fixturesNow, looks...) {
			f.compare(t, "of the sink's file Graphite", i, got)
		}
	}
}
