package sdk_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fluxgate/sdk"
	"fluxgate/sdk/plugintest"
	"fluxgate/testdata/servers"
)

func startPage(t *testing.T, file string) *sdk.Process[sdk.Sink] {
	t.Helper()
	servers.Need(t, "node")
	path, err := filepath.Abs("../testdata/plugins/javascript-sink/main.js")
	if err != nil {
		t.Fatal(err)
	}
	p, _ := startSink(t, sdk.Spec{Path: path, Config: map[string]any{"path": file}})
	return p
}

// Whoever has PROTOCOL.md and fluxgate.proto needs nothing of ours: this plugin
// was written from them, without a library for gRPC or protobuf.
func TestAPluginThatIsMadeOfThePage(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "stored")
	p := startPage(t, file)
	if !p.OverDataSocket() {
		t.Error("it is not called over the data socket that the page describes")
	}
	if d, err := p.Describe(t.Context()); err != nil || d.Kind != "sink" || len(d.Settings) != 1 || d.Settings[0].Default != nil {
		t.Errorf("it is described as %+v, %v", d, err)
	}
	sent := sdk.Batch{{Metric: "a\xff", Timestamp: -1, Value: math.Pi}, {Metric: strings.Repeat("b", 5<<20), Timestamp: math.MaxInt64, Value: 0}}
	var want strings.Builder
	for i := range 5000 {
		sent = append(sent, sdk.Datapoint{Metric: fmt.Sprint("c.", i), Timestamp: int64(i), Value: float64(i) / 4})
	}
	for _, d := range sent {
		fmt.Fprintf(&want, "%s %v %d\n", d.Metric, d.Value, d.Timestamp)
	}
	for _, b := range []sdk.Batch{nil, sent[:1], sent[1:]} {
		if err := errors.Join(p.Plugin.Write(t.Context(), b), p.Check(t.Context()), p.Ping(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != want.String() {
		t.Errorf("it stored %d bytes, want %d: %v", len(got), want.Len(), err)
	}
	if !p.OverDataSocket() {
		t.Error("its data socket has broken")
	}
	gone := watch(t, p.Pid())
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	gone(t, soon)
}

func TestErrorsOfAPluginThatIsMadeOfThePage(t *testing.T) {
	t.Parallel()
	p := startPage(t, "/nowhere/ü")
	if err := p.Plugin.Write(t.Context(), oneDatapoint); !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "/nowhere/ü") {
		t.Errorf("no folder: %v", err)
	}
}

func TestAPluginThatIsMadeOfThePageMeetsTheContract(t *testing.T) {
	t.Parallel()
	servers.Need(t, "node")
	path, err := filepath.Abs("../testdata/plugins/javascript-sink/main.js")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "stored")
	p := plugintest.Program{Path: path, Kind: "sink", Settings: map[string]any{"path": file}, Stored: func() (sdk.Batch, error) {
		return plugintest.LinesOf(file)
	}}
	judgeAll(t, p)
}

// judgeAll holds a program to every sentence of its contract.
func judgeAll(t *testing.T, p plugintest.Program) {
	t.Helper()
	err := p.Test(t.Context(), func(r plugintest.Result) {
		if r.Err != nil {
			t.Errorf("%s: %v", r.Sentence, r.Err)
		}
	})
	if err != nil {
		t.Error(err)
	}
}
