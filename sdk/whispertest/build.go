package whispertest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// build brings the program of the module fluxgate at root up to date, and the
// plugins that it cannot do without. They lie in the user's folder for caches, in
// a folder for each root, where one test binary at a time builds.
func build(root string) (program, error) {
	consult(root)
	caches, err := os.UserCacheDir()
	if err != nil {
		return program{}, fmt.Errorf("no folder to build fluxgate in: %w: set %s to the program", err, programVariable)
	}
	bin := filepath.Join(caches, "fluxgate", "whispertest", fmt.Sprintf("%.8x", sha256.Sum256([]byte(root))))
	if err := os.MkdirAll(filepath.Join(bin, "plugins"), 0o755); err != nil {
		return program{}, err
	}
	p := program{path: filepath.Join(bin, "core"), lock: filepath.Join(bin, "lock")}
	release, err := lock(p.lock, syscall.LOCK_EX)
	if err != nil {
		return program{}, err
	}
	defer release()
	// The commit is left out, or each one would have all of them linked again.
	command := exec.Command("go", "build", "-buildvcs=false", "-o", bin+"/", "fluxgate/core",
		"fluxgate/plugins/input/flux", "fluxgate/plugins/sink/whisper", "fluxgate/plugins/resampler/basic")
	command.Dir = root
	if out, err := command.CombinedOutput(); err != nil {
		return program{}, fmt.Errorf("build fluxgate: %w\n%s", err, out)
	}
	return p, errors.Join(
		link(bin, "flux", "fluxgate-input-flux"), link(bin, "whisper", "fluxgate-sink-whisper"), link(bin, "basic", "fluxgate-resampler-basic"))
}

// link gives a program in bin the name by which Fluxgate finds a plugin. What go
// build has made keeps its own name, by which it sees that it is up to date. It is
// no symbolic link: those Fluxgate follows only inside its folder of plugins.
func link(bin, program, plugin string) error {
	path := filepath.Join(bin, "plugins", plugin)
	draft := filepath.Join(bin, plugin)
	defer os.Remove(draft) // it stays where path is that file already
	if err := os.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(filepath.Join(bin, program), draft); err != nil {
		return err
	}
	return os.Rename(draft, path)
}

// consult reads every folder of the program's sources, so that go test knows that
// its result depends on them, and does not take it from its cache when they have
// changed.
func consult(root string) {
	for _, part := range []string{"core", "plugins", "sdk"} {
		_ = filepath.WalkDir(filepath.Join(root, part), func(string, fs.DirEntry, error) error { return nil })
	}
}

// hold keeps others from building the program until release.
func (p program) hold() (release func(), err error) {
	if p.lock == "" {
		return func() {}, nil
	}
	return lock(p.lock, syscall.LOCK_SH)
}

// lock waits for a lock of the file at path, which it makes where it is missing.
func lock(path string, how int) (release func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(file, how); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// flock is flock(2), again after a signal. The lock is given back when file is
// closed.
func flock(file *os.File, how int) error {
	for {
		if err := syscall.Flock(int(file.Fd()), how); err != syscall.EINTR {
			return err
		}
	}
}
