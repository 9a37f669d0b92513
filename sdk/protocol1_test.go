package sdk_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

// A plugin that nobody has built again since there was but one protocol goes on
// working.
func TestPluginOfProtocol1(t *testing.T) {
	t.Parallel()
	program := servers.Build(t, "testdata/protocol1/sink")
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
	gone(t, soon)
	const want = "a.\xff 1e-300 1478021700\nb -0.5 -1\nclosed\n"
	if got, err := os.ReadFile(file); string(got) != want {
		t.Errorf("it stored %q, %v; want %q", got, err, want)
	}
}

// Its settings are judged by nobody but itself.
func TestSettingsOfAPluginOfProtocol1(t *testing.T) {
	t.Parallel()
	program := servers.Build(t, "testdata/protocol1/sink")
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

func TestInputOfProtocol1(t *testing.T) {
	t.Parallel()
	p, err := sdk.StartInput(t.Context(), sdk.Spec{Name: "old", Path: servers.Build(t, "testdata/protocol1/input"), SocketDir: socketDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	r := sdk.Request{
		Route: "POST /metrics", Method: "POST", Query: "a=\xff", Body: []byte("b\xfe"),
		Header: http.Header{"Key": {"k\xfd"}, "X-Twice": {"1", "2"}, "Dry-Run": {"1"}, "Invalid": {"no\xfc"}},
	}
	want := sdk.Submission{
		Key: "k\xfd", Invalid: "no\xfc", DryRun: true, Dropped: []string{"POST /metrics", "POST", "[1 2]"},
		Batch:    sdk.Batch{{Metric: "a=\xff", Timestamp: 3, Value: 0.5}},
		Backfill: sdk.Batch{{Metric: "b\xfe", Timestamp: -1, Value: -1e300}, {Metric: "b", Timestamp: 1 << 40, Value: 0}},
	}
	if got, err := p.Plugin.Decode(t.Context(), r); err != nil || !reflect.DeepEqual(got, want) || p.Protocol() != 1 {
		t.Errorf("by protocol %d got %+v, %v; want %+v by 1", p.Protocol(), got, err, want)
	}
	r.Header.Del("Dry-Run")
	r.Header.Set("Key-Check", "1")
	want.DryRun, want.KeyCheck = false, true
	if got, err := p.Plugin.Decode(t.Context(), r); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	got, err := p.Plugin.Decode(t.Context(), sdk.Request{Body: []byte("health")})
	if err != nil || got.Reply == nil || got.Reply.Status != 200 || string(got.Reply.Body) != "health" {
		t.Errorf("a health check: %+v, %v", got, err)
	}
	if _, err := p.Plugin.Decode(t.Context(), sdk.Request{Body: []byte("refused")}); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("what it refuses: %v", err)
	}
}

func TestResamplerOfProtocol1(t *testing.T) {
	t.Parallel()
	p, err := sdk.StartResampler(t.Context(), sdk.Spec{Name: "old", Path: servers.Build(t, "testdata/protocol1/resampler"), SocketDir: socketDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	s := sdk.Series{Metric: "a.\xff", Points: []sdk.Point{{Timestamp: -61, Value: 1}, {Timestamp: 5, Value: 2}, {Timestamp: 59, Value: 3}, {Timestamp: 60, Value: 4}}}
	want := sdk.Series{Metric: "a.\xff", Points: []sdk.Point{{Timestamp: -120, Value: 1}, {Timestamp: 0, Value: 3}, {Timestamp: 60, Value: 4}}}
	if got, err := p.Plugin.Resample(t.Context(), s, time.Minute); err != nil || !reflect.DeepEqual(got, want) || p.Protocol() != 1 {
		t.Errorf("by protocol %d got %+v, %v; want %+v by 1", p.Protocol(), got, err, want)
	}
}

// What nobody builds again must not be built otherwise here.
func TestProtocol1IsFrozen(t *testing.T) {
	const want = "aa9281ff4c697bb16a504f0cb27cde666748774dec6aa81e5f51d498c1743509"
	sum := sha256.New()
	err := filepath.WalkDir("../testdata/protocol1", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) == ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		fmt.Fprintf(sum, "%s %x\n", path, sha256.Sum256(text))
		return err
	})
	if got := fmt.Sprintf("%x", sum.Sum(nil)); got != want || err != nil {
		t.Errorf("testdata/protocol1 has changed: its sum is %s, want %s (%v): take back what was changed there", got, want, err)
	}
}

// An old Fluxgate can be given today's plugins.
func TestHostOfProtocol1(t *testing.T) {
	t.Parallel()
	host := servers.Build(t, "testdata/protocol1/host")
	whisper := servers.Build(t, "plugins/sink/whisper")
	plaintext := servers.Build(t, "plugins/sink/plaintext")
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
