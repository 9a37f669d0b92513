package fleet

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

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
