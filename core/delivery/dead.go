package delivery

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Letter is a dead letter: a datapoint that a sink refuses for ever, or whose
// process dies of it.
type Letter struct {
	Journal   string    `json:"journal"` // where it was read, live or fill
	Number    uint64    `json:"number"`  // its own in that journal
	Metric    string    `json:"metric"`
	Timestamp int64     `json:"timestamp"`
	Value     float64   `json:"value"`
	Reason    string    `json:"reason"` // the sink's own words
	Time      time.Time `json:"time"`   // when it was refused last
}

// deadSuffix ends the name of the file with the dead letters of a sink: a line
// of JSON for each.
const deadSuffix = ".jsonl"

func deadFolder(folder string) string { return filepath.Join(folder, "dead") }

// DeadLetters returns the dead letters of every sink that has some, by its name,
// as they lie in folder.
func DeadLetters(folder string) (map[string][]Letter, error) {
	files, err := os.ReadDir(deadFolder(folder))
	all := make(map[string][]Letter)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), deadSuffix)
		if !ok {
			continue
		}
		letters, _, err := readLetters(filepath.Join(deadFolder(folder), f.Name()))
		if err != nil {
			return nil, err
		}
		if len(letters) > 0 {
			all[name] = letters
		}
	}
	return all, err
}

// readLetters returns the letters of a file, and what in it is none: a power loss
// may leave that of letters that were not synced and so never counted.
func readLetters(path string) (letters []Letter, none []byte, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	for line := range bytes.Lines(text) {
		var l Letter
		if bytes.HasSuffix(line, []byte("\n")) && json.Unmarshal(line, &l) == nil && l.Journal != "" {
			letters = append(letters, l)
			continue
		}
		none = append(none, line...)
	}
	return letters, none, nil
}

// deadLetters is the file of one sink.
type deadLetters struct {
	path    string
	changed func()             // called when the size is another; nil: nobody
	bytes   atomic.Int64       // end, for who must not wait
	entered func(string) error // syncFolder, but in a test

	mu      sync.Mutex
	file    *os.File
	end     int64            // of the last letter
	broken  bool             // the last sync did not succeed
	renamed bool             // the file has its name, perhaps not yet on disk
	again   map[place]string // metrics of the letters that may be added once more after a kill
}

// A place is that of a datapoint in a journal.
type place struct {
	journal string
	number  uint64
}

func openDead(folder, sink string) (*deadLetters, error) {
	if err := os.MkdirAll(deadFolder(folder), 0o700); err != nil {
		return nil, err
	}
	d := &deadLetters{path: filepath.Join(deadFolder(folder), sink+deadSuffix), entered: syncFolder, renamed: true, again: make(map[place]string)}
	file, err := os.OpenFile(d.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	size, err := file.Seek(0, io.SeekEnd)
	d.use(file, size)
	letters, none, failed := readLetters(d.path)
	if err = errors.Join(err, failed); err == nil && len(none) > 0 {
		slog.Error("some of the dead letters cannot be read and are set aside", "file", d.path+setAside, "bytes", len(none))
		err = errors.Join(os.WriteFile(d.path+setAside, none, 0o600), d.replace(letters))
	}
	if err = errors.Join(err, d.enter()); err != nil {
		return nil, errors.Join(err, d.file.Close())
	}
	return d, nil
}

// setAside ends the name of the file for what could not be read.
const setAside = ".unreadable"

// use takes file for that of the letters, which are its first bytes.
func (d *deadLetters) use(file *os.File, bytes int64) {
	d.file, d.end = file, bytes
	d.bytes.Store(bytes)
}

// expect tells where the cursor of a journal is: a datapoint behind it that has a
// letter was refused just before a kill, and will be refused again. It returns how many
// letters are before it.
func (d *deadLetters) expect(journal string, cursor uint64) (before int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	letters, _, err := readLetters(d.path)
	for _, l := range letters {
		switch {
		case l.Journal != journal:
		case l.Number < cursor:
			before++
		default:
			d.again[place{journal, l.Number}] = l.Metric
		}
	}
	return before, err
}

// add writes a letter, unless it is there already from before a kill. It is on
// disk after the next sync.
func (d *deadLetters) add(l Letter) error {
	line, err := json.Marshal(l)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at := place{l.Journal, l.Number}
	if metric, ok := d.again[at]; ok && metric == l.Metric {
		delete(d.again, at)
		return nil
	}
	if _, err := d.file.WriteAt(append(line, '\n'), d.end); err != nil {
		return err
	}
	d.end += int64(len(line)) + 1
	d.bytes.Store(d.end)
	return nil
}

// sync has what was added on disk. After a failure the file is written anew: the
// kernel may take what it could not write for written.
func (d *deadLetters) sync() error {
	if err := d.syncFile(); err != nil {
		return err
	}
	if d.changed != nil {
		d.changed()
	}
	return nil
}

func (d *deadLetters) syncFile() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	if d.broken {
		var letters []Letter
		if letters, _, err = readLetters(d.path); err == nil {
			err = d.replace(letters)
		}
	} else {
		err = d.file.Sync()
	}
	d.broken = err != nil
	return errors.Join(err, d.enter())
}

// enter has the name of the file on disk, if it may not be.
func (d *deadLetters) enter() error {
	if !d.renamed {
		return nil
	}
	err := d.entered(filepath.Dir(d.path))
	d.renamed = err != nil
	return err
}

// size returns the bytes of all letters. It never waits, as other methods do while
// letters are delivered again.
func (d *deadLetters) size() int64 { return d.bytes.Load() }

func (d *deadLetters) close() error { return d.file.Close() }

// letters returns those that the cursors are past.
func (d *deadLetters) letters(cursors map[string]uint64) (settled []Letter, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	all, _, err := readLetters(d.path)
	for _, l := range all {
		if l.Number < cursors[l.Journal] {
			settled = append(settled, l)
		}
	}
	return settled, err
}

// settle removes the letters of delivered, and gives those of refused their new
// reasons: all or nothing.
func (d *deadLetters) settle(delivered map[place]bool, refused map[place]Letter) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	all, _, err := readLetters(d.path)
	if err != nil {
		return err
	}
	kept := all[:0]
	for _, l := range all {
		at := place{l.Journal, l.Number}
		if delivered[at] {
			continue
		}
		if again, ok := refused[at]; ok {
			l = again
		}
		kept = append(kept, l)
	}
	if err := d.replace(kept); err != nil {
		return err
	}
	if err := d.enter(); err != nil {
		slog.Error("dead letters that are settled come back after a power loss, until their folder is synced: it is tried again with the next",
			"file", d.path, "err", err)
	}
	return nil
}

// replace writes letters in place of those in the file: all or none. Its name is to be
// entered then.
func (d *deadLetters) replace(letters []Letter) error {
	draft, err := os.OpenFile(d.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(draft)
	encoder := json.NewEncoder(w)
	for _, l := range letters {
		if err = encoder.Encode(l); err != nil {
			break
		}
	}
	err = errors.Join(err, w.Flush())
	if err == nil {
		err = draft.Sync()
	}
	size, failed := draft.Seek(0, io.SeekEnd)
	if err = errors.Join(err, failed); err == nil {
		err = os.Rename(draft.Name(), d.path)
	}
	if err != nil {
		return errors.Join(err, draft.Close(), os.Remove(draft.Name()))
	}
	_ = d.file.Close() // what was in it counts no more
	d.use(draft, size)
	d.renamed = true
	return nil
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
