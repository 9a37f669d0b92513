package whispertest

import (
	"crypto/sha256"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// packages are the programs of a gate, and where fluxgate looks for them.
var packages = map[string]string{
	"fluxgate/core":                    "fluxgate",
	"fluxgate/plugins/input/flux":      "plugins/fluxgate-input-flux",
	"fluxgate/plugins/resampler/basic": "plugins/fluxgate-resampler-basic",
	"fluxgate/plugins/sink/whisper":    "plugins/fluxgate-sink-whisper",
}

// unused is how long programs are kept that no test has asked for.
const unused = 24 * time.Hour

// build returns the path of fluxgate as built from the sources of the module in
// folder. It is built into the user's cache, where Go finds in a third of a
// second that nothing has changed; of several test binaries at once one builds.
// Each version has a folder of its own, so that those of running tests stay.
func build(source string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place to build fluxgate: %w", err)
	}
	home := filepath.Join(cache, "fluxgate-whispertest", digest([]byte(source)))
	draft := filepath.Join(home, "draft")
	if err := os.MkdirAll(draft, 0o700); err != nil {
		return "", err
	}
	lock, err := lockFile(filepath.Join(home, "lock"))
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := compile(source, draft); err != nil {
		return "", err
	}
	id, err := identify(draft)
	if err != nil {
		return "", err
	}
	bin := filepath.Join(home, id)
	if err := arrange(draft, bin); err != nil {
		return "", err
	}
	return filepath.Join(bin, "fluxgate"), prune(home, draft, bin)
}

func digest(b []byte) string { return fmt.Sprintf("%.16x", sha256.Sum256(b)) }

// lockFile waits until no other process has locked the file.
func lockFile(path string) (*os.File, error) {
	lock, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
		if err == nil {
			return lock, nil
		}
		if err != syscall.EINTR {
			return nil, errors.Join(err, lock.Close())
		}
	}
}

// compile builds each package into a program of the folder draft that is called
// as the package's folder.
func compile(source, draft string) error {
	args := []string{"build", "-o", draft + "/"}
	for name := range packages {
		args = append(args, name)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build fluxgate in %s: %w\n%s", source, err, out)
	}
	return nil
}

// identify returns what differs when any of the programs does: Go gives each an
// id of its contents.
func identify(draft string) (string, error) {
	var ids []string
	for name := range packages {
		program, err := elf.Open(filepath.Join(draft, path.Base(name)))
		if err != nil {
			return "", err
		}
		note := program.Section(".note.go.buildid")
		if note == nil {
			return "", errors.Join(fmt.Errorf("%s has no build id", name), program.Close())
		}
		id, err := note.Data()
		if err := errors.Join(err, program.Close()); err != nil {
			return "", err
		}
		ids = append(ids, string(id))
	}
	slices.Sort(ids)
	return digest(fmt.Append(nil, ids)), nil
}

// arrange makes the folder bin, whole from the start, unless it is there.
func arrange(draft, bin string) error {
	now := time.Now()
	err := os.Chtimes(bin, now, now)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	half, err := os.MkdirTemp(filepath.Dir(bin), "half-")
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(half, "plugins"), 0o700); err != nil {
		return err
	}
	for name, program := range packages {
		if err := os.Link(filepath.Join(draft, path.Base(name)), filepath.Join(half, program)); err != nil {
			return err
		}
	}
	return os.Rename(half, bin)
}

// prune removes the folders of home that have not been used for long, except
// those to keep.
func prune(home string, keep ...string) error {
	entries, err := os.ReadDir(home)
	for _, e := range entries {
		folder := filepath.Join(home, e.Name())
		info, statErr := e.Info()
		if !e.IsDir() || slices.Contains(keep, folder) || statErr == nil && time.Since(info.ModTime()) < unused {
			continue
		}
		err = errors.Join(err, statErr, os.RemoveAll(folder))
	}
	return err
}
