package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fluxgate/core/fleet"
)

// A bad plugin is one that cannot be started.
type bad struct {
	name, program string
	more          string // further settings
	mended        bool   // only by a person
	says          []string
}

// badPlugins makes every kind of them, some as names in folder.
func badPlugins(t *testing.T, folder string) []bad {
	t.Helper()
	dir := t.TempDir()
	script := func(mode os.FileMode, path, text string) string {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	at := func(name, text string) string { return script(0o755, filepath.Join(dir, name), text) }
	open := script(0o755, filepath.Join(dir, "open", "program"), "exit 0")
	if err := os.Chmod(filepath.Dir(open), 0o777); err != nil {
		t.Fatal(err)
	}
	outside := at("outside", "exit 0")
	if err := os.Symlink(outside, filepath.Join(folder, "fluxgate-sink-led-astray")); err != nil {
		t.Fatal(err)
	}
	const isIt = "is it a plugin of Fluxgate"
	wrongSum := strings.Repeat("ab", 32)
	return []bad{
		{"missing", "fluxgate-sink-lost", "", true, []string{`no program "fluxgate-sink-lost"`, "put it there"}},
		{"text", script(0o644, filepath.Join(dir, "text"), "exit 0"), "", true, []string{dir + "/text is not executable: chmod +x it"}},
		{"rubbish", at("rubbish", "") + "/program", "", true, []string{"rubbish/program", "not a directory"}},
		{"kind", "fluxgate-input-flux", "", true, []string{"plugin of kind input, and is configured as sink"}},
		{"protocol", at("protocol", "echo '1|9|unix|/nowhere|grpc'; exec sleep 60"), "", true,
			[]string{"protocol than 1 to 2", "build it anew with this Fluxgate's sdk", "Plugin version: 9"}},
		{"sum", "fluxgate-sink-plaintext", ", checksum: " + wrongSum, true, []string{"the program's sha256 is ", "not " + wrongSum, "as pinned by the setting checksum: give the new one"}},
		{"world", script(0o757, filepath.Join(dir, "world"), "exit 0"), "", true, []string{dir + "/world can be changed by every user", "chmod o-w it"}},
		{"folder", open, "", true, []string{"is in a folder in which every user", "chmod o-w " + dir + "/open"}},
		{"link", "fluxgate-sink-led-astray", "", true, []string{"is a link to " + outside, "put the program itself there"}},
		{"idler", "/bin/true", "", false, []string{"it ended before it said where it listens", isIt + "? (exit code 0)"}},
		{"cookie", at("cookie", "echo This is a plugin of somebody else >&2; exit 1"), "", false,
			[]string{isIt, `? (exit code 1, and it said "This is a plugin of somebody else")`}},
		{"early", at("early", "echo hello world; echo and more; exec sleep 60"), "", false, []string{`it printed "hello world" to standard output`, isIt, "standard error instead?"}},
		{"long", at("long", "head -c 100000 /dev/zero | tr '\\0' x; exec sleep 60"), "", false, []string{`it printed "xxxxx`, `xxx" to standard output`}},
		{"crash", at("crash", "echo one >&2; echo no licence on this machine >&2; exit 3"), "", false, []string{`(exit code 3, and it said "no licence on this machine")`}},
		{"silent", at("silent", "exec sleep 60"), "", false, []string{"it has not said where it listens within 10s", isIt}},
	}
}

// sinkYAML configures bad plugins as sinks beside a good one.
func sinkYAML(folder string, required bool, all ...bad) string {
	var more strings.Builder
	for _, b := range all {
		fmt.Fprintf(&more, "  %s: {plugin: %q, required: %v%s}\n", b.name, b.program, required, b.more)
	}
	return pluginsYAML("", more.String()) + fmt.Sprintf("plugins: [%q, %q]\n", folder, filepath.Join(built, "plugins"))
}

// lacks returns what text does not say of what it should say of b.
func (b bad) lacks(text string) (lacking []string) {
	for _, words := range append(b.says, `"`+b.name+`"`) {
		if !strings.Contains(text, words) {
			lacking = append(lacking, words)
		}
	}
	return lacking
}

// statuses returns what the server tells of its plugins.
func (p *process) statuses(t *testing.T) map[string]fleet.Status {
	t.Helper()
	token, err := os.ReadFile(tokenFile(p.data))
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.admin+"/plugins", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("/plugins: %d %s, %v", answer.StatusCode, body, err)
	}
	return statusesIn(t, string(body))
}

// statusesIn reads JSON.
func statusesIn(t *testing.T, text string) map[string]fleet.Status {
	t.Helper()
	var all []fleet.Status
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	named := make(map[string]fleet.Status)
	for _, s := range all {
		named[s.Name] = s
	}
	return named
}

func TestBadPlugins(t *testing.T) {
	fluxgateBinary(t)
	folder := t.TempDir()
	all := badPlugins(t, folder)
	t.Run("check", func(t *testing.T) {
		t.Parallel()
		_, said, code := fluxgate(t, "check", "--config", yamlFile(t, sinkYAML(folder, false, all...)), "--data", t.TempDir())
		for _, b := range all {
			if lacking := b.lacks(said); code != exitFailed || lacking != nil {
				t.Errorf("of %s check does not say %q:\n%s", b.name, lacking, said)
			}
		}
		if strings.Contains(said, `"actor"`) {
			t.Errorf("check names what is sound:\n%s", said)
		}
	})
	t.Run("list", func(t *testing.T) {
		t.Parallel()
		out, _, code := fluxgate(t, "plugin", "list", "--output", "json", "--config", yamlFile(t, sinkYAML(folder, false, all...)),
			"--data", t.TempDir(), "--admin", "127.0.0.1:1")
		named := statusesIn(t, out)
		for _, b := range all {
			state := map[bool]fleet.State{true: fleet.Refused, false: fleet.Failing}[b.mended]
			s := named[b.name]
			if lacking := b.lacks(called(s) + s.Trouble); code != 0 || lacking != nil || s.State != state {
				t.Errorf("of %s plugin list tells %+v, without %q", b.name, s, lacking)
			}
		}
	})
	t.Run("optional", func(t *testing.T) {
		t.Parallel()
		p := launch(t, sinkYAML(folder, false, all...))
		if status, body := fetch(t, "http://"+p.admin+"/ready"); status != http.StatusOK {
			t.Errorf("/ready: %d %s", status, body)
		}
		if status := p.get(t, datapoint("a")); status != http.StatusNoContent {
			t.Errorf("a request: %d", status)
		}
		for _, b := range all {
			awaitTrouble(t, p, b)
			if warned := warnings(p, b.name); warned == "" || b.lacks(warned) != nil {
				t.Errorf("of %s the log does not warn that %q", b.name, b.lacks(warned))
			}
		}
	})
	t.Run("required", func(t *testing.T) {
		t.Parallel()
		var passing []bad
		for _, b := range all {
			if !b.mended {
				passing = append(passing, b)
				continue
			}
			p := begin(t, sinkYAML(folder, true, b))
			<-p.ended
			said := strings.ReplaceAll(p.logged(), `\"`, `"`)
			if code := p.cmd.ProcessState.ExitCode(); code != exitFailed || b.lacks(said) != nil {
				t.Errorf("with %s it exits %d and does not say %q:\n%s", b.name, code, b.lacks(said), said)
			}
		}
		p := launch(t, sinkYAML(folder, true, passing...))
		_, missing := fetch(t, "http://"+p.admin+"/ready")
		for _, b := range passing {
			awaitTrouble(t, p, b)
			if !strings.Contains(missing, b.name) {
				t.Errorf("/ready does not name %s: %s", b.name, missing)
			}
		}
	})
}

// warnings returns the warnings about a plugin in the server's log.
func warnings(p *process, plugin string) (lines string) {
	for line := range strings.Lines(strings.ReplaceAll(p.logged(), `\"`, `"`)) {
		if strings.Contains(line, `"level":"WARN"`) && strings.Contains(line, `"plugin":"`+plugin+`"`) {
			lines += line
		}
	}
	return lines
}

// awaitTrouble returns when the server tells what is wrong with a plugin.
func awaitTrouble(t *testing.T, p *process, b bad) {
	t.Helper()
	var s fleet.Status
	for deadline := time.Now().Add(40 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if s = p.statuses(t)[b.name]; s.Trouble != "" {
			break
		}
	}
	if b.lacks(s.Trouble) != nil || b.mended != (s.State == fleet.Refused) || s.Pid != 0 {
		t.Errorf("of %s it tells %+v, without %q", b.name, s, b.lacks(s.Trouble))
	}
}

// yamlFile returns a file with a configuration.
func yamlFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "fluxgate.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
