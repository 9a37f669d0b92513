package main

import (
	"sync"

	"fluxgate/sdk"
)

// maxKept is the capacity of the longest list that is used again, in datapoints.
const maxKept = 1 << 14

// A lists keeps the lists of submissions that nothing refers to any more.
type lists struct {
	full  sync.Pool // of *sdk.Batch, each with a list
	empty sync.Pool // of *sdk.Batch whose list is in use
}

// take returns an empty list, nil where none is kept.
func (l *lists) take() sdk.Batch {
	kept, ok := l.full.Get().(*sdk.Batch)
	if !ok {
		return nil
	}
	list := *kept
	*kept = nil
	l.empty.Put(kept)
	return list
}

// give keeps a list for take, without its datapoints: their names would keep a
// request alive.
func (l *lists) give(list sdk.Batch) {
	if cap(list) == 0 || cap(list) > maxKept {
		return
	}
	clear(list)
	kept, ok := l.empty.Get().(*sdk.Batch)
	if !ok {
		kept = new(sdk.Batch)
	}
	*kept = list[:0]
	l.full.Put(kept)
}
