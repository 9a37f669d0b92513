package main

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"fluxgate/sdk"
)

var _ sdk.Recycler = new(input)

func TestListsLetGoOfNames(t *testing.T) {
	list := slices.Repeat(point("a", now, 1), 5)
	new(lists).give(list)
	for _, d := range list {
		if d != (sdk.Datapoint{}) {
			t.Errorf("%+v is still there", d)
		}
	}
}

func TestListsTake(t *testing.T) {
	var l lists
	if list := l.take(); list != nil {
		t.Errorf("took %v of none", list)
	}
	l.give(nil)
	l.give(make(sdk.Batch, 1, maxKept+1))
	if list := l.take(); list != nil {
		t.Errorf("a list of %d datapoints was kept", cap(list))
	}
	// The pool may lose a list, but not each of many.
	for range 100 {
		l.give(make(sdk.Batch, 3, 10))
	}
	if list := l.take(); list == nil || len(list) != 0 || cap(list) != 10 {
		t.Errorf("took %v of %d datapoints", list, cap(list))
	}
}

// Whether a submission is given back or not, no other one gets to see its
// datapoints.
func TestSubmissionsAreTheirOwn(t *testing.T) {
	in := newInput()
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			for round := range 200 {
				name := fmt.Sprintf("metric-%d-%d", worker, round)
				r := sdk.Request{Method: "POST", Body: fmt.Appendf(nil,
					`{"key":"k","metrics":[{"metric":%[1]q,"value":1},{"metric":%[1]q,"value":2,"fill":true},{"metric":%[1]q,"value":3}]}`, name)}
				want := sdk.Submission{Key: "k", Backfill: point(name, now, 2),
					Batch: sdk.Batch{{Metric: name, Timestamp: now, Value: 1}, {Metric: name, Timestamp: now, Value: 3}}}
				switch round % 4 {
				case 1: // not scanned
					r.Body = append([]byte("\uFEFF"), r.Body...)
				case 2: // scanned up to its fault
					r.Body = append(r.Body[:len(r.Body)-2], ",7]}"...)
					want.Invalid = "invalid metric - 7"
				case 3:
					r = sdk.Request{Method: "GET", Query: "key=k&value=1&metric=" + name}
					want = sdk.Submission{Key: "k", Batch: point(name, now, 1)}
				}
				got, err := in.Decode(t.Context(), r)
				again, againErr := in.Decode(t.Context(), r)
				sameSubmission(t, got, want, err)
				if round%8 < 4 {
					in.Recycle(got)
				}
				sameSubmission(t, again, want, againErr)
				in.Recycle(again)
			}
		})
	}
	wait.Wait()
}

func sameSubmission(t *testing.T, got, want sdk.Submission, err error) {
	t.Helper()
	if err != nil || got.Key != want.Key || got.Invalid != want.Invalid || !slices.Equal(got.Batch, want.Batch) || !slices.Equal(got.Backfill, want.Backfill) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}
