package plugintest_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fluxgate/sdk"
	"fluxgate/sdk/plugintest"
)

// This test binary is an honest sink, unless its name tells another.
func TestTheSinkOfThisName(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lines")
	plugintest.Sink(t, map[string]any{"path": path}, func() sdk.Batch {
		stored, err := plugintest.LinesOf(path)
		if err != nil {
			t.Error(err)
		}
		return stored
	})
}

func TestWhatABrokenPluginLogsIsShown(t *testing.T) {
	t.Parallel()
	liar := program(t, "sink", "panicking at nothing").Path
	out, err := exec.CommandContext(t.Context(), liar, "-test.run=^TestTheSinkOfThisName$").CombinedOutput()
	if err == nil {
		t.Errorf("a sink that panics passes:\n%s", out)
	}
	for _, want := range []string{"accepts_an_empty_batch", "the plugin's log:", `value="there is nothing in it"`, "(*liar).Write"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("there is no %q in\n%s", want, out)
		}
	}
}
