package whispertest

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// put writes a file, and the folders that it lies in.
func put(t *testing.T, mode os.FileMode, text string, elements ...string) string {
	t.Helper()
	path := filepath.Join(elements...)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

// sources makes a module fluxgate whose programs print words, and returns its
// folder.
func sources(t *testing.T, words string) string {
	t.Helper()
	folder := t.TempDir()
	put(t, 0o600, "module fluxgate\n", folder, "go.mod")
	for name := range packages {
		put(t, 0o600, "package main\n\nfunc main() { println(\""+words+"\") }\n",
			folder, strings.TrimPrefix(name, "fluxgate/"), "main.go")
	}
	return folder
}

// printed returns what a program prints.
func printed(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command(path).CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// ownCache gives the test a cache of its own for programs, and Go the usual one.
func ownCache(t *testing.T) {
	t.Helper()
	goCache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOCACHE", strings.TrimSpace(string(goCache)))
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
}

func TestProgramIsFound(t *testing.T) {
	ownCache(t)
	given := put(t, 0o700, "", t.TempDir(), "anything")
	onPath := put(t, 0o700, "", t.TempDir(), "fluxgate")
	beside := put(t, 0o700, "", t.TempDir(), "fluxgate")
	kit := filepath.Join(filepath.Dir(beside), "sdk")
	put(t, 0o600, "module fluxgate/sdk\n", kit, "go.mod")
	source := sources(t, "built")
	third := func(require string) string {
		folder := t.TempDir()
		put(t, 0o600, "module example.org/third\n"+require, folder, "go.mod")
		return folder
	}
	withKit := third("require fluxgate/sdk v0.0.0\nreplace fluxgate/sdk => " + kit + "\n")
	withSources := third("require fluxgate v0.0.0\nreplace fluxgate => " + source + "\n")
	tests := []struct {
		name, env, path, folder string
		want                    string // "built": from the sources
	}{
		{"the variable", given, filepath.Dir(onPath), source, given},
		{"the module under test", "", filepath.Dir(onPath), source, "built"},
		{"a module that is required", "", filepath.Dir(onPath), withSources, "built"},
		{"the PATH", "", filepath.Dir(onPath), withKit, onPath},
		{"beside the sdk", "", "", withKit, beside},
		{"no module, the PATH", "", filepath.Dir(onPath), t.TempDir(), onPath},
	}
	path := os.Getenv("PATH")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(programEnv, tt.env)
			t.Setenv("PATH", path+":"+tt.path)
			got, err := locate(tt.folder)
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "built" {
				got = printed(t, got)
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestProgramIsNotFound(t *testing.T) {
	ownCache(t)
	broken := sources(t, "built")
	put(t, 0o600, "package main\n\nfunc main() { nonsense }\n", broken, "core", "main.go")
	text := put(t, 0o600, "", t.TempDir(), "fluxgate")
	for _, tt := range []struct {
		name, env, folder string
		says              []string
	}{
		{"nowhere", "", t.TempDir(), []string{"no program fluxgate on the PATH, nor beside the module fluxgate/sdk: set WHISPERTEST_FLUXGATE"}},
		{"the variable leads nowhere", "/nowhere/fluxgate", broken, []string{"WHISPERTEST_FLUXGATE: ", "/nowhere/fluxgate"}},
		{"the variable leads to no program", text, broken, []string{"WHISPERTEST_FLUXGATE: ", text, "permission denied"}},
		{"the sources do not build", "", broken, []string{"build fluxgate in " + broken, "undefined: nonsense"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(programEnv, tt.env)
			got, err := locate(tt.folder)
			if err == nil {
				t.Fatalf("got %s", got)
			}
			says(t, err.Error(), tt.says...)
		})
	}
}

func TestBuiltProgramIsNeverStale(t *testing.T) {
	ownCache(t)
	source := sources(t, "one")
	one, err := build(source)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := build(source); again != one || err != nil {
		t.Errorf("built again from the same sources: %s, %v, want %s", again, err, one)
	}
	put(t, 0o600, "package main\n\nfunc main() { println(\"two\") }\n", source, "plugins/sink/whisper/main.go")
	two, err := build(source)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ fluxgate, want string }{{one, "one"}, {two, "two"}} {
		if got := printed(t, filepath.Join(filepath.Dir(tt.fluxgate), "plugins/fluxgate-sink-whisper")); got != tt.want {
			t.Errorf("the sink beside %s prints %q, want %q", tt.fluxgate, got, tt.want)
		}
	}
	long := time.Now().Add(-2 * unused)
	if err := os.Chtimes(filepath.Dir(one), long, long); err != nil {
		t.Fatal(err)
	}
	if got, err := build(source); got != two || err != nil {
		t.Errorf("%s, %v, want %s", got, err, two)
	}
	if _, err := os.Stat(one); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("programs that were not used for long: %v", err)
	}
}

func TestTestsThatBuildAtOnce(t *testing.T) {
	ownCache(t)
	source := sources(t, "built")
	const tests = 6
	paths, errs := make([]string, tests), make([]error, tests)
	var all sync.WaitGroup
	for i := range tests {
		all.Go(func() { paths[i], errs[i] = build(source) })
	}
	all.Wait()
	for i, path := range paths {
		if errs[i] != nil || path != paths[0] || printed(t, path) != "built" {
			t.Errorf("test %d: %s, %v", i, path, errs[i])
		}
	}
}
