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
// folders, in order. The error wraps [sdk.ErrInvalid].
func find(program string, folders []string) (string, error) {
	if strings.Contains(program, "/") {
		return program, runnable(program)
	}
	for _, folder := range folders {
		path := filepath.Join(folder, program)
		if err := runnable(path); !errors.Is(err, fs.ErrNotExist) {
			return path, err
		}
	}
	return "", sdk.Invalidf("no program %q in %s: put it there, or give its path as `plugin`", program, strings.Join(folders, ", "))
}

// A file tells a program from one that has taken its place.
type file struct {
	path          string
	device, inode uint64
	size          int64 // bytes
	modified      int64 // Unix nanoseconds
}

func fileOf(path string) file {
	var stat unix.Stat_t
	if unix.Stat(path, &stat) != nil {
		return file{} // it is missed when it is started
	}
	return file{path, stat.Dev, stat.Ino, stat.Size, stat.Mtim.Nano()}
}

// locate returns how to start a plugin, and its program as it is now. The error
// wraps [sdk.ErrInvalid].
func (f *Fleet) locate(s Spec) (sdk.Spec, file, error) {
	path, err := find(s.Program, f.setup.Folders)
	if err != nil {
		return sdk.Spec{}, file{}, fmt.Errorf("plugin %q: %w", s.Name, err)
	}
	return sdk.Spec{
		Name: s.Name, Path: path, Checksum: s.Checksum, Config: s.Config,
		SocketDir: f.sockets.path, MessageLimit: f.setup.MessageLimit,
	}, fileOf(path), nil
}

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
	return nil
}
