package fleet

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"fluxgate/sdk"
)

const (
	someSum  = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	otherSum = "486ea46224d1bb4fb680f34f7c9ad96a8f24ec88be73ea8e5a6c65260e9cb8a7"
)

// pinning returns a fleet that a lock holds to its programs, and the lock's path.
func pinning(t *testing.T) (*Fleet, string) {
	t.Helper()
	f, _ := newFleet(t)
	f.setup.Lock, f.setup.Relock = filepath.Join(t.TempDir(), "plugins.lock"), "fluxgate plugin lock --config here"
	return f, f.setup.Lock
}

func TestLocksAreReadAsTheyWereWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plugins.lock")
	if _, err := ReadLock(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	for _, lock := range []Lock{{}, {"/a": someSum}, {"/a b/c ": someSum, "/ü": otherSum, "/back\\slash\\n": someSum, "/two\nlines\r": otherSum}} {
		if err := lock.Write(path); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadLock(path); err != nil || !maps.Equal(got, lock) {
			t.Errorf("read %q, %v, want %q", got, err, lock)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("there are %v, %v", left, err)
	}
	if err := (Lock{}).Write("/nowhere/plugins.lock"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("into no folder: %v", err)
	}
}

// Whatever a program is called, sha256sum understands the lock.
func TestSha256sumChecksALock(t *testing.T) {
	folder := t.TempDir()
	lock := make(Lock)
	for _, name := range []string{"plain", "two words", "back\\slash", "two\nlines", "-dash"} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := lock.add(Spec{Program: path}, nil); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(folder, "plugins.lock")
	if err := lock.Write(path); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("sha256sum", "--strict", "-c", path).CombinedOutput(); err != nil || strings.Count(string(out), "OK\n") != len(lock) {
		t.Errorf("%v\n%s", err, out)
	}
	out, err := exec.Command("sha256sum", filepath.Join(folder, "back\\slash"), filepath.Join(folder, "two\nlines")).Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
	theirs, err := ReadLock(path)
	if err != nil || len(theirs) != 2 {
		t.Errorf("what sha256sum printed is read as %q, %v", theirs, err)
	}
	for program, sum := range theirs {
		if lock[program] != sum {
			t.Errorf("%q: read %s, want %s", program, sum, lock[program])
		}
	}
}

func TestDamagedLocks(t *testing.T) {
	good := someSum + "  /a\n"
	for name, text := range map[string]string{
		"rubbish": good + "rubbish\n", "a short sum": good + "abc  /a\n", "no path": good + someSum + "\n", "one space": good + someSum + " /b\n",
		"an empty line": good + "\n", "a relative path": good + someSum + "  b\n", "half a line": good + someSum[:20],
		"a program twice": good + otherSum + "  /a\n", "no hexadecimal": good + strings.Repeat("xy", 32) + "  /b\n",
	} {
		f, path := pinning(t)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f.Sink(Spec{Name: "carbon", Program: executable(t)})
		err := f.Open(t.Context())
		if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), path+":2: damaged") || !strings.Contains(err.Error(), f.setup.Relock) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadLock(t.TempDir()); err == nil {
		t.Error("a folder is a lock")
	}
}

func TestALockHoldsPluginsToTheirPrograms(t *testing.T) {
	self := executable(t)
	sum, err := sumOf(self)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, checksum string
		lock           Lock // nil: there is none
		says           []string
	}{
		{"none", "", nil, nil},
		{"none, and a checksum", sum, nil, nil},
		{"the program", "", Lock{self: sum}, nil},
		{"the program, in capitals", "", Lock{self: strings.ToUpper(sum)}, nil},
		{"the program, and a checksum", strings.ToUpper(sum), Lock{self: sum, "/a": someSum}, nil},
		{"another program", "", Lock{self: someSum}, []string{"sha256 is " + sum, "not " + someSum, "plugins.lock: pin what is there now", "fluxgate plugin lock --config here"}},
		{"not in it", "", Lock{"/a": sum}, []string{self + ", whose sha256 is " + sum + ", is not in ", "plugins.lock: pin", "fluxgate plugin lock --config here"}},
		{"empty", "", Lock{}, []string{"is not in "}},
		{"another checksum", otherSum, Lock{self: sum}, []string{otherSum, "plugins.lock pins " + sum, "change the checksum", "fluxgate plugin lock --config here"}},
		{"another checksum that is locked too", otherSum, Lock{self: otherSum}, []string{"sha256 is " + sum, "not " + otherSum, "plugins.lock"}},
		{"another checksum without a lock", otherSum, nil, []string{"sha256 is " + sum, "not " + otherSum, "the setting checksum"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, path := pinning(t)
			if tt.lock != nil {
				if err := tt.lock.Write(path); err != nil {
					t.Fatal(err)
				}
			}
			f.Sink(Spec{Name: "carbon", Program: self, Checksum: tt.checksum})
			err := f.Try(t.Context(), false)
			if tt.says == nil && err != nil || tt.says != nil && !errors.Is(err, sdk.ErrInvalid) {
				t.Fatalf("error %v", err)
			}
			for _, words := range append(tt.says, `sink "carbon"`) {
				if err != nil && !strings.Contains(err.Error(), words) {
					t.Errorf("error %q does not say %q", err, words)
				}
			}
		})
	}
}

// A program that is changed while it runs is not started again, nor by a reload,
// until it is pinned.
func TestALockHoldsAtEachStart(t *testing.T) {
	f, path := pinning(t)
	program := filepath.Join(t.TempDir(), "carbon")
	copyFile(t, executable(t), program)
	sink := f.Sink(Spec{Name: "carbon", Program: program})
	pin := func() {
		t.Helper()
		lock := make(Lock)
		if err := lock.add(Spec{Program: program}, nil); err != nil {
			t.Fatal(err)
		}
		if err := lock.Write(path); err != nil {
			t.Fatal(err)
		}
	}
	pin()
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, f)
	first := sink.current().Pid()
	copyFile(t, executable(t), program+".new")
	changed, err := os.OpenFile(program+".new", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = changed.WriteString("more")
	if err := errors.Join(err, changed.Close(), os.Rename(program+".new", program)); err != nil {
		t.Fatal(err)
	}
	specs := []Spec{sink.configured()}
	swapPinned := func(lock Lock, says string) {
		t.Helper()
		if err := lock.Write(path); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Prepare(t.Context(), nil, specs, nil); !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("a reload with another lock: %v, want one that says %q", err, says)
		}
	}
	if _, err := f.Prepare(t.Context(), nil, specs, nil); !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), f.setup.Relock) {
		t.Errorf("a reload takes it: %v", err)
	}
	if sink.current().Pid() != first {
		t.Error("the process that ran is gone")
	}
	kill(t, first)
	await(t, "it is refused", func() bool { return f.Report()[0].State == Refused })
	pin()
	await(t, "it is pinned and runs", sink.isOpen)
	swapPinned(Lock{}, "is not in ")
	swapPinned(Lock{program: someSum}, "not "+someSum)
	pin()
	change, err := f.Prepare(t.Context(), nil, specs, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := sink.current()
	change.Commit()
	if sink.current() != now {
		t.Error("a reload with the same lock takes another process")
	}
}

func TestLocked(t *testing.T) {
	f, err := New(Setup{Folders: []string{t.TempDir()}}, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	f.Sink(Spec{Name: "carbon", Program: executable(t)})
	f.Resampler(Spec{Name: "mean", Program: executable(t)})
	input := inputProgram(t)
	f.Input(Spec{Name: "flux", Program: input})
	lock, err := f.Locked()
	if err != nil || len(lock) != 2 || lock[executable(t)] == "" || lock[input] != lock[executable(t)] {
		t.Errorf("it pins %v, %v", lock, err)
	}
	f.Sink(Spec{Name: "lost", Program: "fluxgate-sink-lost"})
	if _, err := f.Locked(); !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), `sink "lost"`) {
		t.Errorf("with a program that is missing: %v", err)
	}
}
