package delivery

import (
	"sync"
	"sync/atomic"
)

// A target is a sink with its dead letters, to which the lanes of both journals
// lead.
type target struct {
	sink Sink
	dead *deadLetters

	retrying sync.Mutex    // held while dead letters are delivered again
	taken    atomic.Uint64 // datapoints, of this process
	failing  atomic.Bool   // the last write failed
}

func newTarget(s Sink, folder string) (*target, error) {
	dead, err := openDead(folder, s.Name)
	if err != nil {
		return nil, err
	}
	return &target{sink: s, dead: dead}, nil
}

// reconcile sets the books of lanes right after a kill between the delivery of
// dead letters and its entry: those that are gone are delivered. The books have the
// letters before the cursor alone.
func (t *target) reconcile(lanes ...*lane) error {
	for _, l := range lanes {
		left, err := t.dead.expect(l.stream.name, l.reader.Saved().Number)
		if err != nil {
			return err
		}
		gone := int(l.reader.Books().Dead) - left
		if gone <= 0 {
			continue
		}
		if err := l.reader.Revive(gone); err != nil {
			return err
		}
	}
	return nil
}
