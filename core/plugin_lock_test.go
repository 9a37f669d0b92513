package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fluxgate/core/fleet"
)

func digest(text []byte) string { return fmt.Sprintf("%x", sha256.Sum256(text)) }

// replaced puts another program in the place of one: the same one, somewhat longer.
func replaced(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", append(text, '!'), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// ownPlugin returns a copy of a plugin that a test may change.
func ownPlugin(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(plugin(t, name))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPluginLock(t *testing.T) {
	pickle := ownPlugin(t, "fluxgate-sink-pickle")
	yaml := pluginsYAML("", fmt.Sprintf("  carbon: {plugin: %q, required: false}", pickle))
	p := launch(t, yaml)
	lock := filepath.Join(filepath.Dir(p.file), "plugins.lock")
	run := func(args ...string) (out, said string, code int) { return fluxgate(t, p.flags(args...)...) }

	out, said, code := run("plugin", "lock")
	for _, words := range []string{"new      " + pickle, "new      " + os.Args[0], lock + " pins 4 programs\n"} {
		if code != 0 || !strings.Contains(out, words) {
			t.Errorf("exits %d and does not say %q:\n%s%s", code, words, out, said)
		}
	}
	if out, err := exec.Command("sha256sum", "--strict", "-c", lock).CombinedOutput(); err != nil || strings.Count(string(out), ": OK\n") != 4 {
		t.Errorf("sha256sum -c: %v\n%s", err, out)
	}
	if out, _, _ := run("plugin", "lock"); out != lock+" pins 4 programs\n" {
		t.Errorf("where nothing has changed it says\n%s", out)
	}
	if _, said, code := run("check"); code != 0 {
		t.Errorf("check exits %d: %s", code, said)
	}

	before, err := fleet.ReadLock(lock)
	if err != nil {
		t.Fatal(err)
	}
	replaced(t, pickle)
	_, said, code = run("check")
	for _, words := range []string{`sink "carbon"`, pickle, before[pickle], lock + ": pin what is there now, if you trust it, with: fluxgate plugin lock --config "} {
		if code != exitFailed || !strings.Contains(said, words) {
			t.Errorf("check exits %d and does not say %q:\n%s", code, words, said)
		}
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, "the reload is refused", func() bool {
		return strings.Contains(p.logged(), "the new configuration is refused") && strings.Contains(p.logged(), "fluxgate plugin lock")
	})
	if s := p.statuses(t)["carbon"]; s.State != fleet.Open || !strings.Contains(s.Trouble, "another program is in its place") && s.Checksum != before[pickle] {
		t.Errorf("the process that runs is told as %+v", s)
	}
	p.signal(t, "carbon", syscall.SIGKILL)
	await(t, "what is not pinned is not started", func() bool { return p.statuses(t)["carbon"].State == fleet.Refused })

	out, _, _ = run("plugin", "lock")
	now, err := os.ReadFile(pickle)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("changed  %s\n         was %s\n         is  %s\n%s pins 4 programs\n", pickle, before[pickle], digest(now), lock); out != want {
		t.Errorf("it says\n%s, want\n%s", out, want)
	}
	await(t, "what is pinned is", func() bool { s := p.statuses(t)["carbon"]; return s.State == fleet.Open && s.Checksum == digest(now) })
}

func TestServeWithALock(t *testing.T) {
	pickle := ownPlugin(t, "fluxgate-sink-pickle")
	yaml := pluginsYAML("", fmt.Sprintf("  carbon: {plugin: %q}", pickle))
	for name, spoil := range map[string]func(lock string){
		"damaged":         func(lock string) { appendTo(t, lock, "rubbish\n") },
		"another program": func(string) { replaced(t, pickle) },
		"not in it":       func(lock string) { _ = os.WriteFile(lock, nil, 0o600) },
	} {
		file := yamlFile(t, yaml)
		lock := filepath.Join(filepath.Dir(file), "plugins.lock")
		if _, said, code := fluxgate(t, "plugin", "lock", "--config", file); code != 0 {
			t.Fatal(said)
		}
		spoil(lock)
		_, said, code := fluxgate(t, "serve", "--config", file, "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
		said = strings.ReplaceAll(said, `\"`, `"`)
		says := map[string]string{"damaged": lock + ":5: damaged", "another program": "the program's sha256 is ", "not in it": "is not in " + lock}[name]
		if code != exitFailed || !strings.Contains(said, says) || !strings.Contains(said, `sink "carbon"`) || !strings.Contains(said, "fluxgate plugin lock") {
			t.Errorf("%s: exits %d and says\n%s", name, code, said)
		}
		out, _, code := fluxgate(t, "plugin", "lock", "--config", file)
		if code != 0 || name == "damaged" != strings.Contains(out, "damaged") {
			t.Errorf("%s: locked again it exits %d and says %s", name, code, out)
		}
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(before, text...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Without a file the lock lies in the data folder, and what cannot be pinned
// leaves it alone.
func TestPluginLockWithoutAFile(t *testing.T) {
	data := t.TempDir()
	out, said, code := fluxgate(t, "plugin", "lock", "--config", "", "--data", data)
	if code != 0 || !strings.Contains(out, data+"/plugins.lock pins 3 programs") {
		t.Errorf("exits %d: %s%s", code, out, said)
	}
	if _, said, code := fluxgate(t, "check", "--config", "", "--data", data); code != 0 {
		t.Errorf("check exits %d: %s", code, said)
	}
	if err := os.WriteFile(filepath.Join(data, "plugins.lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, said, code := fluxgate(t, "check", "--config", "", "--data", data); code != exitFailed || strings.Count(said, "is not in "+data+"/plugins.lock") != 3 {
		t.Errorf("check exits %d: %s", code, said)
	}
	file := yamlFile(t, pluginsYAML("", "  carbon: {plugin: fluxgate-sink-lost}"))
	if out, said, code := fluxgate(t, "plugin", "lock", "--config", file); code != exitFailed || !strings.Contains(said, "nothing is pinned") || !strings.Contains(said, `sink "carbon"`) {
		t.Errorf("with a program that is missing it exits %d: %s%s", code, out, said)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(file), "plugins.lock")); err == nil {
		t.Error("it has written a lock")
	}
}
