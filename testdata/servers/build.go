package servers

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// Build returns a program that is built from a folder of this repository.
func Build(t testing.TB, folder string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(folder))
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "fluxgate/"+folder).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}
