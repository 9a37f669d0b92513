package delivery

import (
	"errors"
	"fmt"

	"fluxgate/core/journal"
)

// Drop gives up what waits in folder for the sink called name, and returns how
// many datapoints that were. No server may be running there.
func Drop(folder string, budget int64, name string) (given uint64, err error) {
	known := false
	for _, share := range shares(budget) {
		log, err := openLog(folder, share.name, share.budget)
		if err != nil {
			return given, err
		}
		n, found, err := dropReader(log, name)
		if err = errors.Join(err, log.Close()); err != nil {
			return given, err
		}
		given, known = given+n, known || found
	}
	if !known {
		return 0, fmt.Errorf("nothing is kept for a sink %q: fluxgate journal show names those that there are", name)
	}
	return given, nil
}

func dropReader(log *journal.Log, name string) (waiting uint64, found bool, err error) {
	for _, b := range log.Stored() {
		if b.Reader == name && name != recorderName {
			return b.Waiting, true, log.Drop(name)
		}
	}
	return 0, false, nil
}
