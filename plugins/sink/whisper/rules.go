package main

import (
	"errors"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/schema"
)

// lookInterval is how long files of rules are trusted to be as they were.
const lookInterval = time.Second

// A rules says what a new file is made from: what the first rule of each of
// Carbon's two files says that is for the metric, and the settings where there is
// none. It is safe for concurrent use.
type rules struct {
	schemas, aggregations string        // paths; empty: no file
	otherwise             schema.Schema // where no rule is

	mu     sync.Mutex
	loaded *schema.Rules
	stamps [2]stamp  // of the files when they were loaded
	looked time.Time // at the files
	told   string    // what is wrong with them since
}

// newRules reads both files. Its errors wrap [sdk.ErrInvalid].
func newRules(schemas, aggregations string, otherwise schema.Schema) (*rules, error) {
	r := &rules{schemas: schemas, aggregations: aggregations, otherwise: otherwise, looked: time.Now()}
	err := r.load()
	if err != nil && !errors.Is(err, sdk.ErrInvalid) {
		err = sdk.Invalidf("%w: name a file that can be read, or leave the setting out", err)
	}
	if err == nil && aggregations != "" && r.stamps[1] == (stamp{}) {
		slog.Warn("there is no such file: as with Carbon, there are no rules for the aggregation", "file", aggregations)
	}
	return r, err
}

// of returns what the file of a new metric is made from. Files that have changed
// are read again; when that fails the rules stay as they were.
func (r *rules) of(metric string) schema.Schema {
	r.mu.Lock()
	if now := time.Now(); now.Sub(r.looked) >= lookInterval {
		r.looked = now
		r.refresh()
	}
	loaded := r.loaded
	r.mu.Unlock()
	return loaded.OfOr(metric, r.otherwise)
}

// refresh reads the files again if they have changed, and warns once of what is
// wrong with them.
func (r *rules) refresh() {
	err := r.load()
	if err == nil {
		r.told = ""
	} else if r.told != err.Error() {
		r.told = err.Error()
		slog.Warn("the rules for new files cannot be read again, they stay as they were", "err", err)
	}
}

// load reads the files unless they are those that were loaded last.
func (r *rules) load() error {
	stamps := [2]stamp{stampOf(r.schemas), stampOf(r.aggregations)}
	if r.loaded != nil && stamps == r.stamps {
		return nil
	}
	if r.stamps[1] != (stamp{}) { // it was there: its loss is not what a first look takes for no rules
		if _, err := os.Stat(r.aggregations); err != nil {
			return err
		}
	}
	loaded, err := schema.Load(r.schemas, r.aggregations)
	if err != nil {
		return err
	}
	for _, warning := range loaded.Warnings() {
		slog.Warn("rules for new files", "warning", warning)
	}
	r.loaded, r.stamps = loaded, stamps
	return nil
}

// A stamp changes with a file's content. That of a file which is not there is the
// zero stamp.
type stamp struct {
	device, inode     uint64
	size              int64
	modified, changed syscall.Timespec
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}
	}
	return stamp{uint64(s.Dev), s.Ino, s.Size, s.Mtim, s.Ctim}
}
