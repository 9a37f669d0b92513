package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"fluxgate/core/fleet"
)

const aSecret = "/nowhere/a-secret-folder"

// rows returns the lines of a table, by what stands in their second column.
func rows(t *testing.T, table string) map[string][]string {
	t.Helper()
	lines := strings.Split(table, "\n")
	columns := regexp.MustCompile(`  +`)
	if got := strings.Join(columns.Split(lines[0], -1), ","); got != "kind,name,state,version,protocol,pid,uptime,restarts,sha256,program" {
		t.Fatalf("the columns are %s", got)
	}
	all := make(map[string][]string)
	for _, line := range lines[1:] {
		if row := columns.Split(line, -1); len(row) == 10 {
			all[row[1]] = row
		}
	}
	return all
}

func TestPluginListOfARunningServer(t *testing.T) {
	p := launch(t, pluginsYAML("path: "+aSecret, "  lost: {plugin: fluxgate-sink-lost, required: false}\n"+
		"  store: {plugin: fluxgate-sink-pickle, required: false, config: {address: 'a-secret-host:1'}}"))
	await(t, "it is known what is missing", func() bool { s := p.statuses(t); return s["lost"].Trouble != "" && s["store"].Pid != 0 })
	dead := p.pid(t, "flux")
	p.signal(t, "flux", syscall.SIGKILL)
	await(t, "the input is started again", func() bool { now := p.statuses(t)["flux"]; return now.Pid != 0 && now.Pid != dead })

	out, said, code := fluxgate(t, p.flags("plugin", "list", "--output", "json")...)
	named := statusesIn(t, out)
	if code != 0 || said != "" || len(named) != 5 {
		t.Fatalf("exits %d: %s%s", code, out, said)
	}
	sum, err := os.ReadFile(plugin(t, "fluxgate-sink-pickle"))
	if err != nil {
		t.Fatal(err)
	}
	store := named["store"]
	if store.Kind != "sink" || store.State != fleet.Open || store.Pid != p.pid(t, "store") || store.Protocol != 2 || store.Version == "" ||
		store.Program != plugin(t, "fluxgate-sink-pickle") || store.Checksum != digest(sum) || store.Settings != nil {
		t.Errorf("the store is told as %+v", store)
	}
	if flux := named["flux"]; flux.Kind != "input" || flux.Restarts != 1 {
		t.Errorf("the input is told as %+v", flux)
	}
	if named["mean"].State != fleet.Idle || named["lost"].State != fleet.Refused {
		t.Errorf("it tells %+v", named)
	}

	text, _, _ := fluxgate(t, p.flags("plugin", "list")...)
	all := rows(t, text)
	if row := all["store"]; len(row) != 10 || row[2] != "open" || row[5] != fmt.Sprint(store.Pid) || row[8] != store.Checksum[:12] || row[9] != "fluxgate-sink-pickle" {
		t.Errorf("the row of the store is %q in\n%s", row, text)
	}
	if row := all["mean"]; len(row) != 10 || row[2] != "idle" || row[5] != "-" || row[6] != "-" {
		t.Errorf("the row of the resampler is %q", row)
	}
	if strings.Count(text, `sink "lost":`) != 1 || !strings.Contains(text, "put it there") {
		t.Errorf("it does not say once what is wrong:\n%s", text)
	}

	text, _, _ = fluxgate(t, p.flags("plugin", "list", "--settings")...)
	for _, words := range []string{
		"\nfluxgate-sink-pickle\n", "  address", "host:port of the receiver", "\nfluxgate-resampler-basic\n", "  method", `"mean"`,
		"\nfluxgate-input-flux\n  there are no settings\n", "\ncore.test\n", "\nfluxgate-sink-lost\n  has not been started",
	} {
		if !strings.Contains(text, words) {
			t.Errorf("with settings it does not say %q:\n%s", words, text)
		}
	}
	everything, _, _ := fluxgate(t, p.flags("plugin", "list", "--settings", "--output", "json")...)
	_, body := fetch(t, "http://"+p.admin+"/plugins")
	if shown := text + everything + body; strings.Contains(shown, aSecret) || strings.Contains(shown, "a-secret-host") {
		t.Errorf("it shows what is configured:\n%s%s%s", text, everything, body)
	}
	if lost := statusesIn(t, body)["lost"].Trouble; lost != "told to who bears the token of this server" {
		t.Errorf("without the token it tells %q", lost)
	}
	if settings := statusesIn(t, everything)["store"].Settings; len(settings) == 0 || settings[0].Type == "" || settings[0].Help == "" {
		t.Errorf("as JSON the settings are %+v", settings)
	}
}

func TestPluginListWithoutAServer(t *testing.T) {
	fluxgateBinary(t)
	file := yamlFile(t, pluginsYAML("path: "+aSecret, "  lost: {plugin: fluxgate-sink-lost}"))
	data := filepath.Join(t.TempDir(), "data")
	list := func(args ...string) (out, said string) {
		t.Helper()
		args = append([]string{"plugin", "list", "--config", file, "--data", data, "--admin", "127.0.0.1:1"}, args...)
		out, said, code := fluxgate(t, args...)
		if code != 0 {
			t.Fatalf("exits %d: %s%s", code, out, said)
		}
		return out, said
	}
	text, said := list("--settings")
	all := rows(t, text)
	for name, state := range map[string]string{"flux": "stopped", "actor": "stopped", "mean": "stopped", "lost": "refused"} {
		if row := all[name]; len(row) != 10 || row[2] != state {
			t.Errorf("the row of %s is %q, want state %s", name, row, state)
		}
	}
	for _, words := range []string{
		"not configured  devel", "fluxgate-sink-pickle\n", "\nfluxgate-sink-pickle\n  setting", `sink "lost": invalid: no program`, "\ncore.test\n  setting",
	} {
		if !strings.Contains(text, words) {
			t.Errorf("it does not say %q:\n%s", words, text)
		}
	}
	if said != "" || strings.Contains(text, aSecret) {
		t.Errorf("it says %q, and shows\n%s", said, text)
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("it makes the data folder")
	}
	stranger := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(stranger.Close)
	out, said := list("--output", "json", "--admin", stranger.Listener.Addr().String())
	if statusesIn(t, out)["actor"].State != fleet.Stopped || !strings.Contains(said, "404 Not Found: is it a Fluxgate of this version?") {
		t.Errorf("where somebody else listens: %s%s", out, said)
	}
}

func TestPluginListOfWhatCannotBe(t *testing.T) {
	if _, said, code := fluxgate(t, "plugin", "list", "--output", "yaml"); code != exitUsage || !strings.Contains(said, "must be text or json") {
		t.Errorf("exits %d: %s", code, said)
	}
	if _, said, code := fluxgate(t, "plugin", "list", "--config", yamlFile(t, "lisen: x")); code != exitFailed || !strings.Contains(said, "lisen") {
		t.Errorf("exits %d: %s", code, said)
	}
}
