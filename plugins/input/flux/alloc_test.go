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
