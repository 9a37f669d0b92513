package whispertest

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/schema"
	"fluxgate/testdata/servers"
)

// compose returns a whisper file. Its slots are timestamps, whose values are the
// same numbers.
func compose(retentions []schema.Retention, slots ...[]int64) []byte {
	b := binary.BigEndian.AppendUint32(nil, 1)
	b = binary.BigEndian.AppendUint32(b, uint32(retentions[len(retentions)-1].Span()))
	b = binary.BigEndian.AppendUint32(b, math.Float32bits(0.5))
	b = binary.BigEndian.AppendUint32(b, uint32(len(retentions)))
	offset := int64(headerSize + archiveHeaderSize*len(retentions))
	for _, r := range retentions {
		b = binary.BigEndian.AppendUint32(b, uint32(offset))
		b = binary.BigEndian.AppendUint32(b, uint32(r.Step))
		b = binary.BigEndian.AppendUint32(b, uint32(r.Count))
		offset += r.Count * pointSize
	}
	for _, archive := range slots {
		for _, timestamp := range archive {
			b = binary.BigEndian.AppendUint32(b, uint32(timestamp))
			b = binary.BigEndian.AppendUint64(b, math.Float64bits(float64(timestamp)))
		}
	}
	return b
}

func TestRing(t *testing.T) {
	tests := []struct {
		name  string
		slots []int64
		now   int64
		want  []int64
	}{
		{"empty", []int64{0, 0, 0, 0}, 100, nil},
		{"the first interval lies in the middle", []int64{120, 130, 100, 110}, 139, []int64{100, 110, 120, 130}},
		{"an interval is unknown", []int64{120, 0, 100, 110}, 129, []int64{100, 110, 120}},
		{"just in reach", []int64{120, 90, 100, 110}, 129, []int64{90, 100, 110, 120}},
		{"left by an earlier round", []int64{120, 90, 100, 110}, 130, []int64{100, 110, 120}},
		{"all out of reach", []int64{120, 90, 100, 110}, 1000, nil},
		{"ahead of the clock", []int64{120, 130, 140, 110}, 115, []int64{110, 120, 130, 140}},
		{"elsewhere than the first interval says", []int64{120, 110, 100, 0}, 125, []int64{100, 120}},
		{"between intervals", []int64{120, 0, 0, 113}, 125, []int64{120}},
	}
	for _, tt := range tests {
		all, err := parse(compose([]schema.Retention{{Step: 10, Count: 4}}, tt.slots), tt.now)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var want []sdk.Point
		for _, at := range tt.want {
			want = append(want, sdk.Point{Timestamp: at, Value: float64(at)})
		}
		if !slices.Equal(all[0].points, want) {
			t.Errorf("%s: got %v, want %v", tt.name, all[0].points, want)
		}
	}
}

func TestDamagedFiles(t *testing.T) {
	sound := compose([]schema.Retention{{Step: 10, Count: 2}, {Step: 20, Count: 4}}, make([]int64, 2), make([]int64, 4))
	if _, err := parse(sound, 0); err != nil {
		t.Fatal(err)
	}
	changed := func(at int, b byte) []byte {
		raw := slices.Clone(sound)
		raw[at] = b
		return raw
	}
	for name, raw := range map[string][]byte{
		"empty": nil, "half a header": sound[:headerSize-1], "half a list of archives": sound[:headerSize+archiveHeaderSize],
		"cut": sound[:len(sound)-1], "no archive": changed(15, 0), "many archives": changed(12, 1), "a step of 0": changed(headerSize+7, 0),
		"no points": changed(headerSize+11, 0), "an archive behind the end": changed(headerSize, 1), "equal steps": changed(headerSize+archiveHeaderSize+7, 10),
	} {
		if got, err := parse(raw, 0); err == nil {
			t.Errorf("%s: got %v, want an error", name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(compose([]schema.Retention{{Step: 10, Count: 4}}, []int64{120, 130, 100, 110}), int64(139))
	f.Add(compose([]schema.Retention{{Step: 10, Count: 2}, {Step: 20, Count: 4}}, []int64{20, 10}, make([]int64, 4)), int64(20))
	f.Fuzz(func(t *testing.T, raw []byte, now int64) {
		all, err := parse(raw, now)
		if err != nil {
			return
		}
		for _, a := range all {
			last := int64(-1)
			for _, p := range a.points {
				if p.Timestamp <= last || p.Timestamp%a.Step != a.points[0].Timestamp%a.Step {
					t.Fatalf("archive %v has %v", a.Retention, a.points)
				}
				last = p.Timestamp
			}
			if int64(len(a.points)) > a.Count {
				t.Fatalf("archive %v has %d points", a.Retention, len(a.points))
			}
		}
	})
}

// Both read the same file, written by Graphite's own code.
func TestFilesAreReadAsGraphiteReadsThem(t *testing.T) {
	servers.NeedPython(t, "whisper")
	dir := t.TempDir()
	var points []sdk.Point
	for i := range 200 {
		if i%7 > 1 {
			points = append(points, sdk.Point{Timestamp: minute(200 - i).Unix(), Value: float64(i) / 3})
		}
	}
	servers.WriteWhisper(t, dir, cpu, "60s:1h,5m:4h,1h:2d", points)
	path := servers.File(dir, cpu)
	want := servers.ReadWhisper(t, path)
	got, err := readFile(path, time.Now().Unix())
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || len(want) != 3 || len(want[0]) < 30 {
		t.Fatalf("got %d archives, want %d", len(got), len(want))
	}
	for i := range got {
		if !slices.Equal(got[i].points, want[i]) {
			t.Errorf("archive %v: got %v, want %v", got[i].Retention, got[i].points, want[i])
		}
	}
}

func TestFileBeingWrittenIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.wsp")
	if _, err := readFile(path, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, compose([]schema.Retention{{Step: 10, Count: 4}}, make([]int64, 4)), 0o600); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if err := syscall.Flock(int(writer.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := readFile(path, 0); !errors.Is(err, errBusy) {
		t.Errorf("a locked file: %v", err)
	}
	if err := syscall.Flock(int(writer.Fd()), syscall.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if _, err := readFile(path, 0); err != nil {
		t.Errorf("a file that is locked no more: %v", err)
	}
}

// An update changes every archive of a file. No reader sees it in some of them.
func TestNoHalfOfAnUpdateIsSeen(t *testing.T) {
	t.Parallel()
	c := Defaults()
	c.Retentions, c.Aggregation, c.XFilesFactor = "1m:1h,2m:2h,4m:4h,8m:8h,16m:16h", "max", 0
	gate := c.Start(t)
	at := minute(1)
	const updates = 100
	done := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < updates && err == nil; i++ {
			err = gate.post(sdk.Batch{{Metric: cpu, Timestamp: at.Unix(), Value: float64(i)}}, true)
		}
		done <- err
	}()
	path := filepath.Join(gate.Files, "vista/nodes/one/cpu.wsp")
	seen := make(map[float64]bool)
	look := time.NewTicker(time.Millisecond) // a reader without a pause would lock the sink out
	defer look.Stop()
	for {
		select {
		case err := <-done:
			if err != nil || len(seen) < updates/10 {
				t.Errorf("%d of %d updates were seen: %v", len(seen), updates, err)
			}
			return
		case <-look.C:
		}
		all, err := readFile(path, time.Now().Unix())
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errBusy) || err == nil && all[0].points == nil {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		first := all[0].points[0].Value
		for _, a := range all {
			if len(a.points) != 1 || a.points[0].Value != first {
				t.Fatalf("the finest archive has %v, and archive %v has %v", first, a.Retention, a.points)
			}
		}
		seen[first] = true
	}
}
