package carbon

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"fluxgate/sdk"
)

// TestPlain puts every byte at every place of names of all short lengths.
func TestPlain(t *testing.T) {
	for size := 1; size <= 26; size++ {
		for at := range size {
			for c := range 256 {
				name := []byte(strings.Repeat("x", size))
				name[at] = byte(c)
				d := sdk.Datapoint{Metric: string(name)}
				if got, want := plain(&d), c > ' ' && c < 0x7f; got != want {
					t.Fatalf("%q: plain %v, want %v", name, got, want)
				}
			}
		}
	}
}

func TestBatchesAreJudgedByTheirFirstInvalidDatapoint(t *testing.T) {
	good := sdk.Datapoint{Metric: "vista.nodes.skyline-1.cpu.user", Timestamp: 1478021700}
	accent := sdk.Datapoint{Metric: "température", Timestamp: 1478021700}
	blank, other := sdk.Datapoint{Metric: "a b"}, sdk.Datapoint{Metric: "a c"}
	tests := []struct {
		name         string
		in           sdk.Batch
		batch, lines string // part of the errors; empty: none
	}{
		{"empty", nil, "", ""},
		{"all are valid", sdk.Batch{good, good}, "", ""},
		{"beyond ASCII", sdk.Batch{good, accent, good}, "", `metric "température": the name is not ASCII`},
		{"beyond ASCII, then invalid", sdk.Batch{accent, blank}, `metric "a b": the name has a blank`, `metric "température": the name is not ASCII`},
		{"the first of two", sdk.Batch{good, blank, other}, `metric "a b": the name has a blank`, `metric "a b": the name has a blank`},
	}
	check := func(t *testing.T, err error, want string) {
		t.Helper()
		if want == "" && err != nil || want != "" && (!errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), want)) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check(t, ValidBatch(tt.in), tt.batch)
			check(t, ValidLines(tt.in), tt.lines)
		})
	}
}

// FuzzValid compares the quick judgement with the thorough one.
func FuzzValid(f *testing.F) {
	f.Add("vista.nodes.skyline-1.cpu.user", int64(1478021700), 1.0)
	f.Add("température", int64(1478021700), 1.0)
	f.Add("a\x85b\u2028", int64(-1), math.NaN())
	f.Add("12345678\x7f", int64(math.MaxUint32+1), math.Inf(-1))
	f.Add(strings.Repeat("x", MaxMetric+1), int64(0), 0.0)
	f.Fuzz(func(t *testing.T, metric string, timestamp int64, value float64) {
		d := sdk.Datapoint{Metric: metric, Timestamp: timestamp, Value: value}
		want := complaint(d)
		if got := Valid(d); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%+v: %v, want %v", d, got, want)
		}
		if got := ValidBatch(sdk.Batch{d}); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%+v: %v in a batch, want %v", d, got, want)
		}
		ascii := strings.IndexFunc(metric, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
		if got := ValidLines(sdk.Batch{d}); (got == nil) != (want == nil && ascii) || want != nil && fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%+v: %v as a line, want %v; ASCII: %v", d, got, want, ascii)
		}
	})
}

func BenchmarkValidBatch(b *testing.B) {
	batch := make(sdk.Batch, 450)
	for i := range batch {
		batch[i] = sdk.Datapoint{Metric: fmt.Sprintf("vista.nodes.skyline-%d.cpu.user", i), Timestamp: 1478021700, Value: 12.5}
	}
	for b.Loop() {
		if err := ValidBatch(batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch)), "ns/datapoint")
}
