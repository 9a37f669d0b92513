package main

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fluxgate/sdk"
	"fluxgate/sdk/schema"
)

// damagedSink returns a sink with a fixed clock, and a file of it that is good.
func damagedSink(t testing.TB) (s *sink, now int64, good []byte) {
	t.Helper()
	now = 1_600_000_000
	setClock(t, func() int64 { return now })
	s = newSink(t, t.TempDir(), "1s:60s,10s:10m,1m:1h")
	var batch sdk.Batch
	for i := range int64(3600) {
		batch = append(batch, sdk.Datapoint{Metric: "a", Timestamp: now - i, Value: float64(i)})
	}
	if err := s.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(s.path, "a.wsp"))
	if err != nil {
		t.Fatal(err)
	}
	return s, now, good
}

// writeTo puts content in the place of the file, and writes to all archives.
func writeTo(t testing.TB, s *sink, now int64, content []byte) error {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.path, "a.wsp"), content, 0o644); err != nil {
		t.Fatal(err)
	}
	var batch sdk.Batch
	for _, age := range []int64{-60, 0, 1, 59, 60, 61, 500, 601, 3599, 3600, 4000} {
		batch = append(batch, sdk.Datapoint{Metric: "a", Timestamp: now - age, Value: 1})
	}
	err := s.Write(t.Context(), batch)
	if err != nil && (!errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), "whisper file a.wsp: the file is damaged")) {
		t.Errorf("Write: %v; want invalid, naming the damaged file", err)
	}
	if err != nil && strings.Contains(err.Error(), "panics") {
		t.Errorf("the header passed, and go-whisper panicked: %v", err)
	}
	return err
}

func TestTruncatedFile(t *testing.T) {
	s, now, good := damagedSink(t)
	for n := 0; n < len(good); n++ {
		if n > 100 && n < len(good)-20 && n%7 != 0 {
			continue
		}
		if err := writeTo(t, s, now, good[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were taken for a file", n, len(good))
		}
	}
	if err := writeTo(t, s, now, good); err != nil {
		t.Errorf("the whole file: %v", err)
	}
	if err := writeTo(t, s, now, append(good, 1, 2, 3)); err != nil {
		t.Errorf("the whole file, and more: %v", err)
	}
}

func TestDamagedHeader(t *testing.T) {
	s, now, good := damagedSink(t)
	end := headerSize + 3*archiveHeaderSize
	refused := 0
	for i := range end {
		for _, flip := range []byte{0x01, 0x02, 0x10, 0x80, 0xff} {
			bad := append([]byte(nil), good...)
			bad[i] ^= flip
			if writeTo(t, s, now, bad) != nil {
				refused++
			}
		}
	}
	if refused < end*4 {
		t.Errorf("%d of %d damaged headers were refused", refused, end*5)
	}
	for name, bad := range map[string][]byte{
		"zeros":              make([]byte, len(good)),
		"go-whisper's other": append([]byte("whisper_compressed"), good...),
		"no archive":         append(append([]byte(nil), good[:12]...), 0, 0, 0, 0),
	} {
		if err := writeTo(t, s, now, bad); err == nil {
			t.Errorf("%s: taken for a file", name)
		}
	}
}

// Damage among the points cannot be told from points; it must only do no harm.
func TestDamagedPoints(t *testing.T) {
	s, now, good := damagedSink(t)
	random := rand.New(rand.NewPCG(7, 8))
	for range 300 {
		bad := append([]byte(nil), good...)
		for range 1 + random.IntN(50) {
			at := headerSize + 3*archiveHeaderSize + random.IntN(len(bad)-headerSize-3*archiveHeaderSize)
			if random.IntN(2) == 0 {
				at = []int{52, 52 + 60*12, 52 + 120*12}[random.IntN(3)] + random.IntN(4) // where a ring begins
			}
			bad[at] = byte(random.Uint32())
		}
		if err := writeTo(t, s, now, bad); err != nil {
			t.Error(err)
		}
		if after, _ := os.ReadFile(filepath.Join(s.path, "a.wsp")); len(after) != len(bad) {
			t.Errorf("the file has %d bytes, had %d", len(after), len(bad))
		}
	}
}

func FuzzDamagedFile(f *testing.F) {
	s, now, good := damagedSink(f)
	for _, n := range []int{0, 15, 16, 17, 51, 52, 63, 64, len(good) - 1, len(good)} {
		f.Add(good[:n])
	}
	f.Add(makeFile(schema.AbsoluteMin, 0.3, []schema.Retention{{Step: 1, Count: 5}, {Step: 5, Count: 20}}))
	f.Fuzz(func(t *testing.T, content []byte) { _ = writeTo(t, s, now, content) })
}

// FuzzMetric writes whatever name comes, beside a folder that must stay as it
// is.
func FuzzMetric(f *testing.F) {
	for _, metric := range []string{"a.b", "../../x", "../outside/x", "/etc/passwd", "a/./../b", "..", "", "a\x00b", "link.x", "link", ".new-", "a."} {
		f.Add(metric)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, metric string) {
		root := filepath.Join(dir, "root")
		s := newSink(t, root, "1s:10s")
		if err := errors.Join(os.MkdirAll(root, 0o755), os.MkdirAll(filepath.Join(dir, "outside"), 0o755)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../outside", filepath.Join(root, "link")); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(root)
		err := s.Write(t.Context(), sdk.Batch{{Metric: metric, Timestamp: 1_600_000_000, Value: 1}})
		if err != nil && !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("Write of %q: %v", metric, err)
		}
		var files []string
		_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() && path != filepath.Join(root, "link") {
				files = append(files, path)
			}
			return err
		})
		for _, path := range files {
			if !strings.HasPrefix(path, root+"/") || !strings.HasSuffix(path, ".wsp") {
				t.Errorf("Write of %q made %s", metric, path)
			}
		}
		if made := len(files) == 1; made != (err == nil) || len(files) > 1 {
			t.Errorf("Write of %q: %v, and made %v", metric, err, files)
		}
	})
}
