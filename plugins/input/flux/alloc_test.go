//go:build !race

package main

import (
	"testing"

	"fluxgate/sdk"
)

// Under the race detector a pool loses lists on purpose.
func TestUsualRequestsAllocateNothing(t *testing.T) {
	in := newInput()
	for _, r := range []sdk.Request{
		{Method: "GET", Query: realQuery},
		{Method: "GET", Query: "fill=true&" + realQuery},
		{Method: "POST", Body: []byte(realMetric)},
		{Method: "POST", Body: realMetrics(450)},
		{Method: "POST", Body: []byte(`{"metrics":[{"metric":"a","value":"1.5","timestamp":"5","fill":true},{"metric":"a","value":1}],"key":"k"}`)},
	} {
		if n := testing.AllocsPerRun(500, func() {
			s, err := in.Decode(t.Context(), r)
			if err != nil {
				t.Error(err)
			}
			in.Recycle(s)
		}); n != 0 {
			t.Errorf("%s %.100s: %v allocations", r.Query, r.Body, n)
		}
	}
}

func TestListsAreMadeInOnePiece(t *testing.T) {
	in := newInput()
	r := sdk.Request{Method: "POST", Body: realMetrics(450)}
	if n := testing.AllocsPerRun(50, func() {
		if s, err := in.Decode(t.Context(), r); err != nil || len(s.Batch) != 450 || cap(s.Batch) > 1000 {
			t.Errorf("%d datapoints, room for %d, %v", len(s.Batch), cap(s.Batch), err)
		}
	}); n != 1 {
		t.Errorf("%v allocations", n)
	}
}

func TestBodiesThatAreNotScannedCostNoList(t *testing.T) {
	var memory lists
	memory.give(make(sdk.Batch, 0, 10))
	memory.give(make(sdk.Batch, 0, 10))
	for range 10 {
		scanBody([]byte(`{"key":"k","metrics":[{"metric":"a","value":1},{"metric":"b","value":2,"fill":true},7]}`), nil, now, &memory)
	}
	if a, b := memory.take(), memory.take(); cap(a) != 10 || cap(b) != 10 {
		t.Errorf("of the lists of 10 are left %d and %d", cap(a), cap(b))
	}
}
