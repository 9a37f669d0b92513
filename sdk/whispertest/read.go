package whispertest

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/schema"
)

// pollInterval is the pause between two looks at a file.
const pollInterval = 5 * time.Millisecond

// Series returns what the finest archive of a metric's file holds now; no points
// when there is no file.
func (g *Gate) Series(metric string) sdk.Series {
	g.t.Helper()
	return g.points(place{metric: metric})
}

// Archive is like [Gate.Series], for the archive with the given step.
func (g *Gate) Archive(metric string, step time.Duration) sdk.Series {
	g.t.Helper()
	return g.points(place{metric, step})
}

func (g *Gate) points(p place) sdk.Series {
	g.t.Helper()
	a, err := g.read(p)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		g.t.Fatalf("%s: %v", p, err)
	}
	return sdk.Series{Metric: p.metric, Points: a.points}
}

// Metrics returns the names of the metrics that have a file, in order.
func (g *Gate) Metrics() []string {
	g.t.Helper()
	names, err := g.stored()
	if err != nil {
		g.t.Fatalf("whispertest: %v", err)
	}
	return names
}

func (g *Gate) stored() (names []string, err error) {
	err = filepath.WalkDir(g.Files, func(path string, _ fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(path, ".wsp"); ok && err == nil {
			name = strings.TrimPrefix(name, g.Files+"/")
			names = append(names, strings.ReplaceAll(name, "/", "."))
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // nothing is stored yet
	}
	slices.Sort(names)
	return names, err
}

// A place is an archive of a metric's file; a step of 0 stands for the finest.
type place struct {
	metric string
	step   time.Duration
}

func (p place) String() string {
	if p.step == 0 {
		return p.metric + ", finest archive"
	}
	return fmt.Sprintf("%s, archive of step %v", p.metric, p.step)
}

// read reads an archive. It waits for a writer, for as long as the gate's
// patience lasts.
func (g *Gate) read(p place) (archive, error) {
	path, err := schema.Path(p.metric)
	if err != nil {
		return archive{}, err
	}
	for deadline := time.Now().Add(g.patience); ; time.Sleep(pollInterval) {
		all, err := readFile(filepath.Join(g.Files, path), time.Now().Unix())
		if errors.Is(err, errBusy) && time.Now().Before(deadline) {
			continue
		}
		if err != nil {
			return archive{}, err
		}
		return p.in(all)
	}
}

// in returns the archive that p means.
func (p place) in(all []archive) (archive, error) {
	if p.step == 0 {
		return all[0], nil
	}
	var has []string
	for _, a := range all {
		if time.Duration(a.Step)*time.Second == p.step {
			return a, nil
		}
		has = append(has, a.Retention.String())
	}
	return archive{}, fmt.Errorf("its file has no such archive, it has %s", strings.Join(has, ","))
}
