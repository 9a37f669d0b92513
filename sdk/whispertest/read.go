package whispertest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/schema"
)

// pollInterval is how often a file is looked at again.
const pollInterval = 5 * time.Millisecond

// Series returns what the finest archive of the metric's file holds now: nothing
// when there is no such file yet. Each timestamp is the start of an interval.
func (g *Gate) Series(metric string) sdk.Series {
	g.t.Helper()
	return g.series(metric, 0)
}

// Archive returns what the archive with this step holds now: nothing when the
// metric has no file yet.
func (g *Gate) Archive(metric string, step time.Duration) sdk.Series {
	g.t.Helper()
	return g.series(metric, step)
}

// series returns the points of the archive with this step, 0 for the finest.
func (g *Gate) series(metric string, step time.Duration) sdk.Series {
	g.t.Helper()
	var found archive
	var err error
	if !g.poll(func() bool {
		found, err = g.read(metric, step)
		return !errors.Is(err, errBusy)
	}) || err != nil {
		g.t.Fatalf("metric %s: %v", metric, err)
	}
	return sdk.Series{Metric: metric, Points: found.points(time.Now().Unix())}
}

// Metrics returns every metric that has a file, in alphabetical order.
func (g *Gate) Metrics() []string {
	g.t.Helper()
	metrics, err := g.metrics()
	if err != nil {
		g.t.Fatalf("whisper files: %v", err)
	}
	return metrics
}

func (g *Gate) metrics() (all []string, err error) {
	err = filepath.WalkDir(g.Folder, func(path string, _ fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // no datapoint has come yet, or a file got its name meanwhile
			return nil
		}
		if name, whisper := strings.CutSuffix(path, ".wsp"); whisper {
			name = strings.TrimPrefix(name, g.Folder+string(filepath.Separator))
			all = append(all, strings.ReplaceAll(name, string(filepath.Separator), "."))
		}
		return err
	})
	slices.Sort(all)
	return all, err
}

// poll calls look until it returns true, and returns false if it has not within
// the gate's patience.
func (g *Gate) poll(look func() bool) bool {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for end := time.Now().Add(g.config.Patience); !look(); <-tick.C {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// errBusy is that somebody writes to a file.
var errBusy = errors.New("its file is locked by somebody who writes to it")

// read returns the archive with this step of the metric's file, 0 for the finest.
// Without a file it is the empty archive of one to come.
func (g *Gate) read(metric string, step time.Duration) (archive, error) {
	path, err := schema.Path(metric)
	if err != nil {
		return archive{}, err
	}
	raw, err := readLocked(filepath.Join(g.Folder, path))
	if errors.Is(err, fs.ErrNotExist) {
		return g.config.archive(step)
	}
	if err != nil {
		return archive{}, err
	}
	all, err := parse(raw)
	if err != nil {
		return archive{}, fmt.Errorf("whisper file %s: %w", path, err)
	}
	return choose(all, step)
}

// archive returns an empty archive of a new file. Which archives it has is not
// known where the sink has rules for that.
func (c Config) archive(step time.Duration) (archive, error) {
	if seconds := int64(step / time.Second); seconds > 0 && c.Settings["schemas"] != nil {
		return archive{schema.Retention{Step: seconds, Count: 1}, make([]byte, pointSize)}, nil
	}
	retentions, err := schema.ParseRetentions(c.Retentions)
	if err != nil {
		return archive{}, err
	}
	all := make([]archive, len(retentions))
	for i, r := range retentions {
		all[i] = archive{r, make([]byte, r.Count*pointSize)}
	}
	return choose(all, step)
}

// choose returns the archive with this step, 0 for the finest.
func choose(all []archive, step time.Duration) (archive, error) {
	var names []string
	for _, a := range all {
		if step == 0 || time.Duration(a.Step)*time.Second == step {
			return a, nil
		}
		names = append(names, a.String())
	}
	return archive{}, fmt.Errorf("there is no archive with a step of %v: there are %s", step, strings.Join(names, ", "))
}

// readLocked reads a file while nobody writes to it: the whisper sink, and Carbon
// if it is told to, hold the lock meanwhile. The error is [errBusy] while they do.
func readLocked(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	switch err := flock(file, syscall.LOCK_SH|syscall.LOCK_NB); {
	case err == syscall.EWOULDBLOCK:
		return nil, errBusy
	case err != nil:
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return io.ReadAll(file)
}
