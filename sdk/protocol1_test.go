package sdk_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
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

// A plugin that nobody has built again since there was but one protocol goes on
// working.
func TestPluginOfProtocol1(t *testing.T) {
	t.Parallel()
	program := builtProgram(t, "testdata/protocol1/sink")
	file := filepath.Join(t.TempDir(), "stored")
	p, _ := startSink(t, sdk.Spec{Path: program, Config: map[string]any{"path": file}})
	if p.Protocol() != 1 {
		t.Errorf("it speaks protocol %d, want 1", p.Protocol())
	}
	if d, err := p.Describe(t.Context()); err != nil || d.Protocol != 1 || d.Kind != "" || d.Version != "" || d.Settings != nil {
		t.Errorf("it is described as %+v, %v; want nothing but the protocol", d, err)
	}
	b := sdk.Batch{{Metric: "a.\xff", Timestamp: 1478021700, Value: 1e-300}, {Metric: "b", Timestamp: -1, Value: -0.5}}
	if err := errors.Join(p.Check(t.Context()), p.Ping(t.Context()), p.Plugin.Write(t.Context(), b)); err != nil {
		t.Error(err)
	}
	err := p.Plugin.Write(t.Context(), sdk.Batch{{Metric: "refused", Timestamp: 1, Value: 1}})
	if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), "not to my taste") {
		t.Errorf("what it refuses: error %v", err)
	}
	gone := watch(t, p.Pid())
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	gone(t, time.Second)
	const want = "a.\xff 1e-300 1478021700\nb -0.5 -1\nclosed\n"
	if got, err := os.ReadFile(file); string(got) != want {
		t.Errorf("it stored %q, %v; want %q", got, err, want)
	}
}

// Its settings are judged by nobody but itself.
func TestSettingsOfAPluginOfProtocol1(t *testing.T) {
	t.Parallel()
	program := builtProgram(t, "testdata/protocol1/sink")
	for _, tt := range []struct {
		name, says string
		settings   map[string]any
	}{
		{"none", "path is empty: name a file", nil},
		{"an unknown one", "pth", map[string]any{"path": "x", "pth": "y"}},
	} {
		_, err := sdk.StartSink(t.Context(), sdk.Spec{Name: "old", Path: program, SocketDir: socketDir(t), Config: tt.settings})
		if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: error %v, want ErrInvalid and %q", tt.name, err, tt.says)
		}
	}
	_, err := sdk.StartInput(t.Context(), sdk.Spec{Name: "old", Path: program, SocketDir: socketDir(t)})
	if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), "sink") {
		t.Errorf("taken for an input: error %v", err)
	}
	d, err := sdk.Describe(t.Context(), sdk.Spec{Name: "old", Path: program, SocketDir: socketDir(t)})
	if err != nil || d.Protocol != 1 || d.Settings != nil {
		t.Errorf("it is described as %+v, %v", d, err)
	}
}

// An old Fluxgate can be given today's plugins.
func TestHostOfProtocol1(t *testing.T) {
	t.Parallel()
	host := builtProgram(t, "testdata/protocol1/host")
	whisper := builtProgram(t, "plugins/sink/whisper")
	plaintext := builtProgram(t, "plugins/sink/plaintext")
	root := t.TempDir()
	minute := time.Now().Unix() / 60 * 60
	points := []sdk.Point{{Timestamp: minute - 60, Value: 0.5}, {Timestamp: minute, Value: 2}}
	var lines strings.Builder
	for _, p := range points {
		fmt.Fprintf(&lines, "a.b %v %d\n", p.Value, p.Timestamp)
	}
	all := "opened\nchecked\npinged\nwritten\nstopped\n"
	for _, tt := range []struct {
		name, program string
		settings      map[string]any
		want          string // the end of what it prints
	}{
		{"the whisper sink", whisper, map[string]any{"path": root, "retentions": "60s:1h"}, all},
		{"a sink that refuses its settings", whisper, map[string]any{"path": ""}, "path is empty"},
		{"a sink that is not given what it needs", whisper, map[string]any{}, "setting \"path\" must be given"},
		{"an unknown setting", whisper, map[string]any{"path": root, "pth": "x"}, `did you mean "path"`},
		{"a sink of any author's", trapNamed(t, "sink"), nil, all},
		{"a plugin of another kind", trapNamed(t, "input"), nil, "this program is a plugin of kind input, and is configured as sink\n"},
		{"a sink whose server is away", plaintext, map[string]any{"address": "127.0.0.1:1"}, "connection refused\nstopped\n"},
	} {
		settings, err := json.Marshal(tt.settings)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), host, tt.program, string(settings))
		cmd.Stdin = strings.NewReader(lines.String())
		out, _ := cmd.Output() // how it ends is told in what it prints
		if got := string(out); tt.want == all && got != all || !strings.Contains(got, tt.want) {
			t.Errorf("%s: the host prints %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := servers.ReadWhisper(t, servers.File(root, "a.b")); len(got) != 1 || !slices.Equal(got[0], points) {
		t.Errorf("the whisper file has %v, want %v", got, points)
	}
}
