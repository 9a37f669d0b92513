package main

import (
	"fmt"

	"fluxgate/sdk"
)

// A settlement compares what senders were promised with what a sink holds.
// Datapoints are told apart by metric, timestamp and value.
type settlement struct {
	Acknowledged  int `json:"acknowledged"`  // answered 2xx
	Indeterminate int `json:"indeterminate"` // sent, and never answered 2xx
	Held          int `json:"held"`          // different datapoints in the sink
	Lost          int `json:"lost"`          // acknowledged and not held
	Phantom       int `json:"phantom"`       // held and never sent
	Duplicated    int `json:"duplicated"`    // held more than once, counted each time after the first
	Reordered     int `json:"reordered"`     // came for the first time after a newer one of the same metric

	Examples []string `json:"examples,omitempty"` // the first that are lost, phantom or reordered
}

const maxExamples = 3

// settle is the whole judgement. Held is in the order in which the sink took it;
// a sink that does not know that order gives each metric's in ascending order of
// time.
func settle(acknowledged, indeterminate, held sdk.Batch) settlement {
	s := settlement{Acknowledged: len(acknowledged), Indeterminate: len(indeterminate)}
	sent := make(map[sdk.Datapoint]bool, len(acknowledged)+len(indeterminate)) // and whether it is held
	for _, d := range indeterminate {
		sent[d] = false
	}
	for _, d := range acknowledged {
		sent[d] = false
	}
	s.take(sent, held)
	for _, d := range acknowledged {
		if !sent[d] {
			s.Lost++
			s.example("lost", d)
			sent[d] = true // told once, also when it was acknowledged twice
		}
	}
	return s
}

// take marks in sent what is held.
func (s *settlement) take(sent map[sdk.Datapoint]bool, held sdk.Batch) {
	newest := map[string]int64{}
	for _, d := range held {
		before, known := sent[d]
		switch {
		case !known:
			s.Phantom++
			s.example("phantom", d)
			continue
		case before:
			s.Duplicated++
			continue
		}
		sent[d] = true
		s.Held++
		if last, seen := newest[d.Metric]; seen && d.Timestamp < last {
			s.Reordered++
			s.example("reordered", d)
			continue
		}
		newest[d.Metric] = d.Timestamp
	}
}

func (s *settlement) example(what string, d sdk.Datapoint) {
	if len(s.Examples) < maxExamples {
		s.Examples = append(s.Examples, fmt.Sprintf("%s: %.80s %d %v", what, d.Metric, d.Timestamp, d.Value))
	}
}

// broken says what of the promise does not hold: nothing lost, nothing made up,
// each metric in order.
func (s settlement) broken() []string {
	var broken []string
	for _, c := range []struct {
		what string
		n    int
	}{{"lost", s.Lost}, {"phantom", s.Phantom}, {"reordered", s.Reordered}} {
		if c.n > 0 {
			broken = append(broken, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	if len(broken) > 0 {
		broken = append(broken, s.Examples...)
	}
	return broken
}

// add sums up several settlements of one row.
func (s *settlement) add(o settlement) {
	s.Acknowledged += o.Acknowledged
	s.Indeterminate += o.Indeterminate
	s.Held += o.Held
	s.Lost += o.Lost
	s.Phantom += o.Phantom
	s.Duplicated += o.Duplicated
	s.Reordered += o.Reordered
	s.Examples = append(s.Examples, o.Examples[:min(len(o.Examples), max(0, maxExamples-len(s.Examples)))]...)
}
