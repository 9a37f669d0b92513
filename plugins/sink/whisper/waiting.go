package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"

	"fluxgate/sdk"
)

// A filing is points of a metric, and the path of the file that they belong into.
type filing struct {
	path, metric string
	points       []sdk.Point
}

// size returns how many bytes of the log n points take, at most.
func (f filing) size(n int) int64 { return int64(n) * int64(maxLine+len(f.metric)) }

// A waiting is the datapoints whose file may not be made yet. They lie in a log,
// which is on the disk before they count as stored, and in memory, where they are
// found. It is safe for concurrent use.
type waiting struct {
	most int64 // bytes; what exceeds it is the last batch that came before

	change sync.Mutex // held while what waits changes, in the log and then in memory
	log    waitLog

	mu    sync.RWMutex
	all   map[string]*entry // by path
	order []string          // paths to make files for, those first that came first
	came  chan struct{}     // closed when one comes to them; nil: nobody waits for that
	bytes int64
	turns int // entries so far
}

// An entry is what waits for one file.
type entry struct {
	filing       // its points in the order in which they came
	turn   int   // less than that of an entry that came later
	newest int64 // the greatest timestamp
}

// empty reports whether nothing waits.
func (w *waiting) empty() bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return len(w.all) == 0
}

// of returns the points that wait for the file at path, in the order in which
// they came.
func (w *waiting) of(path string) []sdk.Point {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if e := w.all[path]; e != nil {
		return e.points
	}
	return nil
}

// A fullError says that no more may wait.
type fullError struct {
	bytes int64
	files int // that are to be made before there is room again
}

func (e fullError) Error() string {
	return fmt.Sprintf("%d bytes of datapoints wait for their files, as many as max_waiting lets", e.bytes)
}

// add puts all of filings behind what waits, once they are on the disk, except
// points that wait already because their batch came before. It fails with a
// fullError when there is no room.
func (w *waiting) add(filings []filing) error {
	w.change.Lock()
	defer w.change.Unlock()
	var lines []byte
	var fresh []filing
	for _, f := range filings {
		if f.points = w.unknown(f); len(f.points) > 0 {
			fresh = append(fresh, f)
			lines = f.appendTo(lines)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	if w.bytes >= w.most {
		average := w.bytes / int64(len(w.all))
		return fullError{w.bytes, int((w.bytes-w.most)/average) + 1}
	}
	if err := w.tidy(); err != nil {
		return err
	}
	if err := w.log.append(lines, true); err != nil {
		return err
	}
	for _, f := range fresh {
		w.insert(f)
	}
	return nil
}

// unknown returns the points of f from the first on that does not wait already.
// Of several with the same timestamp only the last counts.
func (w *waiting) unknown(f filing) []sdk.Point {
	var last []sdk.Point
	for i, p := range f.points {
		if i+1 == len(f.points) || f.points[i+1].Timestamp != p.Timestamp {
			last = append(last, p)
		}
	}
	e := w.all[f.path]
	for i, p := range last {
		if e == nil || !e.has(p) {
			return last[i:]
		}
	}
	return nil
}

// has reports whether p is the last that came for its timestamp.
func (e *entry) has(p sdk.Point) bool {
	if p.Timestamp > e.newest {
		return false
	}
	for _, q := range slices.Backward(e.points) {
		if q.Timestamp == p.Timestamp {
			return math.Float64bits(q.Value) == math.Float64bits(p.Value)
		}
	}
	return false
}

func (w *waiting) insert(f filing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.all[f.path]
	if e == nil {
		if w.all == nil {
			w.all = make(map[string]*entry)
		}
		w.turns++
		e = &entry{filing: filing{f.path, f.metric, nil}, turn: w.turns, newest: math.MinInt64}
		w.all[f.path] = e
		w.enqueue(f.path)
	}
	for _, p := range f.points {
		e.newest = max(e.newest, p.Timestamp)
	}
	e.points = append(e.points, f.points...)
	w.bytes += e.size(len(f.points))
}

// enqueue is called with mu held.
func (w *waiting) enqueue(path string) {
	w.order = append(w.order, path)
	if w.came != nil {
		close(w.came)
		w.came = nil
	}
}

// again puts a path that next has returned behind the others.
func (w *waiting) again(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enqueue(path)
}

// next returns what has waited longest, without its points, and will not return
// it again by itself. It waits until there is something, or ctx ends.
func (w *waiting) next(ctx context.Context) (filing, bool) {
	for {
		w.mu.Lock()
		for len(w.order) > 0 {
			path := w.order[0]
			w.order = w.order[1:]
			if e := w.all[path]; e != nil {
				w.mu.Unlock()
				return filing{path: path, metric: e.metric}, true
			}
		}
		if w.came == nil {
			w.came = make(chan struct{})
		}
		came := w.came
		w.mu.Unlock()
		select {
		case <-came:
		case <-ctx.Done():
			return filing{}, false
		}
	}
}

// settle takes away the first n points that wait for the file at path: they are
// in it. Those that came meanwhile get their turn.
func (w *waiting) settle(path string, n int) {
	if n == 0 {
		return
	}
	w.change.Lock()
	defer w.change.Unlock()
	e := w.all[path]
	if e == nil {
		return
	}
	w.remove(e, n)
	var err error
	if len(w.all) == 0 {
		err = w.log.clear()
	} else if err = w.log.append(appendSettled(nil, e.metric, n), false); err == nil {
		err = w.tidy()
	}
	if err != nil {
		slog.Warn("the log of what waits for files cannot be shortened, it is tried again", "err", err)
	}
}

func (w *waiting) remove(e *entry, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n = min(n, len(e.points))
	w.bytes -= e.size(n)
	if e.points = e.points[n:]; len(e.points) == 0 {
		delete(w.all, e.path)
	} else {
		w.enqueue(e.path)
	}
}

// tidy writes the log anew when most of it is settled, or when it has been left
// in doubt.
func (w *waiting) tidy() error {
	const slack = 1 << 20 // bytes
	if !w.log.doubtful && w.log.size <= 2*w.bytes+slack {
		return nil
	}
	left := slices.SortedFunc(maps.Values(w.all), func(a, b *entry) int { return cmp.Compare(a.turn, b.turn) })
	return w.log.rewrite(func(yield func([]byte) bool) {
		for _, e := range left {
			if !yield(e.appendTo(nil)) {
				return
			}
		}
	})
}
