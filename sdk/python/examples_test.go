//go:build !race

package python_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fluxgate/sdk"
)

const (
	exampleSink      = "../../testdata/plugins/python-sink/main.py"
	exampleInput     = "examples/input.py"
	exampleResampler = "examples/resampler.py"
)

func TestExampleSinkStoresWholeBatches(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "datapoints")
	s, _ := spec(t, exampleSink, map[string]any{"path": path})
	p := start(t, sdk.StartSink, s)
	limit := func(bytes uint64) {
		if err := unix.Prlimit(p.Pid(), unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}, nil); err != nil {
			t.Fatal(err)
		}
	}
	batch := sdk.Batch{{Metric: "a.\xff", Timestamp: 60, Value: 0.1}, {Metric: "b", Timestamp: 120, Value: 1e300}}
	if err := errors.Join(p.Check(t.Context()), p.Plugin.Write(t.Context(), batch)); err != nil {
		t.Fatal(err)
	}
	limit(40)
	if err := p.Plugin.Write(t.Context(), batch); !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("with room for half a batch: %v", err)
	}
	limit(unix.RLIM_INFINITY)
	if err := p.Plugin.Write(t.Context(), batch[:1]); err != nil {
		t.Error(err)
	}
	got, err := os.ReadFile(path)
	if want := "a.\xff 0.1 60\nb 1e+300 120\na.\xff 0.1 60\n"; string(got) != want || err != nil {
		t.Errorf("stored %q, %v, want %q", got, err, want)
	}
}

func TestExampleSinkChecksItsFolder(t *testing.T) {
	t.Parallel()
	s, _ := spec(t, exampleSink, map[string]any{"path": "/nowhere/datapoints", "sync": false})
	p := start(t, sdk.StartSink, s)
	for _, err := range []error{p.Check(t.Context()), p.Plugin.Write(t.Context(), oneDatapoint)} {
		if !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "/nowhere") {
			t.Error(err)
		}
	}
	s.Config = nil
	if _, err := sdk.StartSink(t.Context(), s); !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), `"path" must be given`) {
		t.Errorf("without a path: %v", err)
	}
}

func point(metric string, timestamp int64, value float64) sdk.Datapoint {
	return sdk.Datapoint{Metric: metric, Timestamp: timestamp, Value: value}
}

func TestExampleInput(t *testing.T) {
	t.Parallel()
	s, _ := spec(t, exampleInput, nil)
	p := start(t, sdk.StartInput, s)
	for _, tt := range []struct {
		name, body string
		want       sdk.Submission
	}{
		{"nothing", "", sdk.Submission{}},
		{"two lines", "a.b 1.5 60\r\n\nb -2e3 120\n", sdk.Submission{Batch: sdk.Batch{point("a.b", 60, 1.5), point("b", 120, -2000)}}},
		{"not UTF-8", "a\xff 1 60", sdk.Submission{Batch: sdk.Batch{point("a\xff", 60, 1)}}},
		{"a word too few", "a 1 60\nb 1", sdk.Submission{Batch: sdk.Batch{point("a", 60, 1)}, Invalid: "line 2: not enough values to unpack (expected 3, got 2)"}},
		{"no number", "a nan 60", sdk.Submission{Invalid: "line 1: nan at 60 is no point"}},
		{"no time", "a 1 9223372036854775808", sdk.Submission{Invalid: "line 1: 1 at 9223372036854775808 is no point"}},
	} {
		tt.want.Key = "k"
		got, err := p.Plugin.Decode(t.Context(), sdk.Request{Header: http.Header{"X-Api-Key": {"k"}}, Body: []byte(tt.body)})
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
	if _, err := p.Plugin.Decode(t.Context(), sdk.Request{}); !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), "X-Api-Key") {
		t.Errorf("without a key: %v", err)
	}
}

func TestExampleResampler(t *testing.T) {
	t.Parallel()
	s, _ := spec(t, exampleResampler, map[string]any{"percentile": 90})
	p := start(t, sdk.StartResampler, s)
	random := rand.New(rand.NewPCG(5, 6))
	for range 100 {
		step := time.Duration(1+random.IntN(120)) * time.Second
		in := sdk.Series{Metric: "a\xff"}
		for at := int64(-500); at < 500; at += random.Int64N(60) {
			in.Points = append(in.Points, sdk.Point{Timestamp: at, Value: random.NormFloat64()})
		}
		want := sdk.Series{Metric: in.Metric}
		for start, points := range in.Intervals(step) {
			values := make([]float64, len(points))
			for i := range points {
				values[i] = points[i].Value
			}
			slices.Sort(values)
			want.Points = append(want.Points, sdk.Point{Timestamp: start, Value: values[int(math.Ceil(0.9*float64(len(values))))-1]})
		}
		if got, err := p.Plugin.Resample(t.Context(), in, step); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("to %v: %v, %v, want %v", step, got, err, want)
		}
	}
	none, err := p.Plugin.Resample(t.Context(), sdk.Series{Metric: "a"}, time.Minute)
	if err != nil || len(none.Points) != 0 || none.Metric != "a" {
		t.Errorf("no points: %v, %v", none, err)
	}
	s.Config = map[string]any{"percentile": 101}
	if _, err := sdk.StartResampler(t.Context(), s); !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), "percentile 101.0: must be above 0") {
		t.Errorf("more than there is: %v", err)
	}
}

// BenchmarkWrite tells how long a batch takes to a sink that does nothing.
func BenchmarkWrite(b *testing.B) {
	s, _ := spec(b, actor, nil)
	p, err := sdk.StartSink(b.Context(), s)
	if err != nil {
		b.Fatal(err)
	}
	batch := randomBatch(rand.New(rand.NewPCG(7, 8)), 5000)
	for b.Loop() {
		if err := p.Plugin.Write(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch)), "ns/datapoint")
	_ = p.Stop(b.Context())
}
