package fleet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"fluxgate/sdk"
)

// find returns the path of a program. A name without a slash is looked for in
// folders, in order, and must not lead out of them. The error wraps
// [sdk.ErrInvalid].
func find(program string, folders []string) (string, error) {
	if strings.Contains(program, "/") {
		return program, runnable(program)
	}
	for _, folder := range folders {
		path := filepath.Join(folder, program)
		err := runnable(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = inside(folder, path)
		}
		return path, err
	}
	return "", sdk.Invalidf("no program %q in %s: put it there, or give its path as `plugin`", program, strings.Join(folders, ", "))
}

// inside refuses a link that leads out of a folder.
func inside(folder, path string) error {
	root, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return sdk.Invalidf("%w", err)
	}
	end, err := filepath.EvalSymlinks(path)
	if err != nil {
		return sdk.Invalidf("%w", err)
	}
	if !strings.HasPrefix(end, strings.TrimSuffix(root, "/")+"/") {
		return sdk.Invalidf("%s is a link to %s, which is outside of the folder: put the program itself there, or give its path as `plugin`", path, end)
	}
	return nil
}

// A file tells a program from one that has taken its place.
type file struct {
	path          string
	device, inode uint64
	size          int64  // bytes
	modified      int64  // Unix nanoseconds
	pinned        string // the checksum that it must have
}

func fileOf(path string) file {
	var stat unix.Stat_t
	if unix.Stat(path, &stat) != nil {
		return file{} // it is missed when it is started
	}
	return file{path: path, device: stat.Dev, inode: stat.Ino, size: stat.Size, modified: stat.Mtim.Nano()}
}

// replaced reports whether another has taken the file's place.
func (f file) replaced() bool {
	now := fileOf(f.path)
	now.pinned = f.pinned
	return now != f
}

// locate returns how to start a plugin, and its program as it is now. The error
// wraps [sdk.ErrInvalid].
func (f *Fleet) locate(kind string, s Spec) (sdk.Spec, file, error) {
	spec := sdk.Spec{Name: s.Name, Config: s.Config, SocketDir: f.sockets.path, MessageLimit: f.setup.MessageLimit,
		Env: f.setup.Env, Portable: f.setup.Portable}
	if spec.Attach = f.attachedAt(kind, s.Name); spec.Attach != "" {
		return spec, file{path: spec.Attach}, nil
	}
	var err error
	if spec.Path, err = find(s.Program, f.setup.Folders); err == nil {
		spec.Checksum, spec.Pin, err = f.pin(spec.Path, s.Checksum)
	}
	if err != nil {
		return sdk.Spec{}, file{}, fmt.Errorf("%s %q: %w", kind, s.Name, err)
	}
	found := fileOf(spec.Path)
	found.pinned = spec.Checksum
	return spec, found, nil
}

// attachedAt returns where a plugin waits that is not the fleet's to start, or "".
func (f *Fleet) attachedAt(kind, name string) string { return f.setup.Attach[Title{kind, name}] }

// runnable tells whether a program may be started.
func runnable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return sdk.Invalidf("%w", err)
	case !info.Mode().IsRegular():
		return sdk.Invalidf("%s is not a file", path)
	case info.Mode().Perm()&0o111 == 0:
		return sdk.Invalidf("%s is not executable: chmod +x it", path)
	}
	return guarded(path)
}

// guarded refuses a program that every user of the machine can change, or put
// another in the place of.
func guarded(path string) error {
	end, err := filepath.EvalSymlinks(path)
	if err != nil {
		return sdk.Invalidf("%w", err)
	}
	const everybody = 0o002
	for _, place := range []string{end, filepath.Dir(end), filepath.Dir(path)} {
		info, err := os.Stat(place)
		switch {
		case err != nil:
			return sdk.Invalidf("%w", err)
		case info.Mode().Perm()&everybody == 0:
		case !info.IsDir():
			return sdk.Invalidf("%s can be changed by every user of this machine: chmod o-w it, and see that it is still the right one", place)
		case info.Mode()&fs.ModeSticky == 0:
			return sdk.Invalidf("%s is in a folder in which every user of this machine can replace it: chmod o-w %s, and see that it is still the right one", path, place)
		}
	}
	return nil
}
