package whispertest

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fluxgate/sdk"
	"fluxgate/sdk/schema"
)

// fixtures are files made by Graphite's own code, with their points as text.
const fixtures = "../../testdata/whisper"

// fixturesWritten is the time at which the fixtures were made.
const fixturesWritten = 1600000000

func TestPointsAreThoseThatGraphiteFinds(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(fixtures, "*.wsp"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", fixtures, err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			want, err := os.ReadFile(strings.TrimSuffix(path, ".wsp") + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all, err := parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			if got := asText(all); got != reprinted(t, string(want)) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// asText writes archives as the texts beside the fixtures are written.
func asText(all []archive) string {
	var text strings.Builder
	for _, a := range all {
		fmt.Fprintf(&text, "# %d\n", a.Step)
		for _, p := range a.points(fixturesWritten) {
			fmt.Fprintf(&text, "%d %s\n", p.Timestamp, number(p.Value))
		}
	}
	return text.String()
}

// reprinted returns a text with its values written by Go instead of Python.
func reprinted(t *testing.T, text string) string {
	t.Helper()
	var out strings.Builder
	for line := range strings.Lines(text) {
		var at int64
		var value float64
		if strings.HasPrefix(line, "#") {
			out.WriteString(line)
		} else if _, err := fmt.Sscanf(line, "%d %g\n", &at, &value); err != nil {
			t.Fatalf("line %q: %v", line, err)
		} else {
			fmt.Fprintf(&out, "%d %s\n", at, number(value))
		}
	}
	return out.String()
}

// ring returns an archive whose points lie as given; 0 leaves a place empty.
func ring(step int64, timestamps ...int64) archive {
	a := archive{Retention: schema.Retention{Step: step, Count: int64(len(timestamps))}}
	for _, at := range timestamps {
		a.ring = binary.BigEndian.AppendUint32(a.ring, uint32(at))
		a.ring = binary.BigEndian.AppendUint64(a.ring, math.Float64bits(float64(at)/2))
	}
	return a
}

func TestPointsOfARing(t *testing.T) {
	for name, c := range map[string]struct {
		archive archive
		now     int64
		want    []int64
	}{
		"never written to":                  {ring(10, 0, 0, 0), 1000, nil},
		"in ascending order":                {ring(10, 1000, 980, 990), 1000, []int64{980, 990, 1000}},
		"with a gap":                        {ring(10, 980, 0, 1000), 1000, []int64{980, 1000}},
		"out of reach since a moment":       {ring(10, 980, 990, 1000), 1010, []int64{990, 1000}},
		"in reach until the interval ends":  {ring(10, 980, 990, 1000), 1009, []int64{980, 990, 1000}},
		"older than the first of the ring":  {ring(10, 1000, 0, 990), 1000, []int64{990, 1000}},
		"from a former time around":         {ring(10, 980, 960, 1000), 1000, []int64{980, 1000}},
		"in another's place":                {ring(10, 980, 1000, 990), 1000, []int64{980}},
		"no start of an interval":           {ring(10, 980, 993, 1000), 1000, []int64{980, 1000}},
		"ahead of the clock":                {ring(10, 1040, 1020, 1030), 1000, []int64{1020, 1030, 1040}},
		"the first is empty, though others": {ring(10, 0, 1000, 980), 1000, nil}, // as Graphite sees it
	} {
		t.Run(name, func(t *testing.T) {
			var want []sdk.Point
			for _, at := range c.want {
				want = append(want, sdk.Point{Timestamp: at, Value: float64(at) / 2})
			}
			if got := c.archive.points(c.now); !slices.Equal(got, want) {
				t.Errorf("got %v\nwant %v", got, want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	// header returns a file of so many bytes with one archive.
	header := func(size, archives int, offset, step, count uint32) []byte {
		raw := make([]byte, max(size, headerSize+archiveHeaderSize))
		binary.BigEndian.PutUint32(raw[12:], uint32(archives))
		for i, n := range []uint32{offset, step, count} {
			binary.BigEndian.PutUint32(raw[headerSize+4*i:], n)
		}
		return raw[:size]
	}
	if _, err := parse(header(64, 1, 28, 60, 3)); err != nil {
		t.Errorf("a good one: %v", err)
	}
	for name, c := range map[string]struct {
		raw  []byte
		want string
	}{
		"empty":               {nil, "it has 0 bytes, fewer than the header of a whisper file"},
		"cut in the header":   {header(27, 1, 28, 60, 3), "it has 27 bytes, which is no room for the headers of 1 archives"},
		"no archive":          {header(64, 0, 28, 60, 3), "no room for the headers of 0 archives"},
		"too many archives":   {header(64, 1<<31, 28, 60, 3), "no room for the headers of 2147483648 archives"},
		"no step":             {header(64, 1, 28, 0, 3), "archive 0 has 3 points of 0 seconds that end at 64"},
		"no points":           {header(64, 1, 28, 60, 0), "archive 0 has 0 points of 60 seconds that end at 28"},
		"cut in the archive":  {header(63, 1, 28, 60, 3), "it has 63 bytes, and archive 0 has 3 points of 60 seconds that end at 64"},
		"archive beyond":      {header(64, 1, 1<<31, 60, 3), "that end at 2147483684"},
		"more points than 4G": {header(64, 1, 28, 1, math.MaxUint32), "that end at 51539607568"},
	} {
		if _, err := parse(c.raw); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v\nwant %s", name, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(fixtures, "*.wsp"))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		raw, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, int64(fixturesWritten))
	}
	f.Fuzz(func(t *testing.T, raw []byte, now int64) {
		all, err := parse(raw)
		if err != nil {
			return
		}
		for _, a := range all {
			points := a.points(now)
			if !slices.IsSortedFunc(points, func(a, b sdk.Point) int { return int(a.Timestamp - b.Timestamp) }) {
				t.Errorf("not in the order of time: %v", points)
			}
			for _, p := range points {
				if p.Timestamp%a.Step != 0 {
					t.Errorf("%d is no start of an interval of %d seconds", p.Timestamp, a.Step)
				}
			}
		}
	})
}
