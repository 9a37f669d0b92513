//go:build !race

package main

// What these tests run are programs of their own, which the race detector does not
// see into.

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fluxgate/core/scaffold"
	"fluxgate/sdk"
)

// green is how long it may take from `fluxgate plugin new` until the new plugin
// has passed its tests.
const green = time.Minute

// author runs a command in a plugin's folder, as its author would.
func author(t *testing.T, folder string, argv ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = folder, offline()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s in %s: %v\n%s", strings.Join(argv, " "), folder, err, out)
	}
}

func TestNewPluginsAreGreen(t *testing.T) {
	fluxgateBinary(t) // it may have to be built
	for _, kind := range scaffold.Kinds() {
		for _, lang := range scaffold.Langs() {
			t.Run(kind+" in "+lang, func(t *testing.T) {
				began := time.Now()
				folder := begun(t, kind, lang)
				author(t, folder, "make", "build", "test")
				took := time.Since(began)
				t.Logf("from new to green: %v", took.Round(time.Millisecond))
				if took > green {
					t.Errorf("it took %v, want no more than %v", took, green)
				}
				readme(t, folder)
				if lang == "go" {
					author(t, folder, "go", "vet", ".")
					author(t, folder, "sh", "-c", `test -z "$(gofmt -l .)"`)
				}
			})
		}
	}
}

// readme compares the settings in a plugin's README with what it says of itself.
func readme(t *testing.T, folder string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(folder, "main.py")
	if !exists(program) {
		program = filepath.Join(folder, filepath.Base(folder))
	}
	about, err := sdk.Describe(t.Context(), sdk.Spec{Name: "it", Path: program})
	if want := "<!-- settings -->\n" + about.Markdown() + "<!-- /settings -->"; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("%v, README.md has no\n%s", err, want)
	}
}

// The plugins in testdata/plugins are modules of their own, as those of third
// parties are.
func TestPluginsOfThirdParties(t *testing.T) {
	module := filepath.Join(filepath.Dir(fluxgateBinary(t)), "sdk")
	modules, err := filepath.Glob("../testdata/plugins/*/Makefile")
	if err != nil || len(modules) < 3 {
		t.Fatalf("there are %q, %v", modules, err)
	}
	for _, path := range modules {
		source := filepath.Dir(path)
		t.Run(filepath.Base(source), func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), filepath.Base(source))
			if err := os.CopyFS(folder, os.DirFS(source)); err != nil {
				t.Fatal(err)
			}
			if exists(filepath.Join(folder, "go.mod")) {
				author(t, folder, "go", "mod", "edit", "-replace", "fluxgate/sdk="+module)
				author(t, folder, "go", "vet", ".") // it says so if .ci/examples is to be run
			}
			author(t, folder, "make", "test", "FLUXGATE="+fluxgateBinary(t), "SDK="+module)
		})
	}
}
