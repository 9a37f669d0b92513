package fleet

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fluxgate/sdk"
)

// A Lock is the sha256, in hexadecimal, that each program must have, by its
// absolute path. As a file it is what sha256sum prints and `sha256sum -c` checks.
type Lock map[string]string

// relock is the remedy for what the fleet's lock refuses.
func (f *Fleet) relock() string {
	return "pin what is there now, if you trust it, with: " + f.setup.Relock
}

// ReadLock reads a lock's file. The error wraps [fs.ErrNotExist] if there is none,
// and [sdk.ErrInvalid] if a line of it, which is named, is damaged.
func ReadLock(path string) (Lock, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lock := make(Lock)
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		sum, program, ok := readPin(lines.Text())
		if other, known := lock[program]; !ok || known && other != sum {
			return nil, sdk.Invalidf("%s:%d: damaged: each line must be a sha256, two spaces and the absolute path of a program, "+
				"and no program in two", path, n)
		}
		lock[program] = sum
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return lock, nil
}

// readPin reads a line. One that begins with a backslash has some in the path.
func readPin(line string) (sum, program string, ok bool) {
	line, escaped := strings.CutPrefix(line, `\`)
	sum, program, ok = strings.Cut(line, " ")
	if digits, err := hex.DecodeString(sum); err != nil || len(digits) != sha256.Size || program == "" {
		return "", "", false
	}
	program = program[1:] // after a space, or * for binary
	if escaped {
		program = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r").Replace(program)
	}
	return strings.ToLower(sum), program, ok && filepath.IsAbs(program)
}

// Write makes the lock's file, whole or not at all.
func (l Lock) Write(path string) (err error) {
	draft, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(draft.Name())
		}
	}()
	_, err = draft.WriteString(l.text())
	if err = errors.Join(err, draft.Chmod(0o644), draft.Sync(), draft.Close()); err != nil {
		return err
	}
	if err := os.Rename(draft.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func (l Lock) text() string {
	var text strings.Builder
	for _, program := range slices.Sorted(maps.Keys(l)) {
		escaped := strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`).Replace(program)
		if escaped != program {
			text.WriteByte('\\')
		}
		fmt.Fprintf(&text, "%s  %s\n", l[program], escaped)
	}
	return text.String()
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// pin returns the checksum that a program must have, and what says so. The error
// wraps [sdk.ErrInvalid].
func (f *Fleet) pin(program, configured string) (sum, pin string, err error) {
	if f.setup.Lock == "" {
		return configured, "", nil
	}
	lock, err := ReadLock(f.setup.Lock)
	if errors.Is(err, fs.ErrNotExist) {
		return configured, "", nil
	}
	if err != nil {
		return "", "", sdk.Invalidf("%w: %s", err, f.relock())
	}
	path, err := filepath.Abs(program)
	if err != nil {
		return "", "", sdk.Invalidf("%w", err)
	}
	sum, pinned := lock[path]
	switch {
	case !pinned:
		actual, err := sumOf(program)
		if err != nil {
			return "", "", sdk.Invalidf("%w", err)
		}
		return "", "", sdk.Invalidf("%s, whose sha256 is %s, is not in %s: %s", path, actual, f.setup.Lock, f.relock())
	case configured != "" && !strings.EqualFold(configured, sum):
		return "", "", sdk.Invalidf("its configured checksum is %s, and %s pins %s: change the checksum, or %s", configured, f.setup.Lock, sum, f.relock())
	}
	return sum, f.setup.Lock + ": " + f.relock(), nil
}

// sumOf returns the sha256 of a program, in hexadecimal.
func sumOf(program string) (string, error) {
	f, err := os.Open(program)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("%s: %w", program, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Locked returns a lock of the programs of all plugins as they are now, for a
// fleet that does not run. The error names those that cannot be found, or not be
// trusted.
func (f *Fleet) Locked() (Lock, error) {
	defer f.sockets.remove()
	lock := make(Lock)
	var errs []error
	for _, c := range f.all() {
		kind, name := c.title()
		if err := lock.add(c.configured(), f.setup.Folders); err != nil {
			errs = append(errs, fmt.Errorf("%s %q: %w", kind, name, err))
		}
	}
	return lock, errors.Join(errs...)
}

// add pins the program of a plugin.
func (l Lock) add(s Spec, folders []string) error {
	program, err := find(s.Program, folders)
	if err != nil {
		return err
	}
	path, err := filepath.Abs(program)
	if err != nil {
		return err
	}
	l[path], err = sumOf(path)
	return err
}
