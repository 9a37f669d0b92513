package fleet

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fluxgate/sdk"
)

func at(seconds float64) time.Time {
	return time.Unix(1_700_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

// about reports whether d is want, give or take the jitter.
func about(d, want time.Duration) bool {
	return d >= want*8/10 && d <= want*12/10
}

func TestDeathsMakeTheDelayGrow(t *testing.T) {
	d := newDeaths(false)
	jitter := make(map[time.Duration]bool)
	for i, want := range []float64{0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30, 30} {
		d.add(at(float64(i)))
		delay := d.delay()
		if !about(delay, time.Duration(want*float64(time.Second))) {
			t.Errorf("after death %d: %v, want about %vs", i+1, delay, want)
		}
		jitter[delay-delay.Truncate(100*time.Millisecond)] = true
	}
	if len(jitter) < 3 {
		t.Errorf("the delays have no jitter: %v", jitter)
	}
}

func TestDelayAfterDeaths(t *testing.T) {
	tests := []struct {
		name    string
		atOnce  bool
		deaths  []float64 // seconds
		want    time.Duration
		failing bool
	}{
		{"one", false, []float64{0}, 200 * time.Millisecond, false},
		{"one after a quiet minute", false, []float64{0, 1, 2, 3, 64}, 200 * time.Millisecond, false},
		{"one within a minute of another", false, []float64{0, 1, 2, 3, 62}, 3200 * time.Millisecond, false},
		{"nine in a minute", false, []float64{0, 1, 2, 3, 4, 5, 6, 7, 8}, 30 * time.Second, false},
		{"ten in a minute", false, []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 30 * time.Second, true},
		{"ten as fast as the delays allow", false, []float64{0, .2, .6, 1.4, 3, 6.2, 12.6, 25.4, 51, 81}, 30 * time.Second, true},
		{"ten with a quiet minute between", false, []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 69}, 200 * time.Millisecond, false},
		{"ten at once in more than a minute", true, []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 61}, 0, false},
		{"one at once", true, []float64{0}, 0, false},
		{"nine at once", true, []float64{0, 1, 2, 3, 4, 5, 6, 7, 8}, 0, false},
		{"ten at once", true, []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 200 * time.Millisecond, true},
		{"eleven at once", true, []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 400 * time.Millisecond, true},
		{"ten at once, long ago", true, []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 70}, 0, false},
	}
	for _, tt := range tests {
		d := newDeaths(tt.atOnce)
		var delay time.Duration
		for _, seconds := range tt.deaths {
			d.add(at(seconds))
			delay = d.delay()
		}
		if !about(delay, tt.want) || d.failing() != tt.failing {
			t.Errorf("%s: %v, failing %v; want about %v, %v", tt.name, delay, d.failing(), tt.want, tt.failing)
		}
	}
}

func TestFind(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	make := func(mode os.FileMode, elements ...string) string {
		path := filepath.Join(elements...)
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	both := make(0o755, first, "both")
	make(0o755, second, "both")
	later := make(0o755, second, "later")
	make(0o644, first, "text")
	make(0o755, second, "text")
	if err := os.Mkdir(filepath.Join(first, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(first, "link")
	if err := os.Symlink(later, link); err != nil {
		t.Fatal(err)
	}
	within := filepath.Join(first, "within")
	if err := os.Symlink("both", within); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(t.TempDir(), "open")
	make(0o755, first, "writable")
	if err := os.MkdirAll(filepath.Join(open, "sticky"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{first + "/writable": 0o757, open: 0o777, open + "/sticky": 0o777 | os.ModeSticky} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	make(0o755, open, "program")
	sticky := make(0o755, open, "sticky", "program")
	led := filepath.Join(first, "led") // by a path a link may be given
	if err := os.Symlink(filepath.Join(open, "program"), led); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		program, path string
		says          []string // empty: it is found
	}{
		{"both", both, nil},
		{"later", later, nil},
		{"within", within, nil},
		{"link", "", []string{link + " is a link to " + later, "outside of the folder", "`plugin`"}},
		{link, link, nil},
		{sticky, sticky, nil},
		{"writable", "", []string{first + "/writable can be changed by every user", "chmod o-w it"}},
		{open + "/program", "", []string{open + "/program is in a folder in which every user", "chmod o-w " + open}},
		{led, "", []string{"in which every user", "chmod o-w " + open}},
		{later, later, nil},
		{"text", "", []string{filepath.Join(first, "text") + " is not executable: chmod +x it"}},
		{"folder", "", []string{filepath.Join(first, "folder") + " is not a file"}},
		{"nowhere", "", []string{`no program "nowhere" in ` + first + ", " + second, "`plugin`"}},
		{first + "/nowhere", "", []string{first + "/nowhere", "no such file"}},
		{"./nowhere", "", []string{"./nowhere", "no such file"}},
		{later + "/nowhere", "", []string{"not a directory"}},
		{first + "/text", "", []string{"chmod +x it"}},
	}
	for _, tt := range tests {
		path, err := find(tt.program, []string{first, second})
		if tt.says == nil {
			if path != tt.path || err != nil {
				t.Errorf("%q: %q, %v, want %q", tt.program, path, err, tt.path)
			}
			continue
		}
		if !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("%q: error %v does not wrap ErrInvalid", tt.program, err)
			continue
		}
		for _, words := range tt.says {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%q: error %q does not say %q", tt.program, err, words)
			}
		}
	}
}

func makeDir(t *testing.T) *socketDir {
	t.Helper()
	d, err := makeSocketDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.remove)
	return d
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestSocketDirIsTheServersAlone(t *testing.T) {
	quarters(t)
	d := makeDir(t)
	info, err := os.Stat(d.path)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v, want 0700", info.Mode(), err)
	}
	if lock := lockFolder(d.path); lock != nil {
		t.Error("it is not locked")
	}
	if other := makeDir(t); other.path == d.path {
		t.Error("two servers share it")
	}
	d.remove()
	if exists(d.path) {
		t.Error("it is still there")
	}
}

func TestSweep(t *testing.T) {
	home := quarters(t)
	living, dead := makeDir(t), makeDir(t)
	socket := filepath.Join(dead.path, "plugin1")
	for _, path := range []string{socket, filepath.Join(home, "notes.txt")} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := dead.lock.Close(); err != nil { // as the end of its server does
		t.Fatal(err)
	}
	sweepSockets()
	if !exists(living.path) {
		t.Error("the folder of a server that lives is swept")
	}
	if exists(dead.path) {
		t.Error("the folder of a server that died is left")
	}
	if !exists(filepath.Join(home, "notes.txt")) {
		t.Error("a stranger's file is swept")
	}
}

// A plugin's data socket is swept once the plugin is gone.
func TestSweepOfDataSockets(t *testing.T) {
	home := quarters(t)
	var folders []string
	for _, name := range []string{"living", "dead"} {
		folder := filepath.Join(home, "fluxgate-data-"+name)
		if err := errors.Join(os.Mkdir(folder, 0o700), os.WriteFile(filepath.Join(folder, "data1"), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		folders = append(folders, folder)
	}
	lock := lockFolder(folders[0])
	if lock == nil {
		t.Fatal("it cannot be locked")
	}
	defer lock.Close()
	sweepSockets()
	if !exists(filepath.Join(folders[0], "data1")) {
		t.Error("the data socket of a plugin that lives is swept")
	}
	if exists(folders[1]) {
		t.Error("that of a plugin that died is left")
	}
}

// Others can make files in the system's folder for temporary ones.
func TestSweepIsNotLedAstray(t *testing.T) {
	home := quarters(t)
	precious := t.TempDir()
	file := filepath.Join(precious, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link, pipe := filepath.Join(home, socketPattern+"link"), filepath.Join(home, socketPattern+"pipe")
	if err := errors.Join(os.Symlink(precious, link), syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		sweepSockets()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("a pipe that nobody writes to holds up the sweep")
	}
	if !exists(file) {
		t.Error("a file was removed through a link")
	}
}

func TestNoPlaceForSockets(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	if _, err := makeSocketDir(); err == nil || !strings.Contains(err.Error(), "plugins' sockets") {
		t.Errorf("error %v", err)
	}
}

func TestSocketsHaveShortPaths(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 80))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, parent := range []string{t.TempDir(), long} {
		t.Setenv("TMPDIR", parent)
		dir, err := makeSocketDir()
		if err != nil {
			t.Fatal(err)
		}
		if socket := dir.path + "/plugin4294967295"; len(socket) > 107 {
			t.Errorf("with TMPDIR %s a socket is %s, of %d bytes", parent, socket, len(socket))
		}
		dir.remove()
	}
}
