package delivery

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	all := make(map[string][]Letter)
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

// readLetters returns the letters of a file and how many bytes they take. A last
// line that is not whole was never counted, and is passed over.
func readLetters(path string) (letters []Letter, size int64, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, err
	}
	for line := range bytes.Lines(text) {
		var l Letter
		if err := json.Unmarshal(line, &l); err != nil || !bytes.HasSuffix(line, []byte("\n")) {
			if int(size)+len(line) == len(text) {
				break
			}
			return nil, 0, fmt.Errorf("%s: line %d is no dead letter: mend or remove it", path, len(letters)+1)
		}
		letters = append(letters, l)
		size += int64(len(line))
	}
	return letters, size, nil
}

// deadLetters is the file of one sink.
type deadLetters struct {
	path    string
	changed func()       // called when the size is another; nil: nobody
	bytes   atomic.Int64 // end, for who must not wait

	mu     sync.Mutex
	file   *os.File
	end    int64 // of the last letter
	broken bool  // the last sync did not succeed
	counts map[string]int
	again  map[place]string // metrics of the letters that may be added once more after a kill
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
	d := &deadLetters{path: filepath.Join(deadFolder(folder), sink+deadSuffix), again: make(map[place]string)}
	file, err := os.OpenFile(d.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	letters, end, err := readLetters(d.path)
	if err == nil {
		err = file.Truncate(end)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	d.reset(file, letters, end)
	return d, nil
}

func (d *deadLetters) reset(file *os.File, letters []Letter, end int64) {
	d.file, d.end = file, end
	d.bytes.Store(end)
	d.counts = make(map[string]int)
	for _, l := range letters {
		d.counts[l.Journal]++
	}
}

// expect tells where the cursor of a journal is: a datapoint behind it that has a
// letter was refused just before a kill, and will be refused again.
func (d *deadLetters) expect(journal string, cursor uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	letters, _, err := readLetters(d.path)
	for _, l := range letters {
		if l.Journal == journal && l.Number >= cursor {
			d.again[place{journal, l.Number}] = l.Metric
		}
	}
	return err
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
	d.counts[l.Journal]++
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
	if !d.broken {
		err := d.file.Sync()
		d.broken = err != nil
		return err
	}
	letters, _, err := readLetters(d.path)
	if err == nil {
		err = d.replace(letters)
	}
	d.broken = err != nil
	return err
}

// size returns the bytes of all letters. It never waits, as other methods do while
// letters are delivered again.
func (d *deadLetters) size() int64 { return d.bytes.Load() }

func (d *deadLetters) count(journal string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts[journal]
}

func (d *deadLetters) close() error { return d.file.Close() }

// retry has every letter delivered again, oldest first, and keeps those that are
// refused once more, with the new reason. It returns how many were delivered, by
// journal. At another error it stops, and keeps what it has not come to.
func (d *deadLetters) retry(deliver func(Letter) (refusal string, err error)) (delivered map[string]int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	letters, _, err := readLetters(d.path)
	if err != nil {
		return nil, err
	}
	delivered = make(map[string]int)
	var kept []Letter
	for i, l := range letters {
		refusal, failure := deliver(l)
		if failure != nil {
			err = failure
			kept = append(kept, letters[i:]...)
			break
		}
		if refusal == "" {
			delivered[l.Journal]++
			continue
		}
		l.Reason, l.Time = refusal, time.Now().UTC()
		kept = append(kept, l)
	}
	return delivered, errors.Join(err, d.replace(kept))
}

// replace writes letters in place of those in the file: all or none.
func (d *deadLetters) replace(letters []Letter) error {
	var text []byte
	for _, l := range letters {
		line, err := json.Marshal(l)
		if err != nil {
			return err
		}
		text = slices.Concat(text, line, []byte("\n"))
	}
	draft, err := os.OpenFile(d.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = draft.Write(text)
	if err == nil {
		err = draft.Sync()
	}
	if err == nil {
		err = os.Rename(draft.Name(), d.path)
	}
	if err != nil {
		return errors.Join(err, draft.Close(), os.Remove(draft.Name()))
	}
	old := d.file
	d.reset(draft, letters, int64(len(text)))
	return errors.Join(old.Close(), syncFolder(filepath.Dir(d.path)))
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
