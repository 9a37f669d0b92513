package fleet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fluxgate/testdata/servers"
)

// A fleet keeps a plugin of protocol 1 as it keeps any other: it is started
// again, replaced and drained.
func TestPluginOfProtocol1IsKeptAsAnyOther(t *testing.T) {
	f, metrics := newFleet(t)
	file := filepath.Join(t.TempDir(), "stored")
	spec := Spec{Name: "old", Program: servers.Build(t, "testdata/protocol1/sink"), Config: map[string]any{"path": file}}
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
