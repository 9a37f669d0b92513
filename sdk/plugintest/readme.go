package plugintest

import (
	"os"
	"strings"
	"testing"

	"fluxgate/sdk"
)

// The table of settings in a README stands between these lines.
const (
	tableBegin = "<!-- settings -->\n"
	tableEnd   = "<!-- /settings -->\n"
)

// updateReadme is the variable of the environment that has [Readme] write.
const updateReadme = "PLUGINTEST_UPDATE"

// Readme tests that the README of the plugin that this test binary becomes (see
// [Main]) tells its settings as the plugin does: as the table between the lines
// <!-- settings --> and <!-- /settings -->. With PLUGINTEST_UPDATE=1 in the
// environment it writes the table there.
func Readme(t *testing.T, path string) {
	t.Helper()
	d, err := sdk.Describe(t.Context(), sdk.Spec{Name: "it", Path: os.Args[0]})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(text), tableBegin)
	table, after, ends := strings.Cut(rest, tableEnd)
	switch {
	case !begins || !ends:
		t.Fatalf("%s has no lines %s and %s with the table of settings between them", path, strings.TrimSpace(tableBegin), strings.TrimSpace(tableEnd))
	case table == d.Markdown():
	case os.Getenv(updateReadme) != "":
		if err := os.WriteFile(path, []byte(before+tableBegin+d.Markdown()+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s tells other settings than the plugin, which has\n%srun %s=1 go test to write that", path, d.Markdown(), updateReadme)
	}
}
