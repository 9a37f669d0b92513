package delivery

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"fluxgate/core/journal"
)

// Drop gives up what waits in folder for the sink called name, and returns how
// many datapoints that were. No server may be running there.
func Drop(folder string, budget int64, name string) (given uint64, err error) {
	var known []string
	for _, share := range shares(budget) {
		log, err := openLog(folder, share.name, share.budget)
		if err != nil {
			return given, err
		}
		readers := sinksOf(log)
		n, err := dropReader(log, name)
		if err = errors.Join(err, log.Close()); err != nil {
			return given, err
		}
		given, known = given+n, append(known, readers...)
	}
	if slices.Contains(known, name) {
		return given, nil
	}
	if len(known) == 0 {
		return 0, fmt.Errorf("nothing is kept for a sink %q, nor for any other", name)
	}
	slices.Sort(known)
	return 0, fmt.Errorf("nothing is kept for a sink %q: there are %s", name, strings.Join(slices.Compact(known), ", "))
}

// sinksOf returns the names of the sinks that a journal knows.
func sinksOf(log *journal.Log) (names []string) {
	for _, b := range log.Stored() {
		if b.Reader != recorderName {
			names = append(names, b.Reader)
		}
	}
	return names
}

func dropReader(log *journal.Log, name string) (waiting uint64, err error) {
	for _, b := range log.Stored() {
		if b.Reader == name && name != recorderName {
			return b.Waiting, log.Drop(name)
		}
	}
	return 0, nil
}
