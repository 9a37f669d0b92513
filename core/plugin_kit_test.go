package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// held runs the kit on a plugin.
func held(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	cmd := exec.Command(fluxgateBinary(t), append([]string{"plugin", "test"}, args...)...)
	text, _ := cmd.CombinedOutput() // the error is the exit code
	return cmd.ProcessState.ExitCode(), string(text)
}

func plugin(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(filepath.Dir(fluxgateBinary(t)), "plugins", name)
}

func TestKitOfPluginsOfTheHouse(t *testing.T) {
	for _, args := range [][]string{
		{plugin(t, "fluxgate-resampler-basic")},
		{plugin(t, "fluxgate-resampler-basic"), "--tally", "--settings", settingsFile(t, "method: count")},
		{plugin(t, "fluxgate-input-flux"), "--kind", "input", "--cases", "../plugins/input/flux/testdata/cases"},
	} {
		code, out := held(t, args...)
		if code != 0 || strings.Count(out, "\nok ") < 11 || !strings.Contains(out, "keeps to the contract of every") {
			t.Errorf("%v: exit code %d\n%s", args, code, out)
		}
	}
}

func settingsFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The sink that this test binary is stores all, and does not say what its settings
// are.
func TestKitTellsWhatIsBroken(t *testing.T) {
	settings := settingsFile(t, `path: "{dir}/lines"`)
	code, out := held(t, os.Args[0], "--settings", settings, "--stored", `cat "$DIR/lines" || true`, "--output", "json")
	var told struct {
		Kind      string
		Sentences []kitResult
	}
	text, complaint, _ := strings.Cut(out, "\nfluxgate: ")
	if err := json.Unmarshal([]byte(text), &told); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if code != 1 || told.Kind != "sink" || len(told.Sentences) != 21 || !strings.Contains(complaint, "1 are broken and 0 not judged") {
		t.Errorf("exit code %d, %s", code, out)
	}
	for _, s := range told.Sentences {
		if vague := strings.HasPrefix(s.Sentence, "describes"); vague != (s.Verdict == "BROKEN") || vague != strings.Contains(s.Error, `setting "path"`) {
			t.Errorf("%+v", s)
		}
	}
}

func TestKitIsNotGreenWithoutReadingBack(t *testing.T) {
	for stored, says := range map[string]string{
		"":                         "give --stored",
		"echo no disk >&2; exit 3": "no disk",
	} {
		code, out := held(t, os.Args[0], "--settings", settingsFile(t, `path: "{dir}/lines"`), "--stored", stored)
		if code != 1 || !strings.Contains(out, "not judged   ") || !strings.Contains(out, says) {
			t.Errorf("%q: exit code %d\n%s", stored, code, out)
		}
	}
}

func TestKitOfNoPlugin(t *testing.T) {
	for _, tt := range []struct {
		args []string
		says string
	}{
		{[]string{"/bin/true"}, "/bin/true"},
		{[]string{"/nowhere/plugin"}, "no such file"},
		{[]string{plugin(t, "fluxgate-input-flux"), "--kind", "drain"}, "must be sink, input or resampler"},
		{[]string{plugin(t, "fluxgate-input-flux"), "--settings", "/nowhere.yaml"}, "/nowhere.yaml"},
		{[]string{plugin(t, "fluxgate-input-flux"), "--settings", settingsFile(t, "a: [")}, "settings.yaml"},
	} {
		if code, out := held(t, tt.args...); code != 1 || !strings.Contains(out, tt.says) {
			t.Errorf("%v: exit code %d, %s", tt.args, code, out)
		}
	}
}
