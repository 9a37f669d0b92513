package whispertest

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"fluxgate/sdk"
)

// While somebody holds the lock that writers hold, nothing is read.
func TestNothingIsReadWhileItIsWritten(t *testing.T) {
	t.Parallel()
	gate := Start(t)
	now := time.Now().Unix()
	gate.Send("vista.load", sdk.Point{Timestamp: now, Value: 1})
	path := filepath.Join(gate.Folder, "vista", "load.wsp")
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := flock(file, syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := gate.read("vista.load", 0); !errors.Is(err, errBusy) {
		t.Errorf("of a locked file: got %v\nwant %v", err, errBusy)
	}
	read := make(chan sdk.Series)
	go func() {
		defer close(read) // also if that fails
		read <- gate.Series("vista.load")
	}()
	gate.Send("vista.other", sdk.Point{Timestamp: now, Value: 2}) // time for the other one to be wrong
	select {
	case got := <-read:
		t.Errorf("a locked file was read: %v", got)
		return
	default:
	}
	if err := flock(file, syscall.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if got := <-read; len(got.Points) != 1 {
		t.Errorf("got %v", got)
	}
}

// The sink writes the finest archive first, then the coarser one. Whoever reads
// between the two would see the new value in one and the old one in the other.
func TestFileIsReadWhole(t *testing.T) {
	t.Parallel()
	c := Default()
	c.Retentions, c.Aggregation, c.XFilesFactor, c.MaxAge = "1s:2h,1h:1d", "last", 0, 2*time.Hour
	gate := c.Start(t)
	const rounds = 30
	first := time.Now().Unix()/3600*3600 - 3600 // all in one hour
	sent := make(chan struct{})
	defer func() { <-sent }()
	go func() {
		defer close(sent)
		for i := range int64(rounds) {
			gate.Send("vista.load", sdk.Point{Timestamp: first + i, Value: float64(i)})
		}
	}()
	var reads int
	for running := true; running; reads++ {
		select {
		case <-sent:
			running = false
		default:
		}
		raw, err := readLocked(filepath.Join(gate.Folder, "vista", "load.wsp"))
		if errors.Is(err, errBusy) || errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		all, err := parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		fine, coarse := all[0].points(first), all[1].points(first)
		if len(fine) == 0 && len(coarse) == 0 {
			continue // the file is made before it is filled
		}
		if len(coarse) != 1 || fine[len(fine)-1].Value != coarse[0].Value {
			t.Fatalf("read %d: the finest archive ends with %v, and the coarser one has %v", reads, fine[len(fine)-1:], coarse)
		}
	}
	t.Logf("%d reads beside %d writes", reads, rounds)
}

// While somebody builds the program, which may be half written, it is not started.
func TestNotStartedWhileItIsBuilt(t *testing.T) {
	t.Parallel()
	found, err := findProgram()
	if err != nil {
		t.Fatal(err)
	}
	found.lock = filepath.Join(t.TempDir(), "lock")
	built, err := lock(found.lock, syscall.LOCK_EX)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := Default().write(configFile(folder), filepath.Join(folder, "whisper")); err != nil {
		t.Fatal(err)
	}
	started := make(chan *process)
	go func() {
		p, err := found.start(folder)
		if err != nil {
			t.Error(err)
		}
		started <- p
	}()
	Start(t) // time for the other one to be wrong
	if log, err := os.ReadFile(filepath.Join(folder, "fluxgate.log")); err == nil {
		t.Errorf("it was started, and logs\n%s", log)
	}
	built()
	if p := <-started; p != nil {
		p.end(t)
	}
}

// A plugin is the program that was built last, by whatever way go build has put
// it there, and no link to it, which Fluxgate would refuse.
func TestPluginIsWhatWasBuiltLast(t *testing.T) {
	bin := t.TempDir()
	program, plugin := filepath.Join(bin, "whisper"), filepath.Join(bin, "plugins", "fluxgate-sink-whisper")
	if err := os.Mkdir(filepath.Join(bin, "plugins"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../whisper", plugin); err != nil { // whatever lay there
		t.Fatal(err)
	}
	for _, text := range []string{"one", "one", "two"} {
		draft := program + ".new"
		if err := errors.Join(os.WriteFile(draft, []byte(text), 0o755), os.Rename(draft, program)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := link(bin, "whisper", filepath.Base(plugin)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(plugin)
		if info, statErr := os.Lstat(plugin); string(got) != text || err != nil || statErr != nil || !info.Mode().IsRegular() {
			t.Errorf("the plugin is %q, %v; want %q, in a file of its own", got, errors.Join(err, statErr), text)
		}
	}
}
