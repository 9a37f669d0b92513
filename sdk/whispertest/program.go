package whispertest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// programVariable names the program in the environment.
const programVariable = "WHISPERTEST_FLUXGATE"

// A program is a fluxgate on the disk.
type program struct {
	path string
	lock string // held shared while the program is started, because others build it; "" for one that nobody builds
}

// findProgram looks for the program once in the life of a test binary.
var findProgram = sync.OnceValues(func() (program, error) {
	if path := os.Getenv(programVariable); path != "" {
		return named(path)
	}
	if root := repository(); root != "" {
		return build(root)
	}
	if path, err := exec.LookPath("fluxgate"); err == nil {
		return named(path)
	}
	path, err := besideSources()
	if err != nil {
		return program{}, fmt.Errorf("there is no fluxgate on the PATH, and %w: set %s to the program", err, programVariable)
	}
	return named(path)
})

// named returns the program at path, which must be one that can be executed.
func named(path string) (program, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return program{}, err
	}
	if _, err := exec.LookPath(path); err != nil {
		return program{}, fmt.Errorf("fluxgate: %w: set %s to the program, or put it on the PATH", err, programVariable)
	}
	return program{path: path}, nil
}

// besideSources returns the program that lies beside the folder of the sdk's
// module.
func besideSources() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "fluxgate/sdk").Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("the folder of module fluxgate/sdk is unknown (%s)", strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("the folder of module fluxgate/sdk is unknown (%w)", err)
	}
	folder := strings.TrimSpace(string(out))
	path := filepath.Join(filepath.Dir(folder), "fluxgate")
	if _, err := os.Stat(path); folder == "" || err != nil {
		return "", fmt.Errorf("none beside the folder of the sdk (%s)", folder)
	}
	return path, nil
}
