package delivery

import (
	"math"
	"slices"
	"strings"
	"testing"

	"fluxgate/core/journal"
	"fluxgate/sdk"
)

func TestRecordsAreWithinBounds(t *testing.T) {
	long := make(sdk.Batch, 3)
	for i := range long {
		long[i].Metric = strings.Repeat("x", maxBytes/2)
	}
	for name, tt := range map[string]struct {
		in   sdk.Batch
		want []int
	}{
		"none":                {nil, nil},
		"one":                 {batch("a", 1), []int{1}},
		"the most":            {batch("a", maxBatch), []int{maxBatch}},
		"one more":            {batch("a", maxBatch+1), []int{maxBatch, 1}},
		"long names":          {long, []int{1, 1, 1}},
		"longer than a batch": {sdk.Batch{{Metric: strings.Repeat("x", 2*maxBytes)}}, []int{1}},
	} {
		var sizes []int
		var all sdk.Batch
		cut := new(room).hold(tt.in)
		for _, r := range cut {
			sizes = append(sizes, r.Count)
			var err error
			if all, err = readBatch(all, r.Data); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(sizes, tt.want) || !slices.Equal(all, tt.in) {
			t.Errorf("%s: records of %v datapoints, want %v", name, sizes, tt.want)
		}
	}
}

func TestSummaryIsTheNewestOfEachMetric(t *testing.T) {
	var in []journal.Record
	for _, b := range []sdk.Batch{batch("a", 5), batch("b", 2), batch("a", 3)} {
		cut := new(room).hold(b)
		in = append(in, cut...)
	}
	wrong := new(room).hold(batch("c", 2))
	wrong[0].Count = 1
	in = slices.Insert(in, 1, foreign, wrong[0])
	got, err := readBatch(nil, summarize(slices.Values(in)))
	slices.SortFunc(got, func(a, b sdk.Datapoint) int { return strings.Compare(a.Metric, b.Metric) })
	if want := append(batch("a", 5)[4:], batch("b", 2)[1:]...); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func FuzzReadBatch(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(sdk.AppendBatch(nil, batch("a", 3)))
	f.Add(sdk.AppendBatch(nil, sdk.Batch{{Metric: "", Timestamp: -1, Value: math.Inf(1)}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := readBatch(nil, data)
		if err != nil {
			return
		}
		if again := sdk.AppendBatch(nil, b); !slices.Equal(again, data) {
			t.Errorf("%x is read as %v, which is written as %x", data, b, again)
		}
	})
}
