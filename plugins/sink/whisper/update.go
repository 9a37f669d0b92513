package main

import (
	"fmt"
	"os"
	"sort"
	"strings"
	"syscall"

	"github.com/go-graphite/go-whisper"

	"fluxgate/sdk"
)

// updateAll writes points, in the order in which they came, to the archives of a
// file: as they would be there had they come without those before them.
func updateAll(file *os.File, h header, points []sdk.Point) error {
	for len(points) > 0 {
		n := 1
		for n < len(points) && points[n].Timestamp >= points[n-1].Timestamp {
			n++
		}
		if err := update(file, h, points[:n]); err != nil {
			return err
		}
		points = points[n:]
	}
	return nil
}

// openPath returns a path that leads to an open file, wherever the file's own
// path leads by now. It is how go-whisper, which opens by path, is kept inside
// the root.
func openPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// update writes points, in ascending order of time, to the archives of a file,
// and brings the coarser archives up to date. Points older than every archive
// are not kept, as with Carbon.
func update(file *os.File, h header, points []sdk.Point) error {
	if !h.suitsLibrary() {
		return h.split(points, func(i int, points []sdk.Point) error { return writeArchive(file, h, i, points) })
	}
	return guarded(func() error {
		w, err := whisper.OpenWithOptions(openPath(file), &whisper.Options{})
		if err != nil {
			return err
		}
		defer w.Close()
		return h.split(points, func(i int, points []sdk.Point) error {
			many := make([]*whisper.TimeSeriesPoint, len(points))
			for j, p := range points {
				many[j] = &whisper.TimeSeriesPoint{Time: int(p.Timestamp), Value: p.Value}
			}
			return libraryError(w.UpdateManyForArchive(many, int(h.archives[i].Span())))
		})
	})
}

// split hands each archive, the finest first, the points that it is the first to
// reach back to. Handed a batch for several archives at once, go-whisper would
// put a point into the wrong one.
//
// It looks at the clock itself, and go-whisper looks again, and loses points
// when the oldest is out of the archive's reach by then. So an archive whose
// oldest point has gone out of reach is written again, without that point.
func (h header) split(points []sdk.Point, write func(archive int, points []sdk.Point) error) error {
	for i := 0; i < len(h.archives) && len(points) > 0; {
		a := h.archives[i]
		oldest := reach(a)
		from := sort.Search(len(points), func(j int) bool { return points[j].Timestamp >= oldest })
		if from < len(points) {
			if err := write(i, a.fitting(points[from:])); err != nil {
				return err
			}
			if points[from].Timestamp < reach(a) {
				continue
			}
		}
		points = points[:from]
		i++
	}
	return nil
}

// reach returns the oldest timestamp that belongs into the archive now.
func reach(a archive) int64 { return whisper.Now().Unix() - a.Span() }

// fitting returns the last point of each interval, as Carbon keeps it, and of
// intervals that follow each other without a gap as many as the archive has, the
// newest. More would run over the archive's end into the next one.
func (a archive) fitting(points []sdk.Point) []sdk.Point {
	var all []sdk.Point
	for i, p := range points {
		if i+1 == len(points) || a.interval(p.Timestamp) != a.interval(points[i+1].Timestamp) {
			all = append(all, p)
		}
	}
	out := all[:0]
	begin := 0 // of the run of intervals that ends at i
	for i, p := range all {
		if i+1 < len(all) && a.interval(all[i+1].Timestamp) == a.interval(p.Timestamp)+a.Step {
			continue
		}
		out = append(out, all[max(begin, i+1-int(a.Count)):i+1]...)
		begin = i + 1
	}
	return out
}

// guarded returns what f returns, and an error where it panics, as go-whisper
// does on a file it does not understand.
func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = damaged("go-whisper panics: %v", r)
		}
	}()
	return f()
}

// libraryError tells the panics that go-whisper itself makes errors of, stack
// and all. Two of them stand for a failed read or write, whose cause is lost.
func libraryError(err error) error {
	if err == nil || !strings.Contains(err.Error(), " panics: ") {
		return err
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	if strings.Contains(text, "Failed to propagate") || strings.Contains(text, "Failed to read baseInterval") {
		return fmt.Errorf("%s: %w", text, syscall.EIO)
	}
	return damaged("%s", text)
}
