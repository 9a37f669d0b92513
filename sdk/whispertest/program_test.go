package whispertest_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk/whispertest"
)

// An author is a developer outside of this repository, in a module of their own.
type author struct {
	module string // the folder of the module
	bin    string // the folder of fluxgate
}

func newAuthor(t *testing.T) author {
	t.Helper()
	ours, err := whispertest.FindProgram()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	a := author{filepath.Join(root, "module"), filepath.Join(root, "bin")}
	for _, folder := range []string{a.module, filepath.Join(a.bin, "sdk"), filepath.Join(a.bin, "plugins")} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	a.requires(t, "fluxgate/sdk", filepath.Join(a.bin, "sdk"))
	write(t, filepath.Join(a.bin, "sdk", "go.mod"), "module fluxgate/sdk\n")
	copyProgram(t, ours, filepath.Join(a.bin, "fluxgate"))
	for _, plugin := range []string{"fluxgate-sink-whisper", "fluxgate-input-flux"} {
		copyProgram(t, filepath.Join(filepath.Dir(ours), "plugins", plugin), filepath.Join(a.bin, "plugins", plugin))
	}
	return a
}

// requires makes the author's module, which requires another that lies in folder.
func (a author) requires(t *testing.T, module, folder string) {
	t.Helper()
	for _, arguments := range [][]string{
		{"init", "example.org/collector"}, // with the version of go, without which the modules of all modules are fetched
		{"edit", "-require=" + module + "@v0.0.0", "-replace=" + module + "=" + folder},
	} {
		cmd := exec.Command(goProgram(t), append([]string{"mod"}, arguments...)...)
		cmd.Dir, cmd.Env = a.module, append(os.Environ(), "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o755); err != nil {
		t.Fatal(err)
	}
}

// finds runs a test of the author's, and returns what it has printed: the path of
// the program, behind which it has started that.
func (a author) finds(t *testing.T, environment ...string) string {
	t.Helper()
	cmd := again(t, "TestProgram", "author", append([]string{"GOFLAGS=-mod=mod", "GOWORK=off"}, environment...)...)
	cmd.Dir = a.module
	out, _ := cmd.CombinedOutput() // what it says tells
	return string(out)
}

// Where the program comes from, outside of this repository.
func TestProgram(t *testing.T) {
	if os.Getenv(roleVariable) != "" {
		gate := whispertest.Start(t)
		gate.Send(metric, point(time.Now().Unix(), 1))
		path, _ := whispertest.FindProgram() // it was found
		fmt.Printf("found %s\n", path)
		return
	}
	t.Parallel()
	a := newAuthor(t)
	ours := filepath.Join(a.bin, "fluxgate")
	goOnly := "PATH=" + filepath.Dir(goProgram(t))
	other := filepath.Join(t.TempDir(), "fluxgate")
	write(t, other, "#!/bin/sh\necho it is another one >&2\nexit 3\n")
	if err := os.Chmod(other, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		environment []string
		want        string
	}{
		"beside the sdk":               {[]string{goOnly}, "found " + ours + "\n"},
		"on the PATH":                  {[]string{goOnly + ":" + filepath.Dir(other)}, "start " + other + ": it has ended: exit status 3\n"},
		"on the PATH, and without go":  {[]string{"PATH=" + a.bin}, "found " + ours + "\n"},
		"by the variable":              {[]string{"PATH=" + filepath.Dir(other), "WHISPERTEST_FLUXGATE=" + ours}, "found " + ours + "\n"},
		"by the variable, relatively":  {[]string{"PATH=", "WHISPERTEST_FLUXGATE=../bin/fluxgate"}, "found " + ours + "\n"},
		"by the variable, and missing": {[]string{"WHISPERTEST_FLUXGATE=" + a.bin + "/nothing"}, "no such file or directory: set WHISPERTEST_FLUXGATE to the program, or put it on the PATH\n"},
		"nowhere, without go":          {[]string{"PATH="}, "there is no fluxgate on the PATH, and the folder of module fluxgate/sdk is unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := a.finds(t, c.environment...); !strings.Contains(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
	t.Run("from the sources of a module that is required", func(t *testing.T) {
		ours, err := whispertest.FindProgram()
		if err != nil {
			t.Fatal(err)
		}
		root, err := filepath.Abs("../..")
		if err != nil {
			t.Fatal(err)
		}
		a := author{module: t.TempDir()}
		a.requires(t, "fluxgate", root)
		if got := a.finds(t, "PATH="+filepath.Dir(other)+":"+os.Getenv("PATH")); !strings.Contains(got, "found "+ours+"\n") {
			t.Errorf("got\n%s\nwant %s", got, ours)
		}
	})
	t.Run("nowhere", func(t *testing.T) {
		a := author{module: t.TempDir(), bin: t.TempDir()}
		if err := os.Mkdir(filepath.Join(a.bin, "sdk"), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(a.bin, "sdk", "go.mod"), "module fluxgate/sdk\n")
		a.requires(t, "fluxgate/sdk", filepath.Join(a.bin, "sdk"))
		want := "there is no fluxgate on the PATH, and none beside the folder of the sdk (" + a.bin + "/sdk): set WHISPERTEST_FLUXGATE to the program\n"
		if got := a.finds(t, goOnly); !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

func goProgram(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Inside the repository a fluxgate on the PATH is not meant.
func TestProgramOfThisRepository(t *testing.T) {
	if os.Getenv(roleVariable) != "" {
		path, err := whispertest.FindProgram()
		fmt.Printf("found %s %v\n", path, err)
		return
	}
	t.Parallel()
	a := newAuthor(t)
	ours, err := whispertest.FindProgram()
	if err != nil {
		t.Fatal(err)
	}
	out, err := again(t, "TestProgramOfThisRepository", "developer", "PATH="+a.bin+":"+os.Getenv("PATH")).Output()
	if want := "found " + ours + " <nil>\n"; err != nil || !strings.HasPrefix(string(out), want) {
		t.Errorf("got %s (%v)\nwant %s", out, err, want)
	}
}

// Test binaries that find nothing built build it one after the other, so that
// only the first has something to do.
func TestBuiltByOneAtATime(t *testing.T) {
	t.Parallel()
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	busy, overlaps := filepath.Join(folder, "busy"), filepath.Join(folder, "overlaps")
	script := "#!/bin/sh\n[ \"$1\" = build ] || exec " + goProgram(t) + " \"$@\"\nmkdir " + busy + " || echo go \"$@\" >>" + overlaps + "\n" + goProgram(t) + " \"$@\"\ncode=$?\nrmdir " + busy + "\nexit $code\n"
	if err := os.WriteFile(filepath.Join(folder, "go"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	environment := []string{
		"XDG_CACHE_HOME=" + folder, "GOCACHE=" + string(bytes.TrimSpace(cache)), "PATH=" + folder + ":" + os.Getenv("PATH"),
	}
	const binaries = 3
	outs := make(chan string)
	for range binaries {
		cmd := again(t, "TestReport", "developer", environment...)
		go func() {
			out, err := cmd.CombinedOutput()
			outs <- fmt.Sprint(string(out), err)
		}()
	}
	for range binaries {
		if out := <-outs; !strings.HasPrefix(out, "PASS") {
			t.Error(out)
		}
	}
	if text, err := os.ReadFile(overlaps); err == nil {
		t.Errorf("beside another one\n%s", text)
	}
	if _, err := os.Stat(filepath.Join(folder, "fluxgate", "whispertest")); err != nil {
		t.Errorf("nothing was built there: %v", err)
	}
}
