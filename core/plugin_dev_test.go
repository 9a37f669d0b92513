package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A script is what a running command has printed.
type script struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *script) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *script) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// A rehearsal is a running `fluxgate plugin dev`.
type rehearsal struct {
	shown, logged script
	cmd           *exec.Cmd
	temporary     string // where it may make folders
	ended         chan error
}

// rehearse starts it in folder, as its author would.
func rehearse(t *testing.T, folder string, args ...string) *rehearsal {
	t.Helper()
	return perform(t, folder, append([]string{fluxgateBinary(t), "plugin", "dev"}, args...)...)
}

// perform starts a command line in folder.
func perform(t *testing.T, folder string, args ...string) *rehearsal {
	t.Helper()
	temporary, err := os.MkdirTemp("", "") // short, for sockets are in it
	if err != nil {
		t.Fatal(err)
	}
	r := &rehearsal{temporary: temporary, ended: make(chan error, 1)}
	r.cmd = exec.Command(args[0], args[1:]...)
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = folder, &r.shown, &r.logged
	r.cmd.Env = append(offline(), "TMPDIR="+temporary, "TZ=UTC")
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		r.ended <- r.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill() // it may have ended
		<-gone
		_ = os.RemoveAll(temporary)
		if t.Failed() {
			t.Logf("it showed\n%s\nand logged\n%s", r.shown.String(), r.logged.String())
		}
	})
	return r
}

// offline is the environment of an author whose modules are all there already.
func offline() []string { return append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=readonly") }

// shows waits for a line that matches, for as long as a build may take.
func (r *rehearsal) shows(t *testing.T, pattern string) []string {
	t.Helper()
	wanted := regexp.MustCompile(`(?m)` + pattern)
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if found := wanted.FindStringSubmatch(r.shown.String()); found != nil {
			return found
		}
	}
	t.Fatalf("it does not show %q", pattern)
	return nil
}

// interrupt is ^C.
func (r *rehearsal) interrupt(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	r.leaves(t, 0)
}

// leaves waits for the exit code, and sees that nothing is left behind.
func (r *rehearsal) leaves(t *testing.T, code int) {
	t.Helper()
	select {
	case <-r.ended:
	case <-time.After(30 * time.Second):
		t.Fatal("it does not leave")
	}
	if got := r.cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("it leaves with %d, want %d", got, code)
	}
	if entries, err := os.ReadDir(r.temporary); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v are left behind", entries, err)
	}
}

// begun is a plugin as `fluxgate plugin new` writes it.
func begun(t *testing.T, kind, lang string) string {
	t.Helper()
	fluxgateBinary(t) // it has longer than a command
	folder := filepath.Join(t.TempDir(), "fluxgate-"+kind+"-mine")
	if _, stderr, code := fluxgate(t, "plugin", "new", kind, "mine", "--lang", lang, "--dir", folder); code != 0 {
		t.Fatalf("exit %d, %s", code, stderr)
	}
	return folder
}

// edit replaces text in a file.
func edit(t *testing.T, path, old, text string) {
	t.Helper()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(before), old) {
		t.Fatalf("%s has no %q:\n%s", path, old, before)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(before, []byte(old), []byte(text)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDevOfASink(t *testing.T) {
	folder := begun(t, "sink", "go")
	edit(t, filepath.Join(folder, "main.go"), "return configured, nil", `println("opened for", configured.Path); return configured, nil`)
	r := rehearse(t, folder, ".")
	r.shows(t, `^sink mine, version \S+, runs; \^C ends it\.$`)
	url := r.shows(t, `^curl -i '(http://127\.0\.0\.1:\d+/flux/metric_data\?metric=fluxgate\.hello&value=42&key=\w{32})'$`)[1]
	r.shows(t, `^answered 204 No Content`)
	r.shows(t, `^taken:\n  fluxgate\.hello 42 \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$`)
	if !strings.Contains(r.logged.String(), "opened for datapoints.jsonl") {
		t.Error("what the plugin prints is not shown")
	}
	if status, body := fetch(t, strings.NewReplacer("value=42", "value=7.5", "metric=fluxgate.hello", "metric=fluxgate.more").Replace(url)); status != http.StatusNoContent {
		t.Errorf("the printed line answers %d %s", status, body)
	}
	r.shows(t, `^taken:\n  fluxgate\.more 7\.5 `)
	r.interrupt(t)
	stored, err := os.ReadFile(filepath.Join(folder, "datapoints.jsonl"))
	if err != nil || !regexp.MustCompile(`(?s){"Metric":"fluxgate.hello","Timestamp":\d+,"Value":42}.*{"Metric":"fluxgate.more","Timestamp":\d+,"Value":7.5}`).Match(stored) {
		t.Errorf("it has stored %q, %v", stored, err)
	}
}

// One in Python is run as it is, and so is one that does not describe itself.
func TestDevOfPython(t *testing.T) {
	folder := begun(t, "sink", "python")
	r := rehearse(t, folder, ".")
	r.shows(t, `^sink mine, version 0\.1, runs`)
	r.shows(t, `^taken:\n  fluxgate\.hello 42 `)
	r.interrupt(t)

	edit(t, filepath.Join(folder, "fluxgate_process.py"), `"Describe"`, `"Undescribed"`)
	r = rehearse(t, folder, ".")
	r.shows(t, `^sink mine, version unknown, runs`)
	r.shows(t, `^taken:\n  fluxgate\.hello 42 `)
	r.interrupt(t)

	nameless := filepath.Join(t.TempDir(), "nameless")
	if err := os.Rename(folder, nameless); err != nil {
		t.Fatal(err)
	}
	r = rehearse(t, nameless, ".")
	r.leaves(t, exitFailed)
	if said := r.logged.String(); !strings.Contains(said, "does not tell its kind: say it with --kind") {
		t.Errorf("it says %q", said)
	}
	r = rehearse(t, nameless, ".", "--kind", "sink")
	r.shows(t, `^sink nameless, `)
	r.shows(t, `^taken:\n  fluxgate\.hello 42 `)
	r.interrupt(t)
}

func TestDevOfAResampler(t *testing.T) {
	r := rehearse(t, begun(t, "resampler", "go"), ".")
	r.shows(t, `^fluxgate\.hello, resampled to a point for each 1m0s:\n`+
		`  \S+ \d\d:\d\d:00  0 1 2 3 4 5  ->  2\.5\n  \S+ \S+  6 7 8 9 10 11  ->  8\.5\n  \S+ \S+  18 `)
	r.interrupt(t)
}

func TestDevOfAnInput(t *testing.T) {
	r := rehearse(t, begun(t, "input", "go"), ".")
	public := r.shows(t, `(?s)^curl -i .*--data-binary '[^']*' '(http://127\.0\.0\.1:\d+)/mine'$`)[1]
	r.shows(t, `^POST /mine with \d+ bytes became:\n  key "\w{32}"\n  to be stored if fresh:\n    [a-z.]+ [0-9.]+ \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$`)
	r.shows(t, `^answered 204 No Content`)
	key := r.shows(t, `key "(\w{32})"`)[1]
	if status, body := fetch(t, public+"/metric_data?metric=a&value=1&key="+key); status != http.StatusNoContent {
		t.Errorf("the usual input beside it answers %d %s", status, body)
	}
	r.interrupt(t)
}

func TestDevOfAProgram(t *testing.T) {
	settings := filepath.Join(t.TempDir(), "settings.yaml")
	write := func(act string) {
		if err := os.WriteFile(settings, fmt.Appendf(nil, "act: %s\n", act), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("refuse")
	r := rehearse(t, t.TempDir(), os.Args[0], "--settings", settings)
	r.shows(t, `^refused:\n  fluxgate\.hello 42 .*\n  invalid: not to my taste$`)
	r.interrupt(t)

	write("exit") // at each write
	r = rehearse(t, t.TempDir(), os.Args[0], "--settings", settings)
	r.shows(t, `^not taken, and tried again:\n  fluxgate\.hello 42 .*\n  unavailable: plugin ".*" died`)
	r.interrupt(t)
}

func TestDevThatCannotBe(t *testing.T) {
	broken := begun(t, "sink", "go")
	edit(t, filepath.Join(broken, "main.go"), "return configured, nil", "return configured")
	settings := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(settings, []byte("act: [\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	unknown := filepath.Join(t.TempDir(), "unknown.yaml")
	if err := os.WriteFile(unknown, []byte("pat: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		says string
		code int
	}{
		{"it does not build", []string{broken}, "./main.go:", exitFailed},
		{"nothing is there", []string{"nowhere"}, "nowhere: no such file", exitFailed},
		{"no plugin is there", []string{t.TempDir()}, "has no go.mod, no main.py and no program", exitFailed},
		{"no plugin", []string{"/bin/true"}, "it ended before it said where it listens", exitFailed},
		{"another kind", []string{os.Args[0], "--kind", "input"}, "this program is a plugin of kind sink, and is configured as input", exitFailed},
		{"settings that are none", []string{os.Args[0], "--settings", settings}, settings + ": ", exitFailed},
		{"settings that it does not take", []string{os.Args[0], "--settings", unknown}, `did you mean "path"?`, exitFailed},
		{"where settings are", []string{os.Args[0], "--settings", unknown}, "its settings are those in the file given as --settings", exitFailed},
		{"no argument", nil, "which plugin?", exitUsage},
		{"a configuration", []string{".", "--config", "x"}, "throwaway", exitUsage},
		{"data", []string{".", "--data", "x"}, "throwaway", exitUsage},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rehearse(t, t.TempDir(), tt.args...)
			r.leaves(t, tt.code)
			if !strings.Contains(r.logged.String(), tt.says) {
				t.Errorf("it says %q, want %q", r.logged.String(), tt.says)
			}
		})
	}
}

func TestDevIsInterruptedWhileItBuilds(t *testing.T) {
	fluxgateBinary(t) // it is built by the real compiler
	folder := t.TempDir()
	compiler := filepath.Join(folder, "go") // that never ends
	for path, text := range map[string]string{
		compiler: "#!/bin/sh\necho building >&2\nexec sleep 600\n", filepath.Join(folder, "go.mod"): "module x\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
	r := rehearse(t, folder, ".")
	await(t, "it builds", func() bool { return strings.Contains(r.logged.String(), "building") })
	_ = syscall.Kill(r.cmd.Process.Pid, syscall.SIGTERM)
	r.leaves(t, 0)
}
