package main

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"fluxgate/core/fleet"
)

// A debuggee is a plugin that was started with --attach.
type debuggee struct {
	*exec.Cmd
	mu  sync.Mutex
	out strings.Builder
}

// Write takes what it prints.
func (d *debuggee) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.Write(b)
}

// debugged starts a plugin as a debugger does, and returns what its line says behind
// --attach.
func debugged(t *testing.T, program string) (*debuggee, string) {
	t.Helper()
	d := &debuggee{Cmd: exec.Command(program, "--attach")}
	d.Stdout = d
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.Process.Kill()
		_ = d.Wait()
	})
	const before = "fluxgate serve --attach "
	line := ""
	await(t, "it says how to attach", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		_, line, _ = strings.Cut(d.out.String(), before)
		return strings.Contains(line, "\n")
	})
	return d, strings.Fields(line)[0]
}

func TestServeAttached(t *testing.T) {
	store := t.TempDir()
	d, line := debugged(t, plugin(t, "fluxgate-sink-whisper"))
	yaml := "keys: [{key: " + aKey + "}]\nsinks: {store: {plugin: fluxgate-sink-whisper, checksum: " + strings.Repeat("ab", 32) + ", config: {path: " + store + "}}}\n"
	p := launch(t, yaml, "--attach", line)
	if !strings.Contains(p.logged(), "PLUGIN IS ATTACHED") {
		t.Error("the log does not say that the plugin is attached")
	}
	if status := p.get(t, datapoint("a.b")); status != http.StatusNoContent {
		t.Errorf("a request: %d", status)
	}
	await(t, "it is stored", func() bool { _, err := os.Stat(store + "/a/b.wsp"); return err == nil })
	out, _, _ := fluxgate(t, p.flags("plugin", "list")...)
	if row := rows(t, out)["store"]; len(row) != 10 || row[2] != "attached" || row[8] != "-" {
		t.Errorf("plugin list says\n%s", out)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, "it is reloaded", func() bool { return strings.Contains(p.logged(), `"reloaded"`) })
	p.stop(t)
	if err := d.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the attached process has ended with the server: %v", err)
	}

	p = launch(t, yaml, "--attach", "store="+strings.SplitN(line, "=", 2)[1])
	if s := p.statuses(t)["store"]; s.State != fleet.Attached || s.Pid != d.Process.Pid {
		t.Errorf("attached again by its name it is told as %+v", s)
	}
	_ = d.Process.Kill()
	await(t, "its end is noticed", func() bool { return p.statuses(t)["store"].State == fleet.Failing })
	await(t, "it is said what to do", func() bool {
		return strings.Contains(p.logged(), "start it again with --attach, and Fluxgate with the line")
	})
	if status, body := fetch(t, "http://"+p.admin+"/ready"); status != http.StatusServiceUnavailable || !strings.Contains(body, "store") {
		t.Errorf("/ready: %d %s", status, body)
	}
	if len(p.plugins(t)) != 1 {
		t.Error("another process was started in its place")
	}
}

func TestServeRefusesToAttach(t *testing.T) {
	more := "  b: {plugin: fluxgate-sink-pickle}\n  a: {plugin: fluxgate-sink-pickle}\n  mean: {plugin: fluxgate-sink-plaintext}"
	for attach, says := range map[string]string{
		"fluxgate-sink-pickle":               "must be NAME=WHERE",
		"carbon=2:/nowhere":                  `no plugin and no program is called "carbon": name one of a (sink), actor (sink), b (sink), flux (input), mean (resampler), mean (sink)`,
		"fluxgate-sink-pickle=2:/nowhere":    `several plugins are called "fluxgate-sink-pickle", or are that program: a (sink), b (sink): name one`,
		"mean=2:/nowhere":                    "mean (resampler), mean (sink)",
		"actor=nowhere":                      "must be PROTOCOL:SOCKET",
		"fluxgate-sink-plaintext=9:/nowhere": "the plugin speaks protocol 9, and the host 1 to 2",
	} {
		_, said, code := fluxgate(t, "serve", "--config", yamlFile(t, pluginsYAML("", more)), "--data", t.TempDir(),
			"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--attach", attach)
		if code != exitFailed || !strings.Contains(said, says) {
			t.Errorf("--attach %s: exits %d and says\n%s", attach, code, said)
		}
	}
}
