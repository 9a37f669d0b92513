package fleet

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// builtProgram returns a program of this module.
func builtProgram(t *testing.T, folder string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(folder))
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "fluxgate/"+folder).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// A fleet keeps a plugin of protocol 1 as it keeps any other: it is started
// again, replaced and drained.
func TestPluginOfProtocol1IsKeptAsAnyOther(t *testing.T) {
	f, metrics := newFleet(t)
	file := filepath.Join(t.TempDir(), "stored")
	spec := Spec{Name: "old", Program: builtProgram(t, "testdata/protocol1/sink"), Config: map[string]any{"path": file}}
	sink := f.Sink(spec)
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := run(t, f)
	first := sink.current()
	if first.Protocol() != 1 {
		t.Errorf("it speaks protocol %d, want 1", first.Protocol())
	}
	if err := sink.Write(t.Context(), oneDatapoint); err != nil {
		t.Error(err)
	}
	kill(t, first.Pid())
	<-first.Done()
	if err := sink.Write(t.Context(), oneDatapoint); err != nil {
		t.Errorf("after a death: %v", err)
	}
	if n := restarts(t, metrics, "old"); n != 1 {
		t.Errorf("%v restarts counted, want 1", n)
	}
	stop()
	if got, err := os.ReadFile(file); string(got) != strings.Repeat("a 1 1\n", 2)+"closed\n" {
		t.Errorf("it stored %q, %v", got, err)
	}
}
