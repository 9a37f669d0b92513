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

// programEnv names the program to test with.
const programEnv = "WHISPERTEST_FLUXGATE"

// program returns the path of fluxgate for this process's tests.
var program = sync.OnceValues(func() (string, error) { return locate(".") })

// locate returns the path of fluxgate for the tests of the module that folder
// lies in.
func locate(folder string) (string, error) {
	if path := os.Getenv(programEnv); path != "" {
		found, err := exec.LookPath(path)
		if err != nil {
			return "", fmt.Errorf("%s: %w", programEnv, err)
		}
		return filepath.Abs(found)
	}
	modules := folders(folder)
	if source := modules["fluxgate"]; source != "" {
		return build(source)
	}
	if path, err := exec.LookPath("fluxgate"); err == nil {
		return filepath.Abs(path)
	}
	if sdk := modules["fluxgate/sdk"]; sdk != "" {
		if path, err := exec.LookPath(filepath.Join(filepath.Dir(sdk), "fluxgate")); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no program fluxgate on the PATH, nor beside the module fluxgate/sdk: " +
		"set " + programEnv + " to its path")
}

// folders returns where the modules fluxgate and fluxgate/sdk lie, those of them
// that the module of folder is or requires.
func folders(folder string) map[string]string {
	cmd := exec.Command("go", "list", "-m", "-e", "-f", "{{.Path}}\t{{.Dir}}", "fluxgate", "fluxgate/sdk")
	cmd.Dir = folder
	out, _ := cmd.Output() // without Go, or a module, there are none
	found := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		path, dir, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		found[path] = dir
	}
	return found
}
