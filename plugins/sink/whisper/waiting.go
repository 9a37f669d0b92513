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
	filing     // its points in the order in which they came
	turn   int // less than that of an entry that came later
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
		if f.points = latest(f.points); !w.all[f.path].has(f.points) {
			fresh = append(fresh, f)
			lines = f.appendTo(lines)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	if w.bytes >= w.most {
		share := float64(w.bytes-w.most+1) / float64(w.bytes) // that has to go
		return fullError{w.bytes, int(math.Ceil(share * float64(len(w.all))))}
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

// latest returns points without those that another of the same timestamp follows.
func latest(points []sdk.Point) []sdk.Point {
	var all []sdk.Point
	for i, p := range points {
		if i+1 == len(points) || points[i+1].Timestamp != p.Timestamp {
			all = append(all, p)
		}
	}
	return all
}

// has reports whether points, a series, have come already, and only newer ones
// since.
func (e *entry) has(points []sdk.Point) bool {
	if e == nil {
		return false
	}
	end := len(e.points)
	for end > 0 && e.points[end-1].Timestamp > points[len(points)-1].Timestamp {
		end--
	}
	return end >= len(points) && slices.EqualFunc(e.points[end-len(points):end], points, func(p, q sdk.Point) bool {
		return p.Timestamp == q.Timestamp && math.Float64bits(p.Value) == math.Float64bits(q.Value)
	})
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
		e = &entry{filing: filing{f.path, f.metric, nil}, turn: w.turns}
		w.all[f.path] = e
		w.enqueue(f.path)
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
