package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fluxgate/testdata/servers"
)

func TestCheckNamesEachFault(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(text, []byte("no program\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho hello\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	poor := servers.Redis(t, "--user", "flux", "on", ">pass", "~*", "+@read", "+@scripting")
	tests := []struct {
		name, yaml string
		connect    bool
		says       []string // empty: the configuration is sound
	}{
		{name: "nothing", yaml: ""},
		{name: "unknown settings", yaml: "lisen: x\nredis: {adress: y}\n", says: []string{`"lisen"`, `"listen"`, `"redis.adress"`, `"redis.address"`}},
		{name: "bad address", yaml: "listen: localhost\n", says: []string{"listen", "host:port"}},
		{name: "bad address of a sink", yaml: "sinks: {carbon: {plugin: fluxgate-sink-pickle, config: {address: carbon}}}\n",
			says: []string{`"carbon"`, "address", "host:port"}},
		{name: "unknown setting of a sink", yaml: "sinks: {carbon: {plugin: fluxgate-sink-pickle, config: {adress: 1}}}\n",
			says: []string{`"carbon"`, `"adress"`, `"address"`}},
		{name: "no such plugin", yaml: "sinks: {carbon: {plugin: fluxgate-sink-pikle}}\n", says: []string{`"carbon"`, `"fluxgate-sink-pikle"`, "put it there"}},
		{name: "not executable", yaml: fmt.Sprintf("sinks: {carbon: {plugin: %q}}\n", text), says: []string{text, "chmod +x"}},
		{name: "no plugin", yaml: fmt.Sprintf("sinks: {carbon: {plugin: %q}}\n", script), says: []string{`"carbon"`, script}},
		{name: "a plugin of another kind", yaml: "sinks: {carbon: {plugin: fluxgate-input-flux}}\n", says: []string{`"carbon"`, "kind input"}},
		{name: "another checksum", yaml: "sinks: {carbon: {plugin: fluxgate-sink-pickle, checksum: " + strings.Repeat("ab", 32) + "}}\n",
			says: []string{`"carbon"`, "checksum"}},
		{name: "another machine's address", yaml: "listen: 192.0.2.1:8000\n", says: []string{"listen 192.0.2.1:8000", "address of this machine"}},
		{name: "a folder that cannot be", yaml: "data: /dev/null/fluxgate\n", says: []string{"data /dev/null/fluxgate", "may write"}},
		{name: "several at once", yaml: "inputs: {flux: {plugin: nowhere, routes: [GET /x]}}\nsinks: {carbon: {plugin: nothing}}\n",
			says: []string{`"nowhere"`, `"nothing"`}},
		{name: "servers that are down, not looked at", yaml: "redis: {address: 127.0.0.1:1}\nsinks: {carbon: {plugin: fluxgate-sink-pickle, config: {address: 127.0.0.1:1}}}\n"},
		{name: "servers that are down", connect: true,
			yaml: "redis: {address: 127.0.0.1:1}\nsinks: {carbon: {plugin: fluxgate-sink-pickle, config: {address: 127.0.0.1:1}}}\n",
			says: []string{"redis.address 127.0.0.1:1", `sink "carbon"`, "connection refused"}},
		{name: "no such CA", yaml: "redis: {address: 127.0.0.1:1, tls: {enabled: true, ca: /nowhere/ca.pem}}\n", says: []string{"redis.tls.ca", "/nowhere/ca.pem", "PEM"}},
		{name: "a cluster that is down", connect: true, yaml: "redis: {address: [127.0.0.1:1, 127.0.0.1:2]}\n",
			says: []string{"redis.address 127.0.0.1:1, 127.0.0.1:2", "connection refused", "is Redis running there?"}},
		{name: "what jobs need is missing", yaml: "populate: {schema: {schemas: /nowhere/schemas.conf}, remotes: [{host: old, ca: /nowhere/ca.pem}]}\n",
			says: []string{"populate.schema", "/nowhere/schemas.conf", "populate.remotes", "/nowhere/ca.pem"}},
		{name: "an own Graphite that is down, not looked at", yaml: "populate: {graphite: 'http://localhost:1'}\n"},
		{name: "an own Graphite that is down", connect: true, yaml: "populate: {graphite: 'http://localhost:1'}\n", says: []string{"populate.graphite", "connection refused"}},
		{name: "a user without rights", connect: true, yaml: fmt.Sprintf("redis: {address: %q, username: flux, password: pass}\n", poor.Address),
			says: []string{"redis.address " + poor.Address, "the user may not set flux.last.*", "ACL SETUSER flux ~flux.last.*"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "fluxgate.yaml")
			if err := os.WriteFile(file, []byte(tt.yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			stdout, stderr, code := fluxgate(t, "check", "--config", file, fmt.Sprintf("--connect=%v", tt.connect))
			if sound := len(tt.says) == 0; (code == 0) != sound || strings.Contains(stdout, "is sound") != sound {
				t.Errorf("exits %d, prints %q, %q", code, stdout, stderr)
			}
			for _, want := range tt.says {
				if !strings.Contains(stderr, want) {
					t.Errorf("says\n%s\nwant %q in it", stderr, want)
				}
			}
		})
	}
}

// What a plugin says of a setting is told once, with the plugin, the setting as it
// was written, and the one that was meant.
func TestCheckOfSettings(t *testing.T) {
	const address = `(list of text, by default ["127.0.0.1:2004"]: host:port of the receiver`
	for config, says := range map[string]string{
		`adress: "x:1"`:        `unknown setting "adress": did you mean "address"? ` + address,
		`address: {host: x}`:   `setting "address": a section is not a list of text ` + address,
		`timeout: 5`:           `setting "timeout": 5 is not a duration: give it a unit, such as "5s" (duration, by default "10s": how long`,
		`timeout: [5s, 6s]`:    `setting "timeout": ["5s","6s"] is not a duration`,
		`timeout: soon`:        `setting "timeout": "soon" is not a duration`,
		`address: nowhere`:     `host:port`,
		`timeot: 5s, adres: x`: `unknown setting "timeot": did you mean "timeout"?`,
	} {
		_, said, code := fluxgate(t, "check", "--data", t.TempDir(), "--config",
			yamlFile(t, "sinks: {carbon: {plugin: fluxgate-sink-pickle, required: false, config: {"+config+"}}}"))
		start := fmt.Sprintf("fluxgate: open sink \"carbon\" (%s): invalid: ", plugin(t, "fluxgate-sink-pickle"))
		if code != exitFailed || !strings.HasPrefix(said, start) || !strings.Contains(said, says) || strings.Count(said, "host:port of the receiver") > 1 ||
			strings.Count(said, "invalid") != 1 {
			t.Errorf("%s: exits %d and says\n%s, want\n%s%s", config, code, said, start, says)
		}
	}
}

func TestCheckBesideARunningServer(t *testing.T) {
	r, c := servers.Redis(t), servers.Carbon(t)
	yaml := carbonYAML(r, c)
	p := launch(t, yaml)
	file := filepath.Join(t.TempDir(), "fluxgate.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := fluxgate(t, "check", "--connect", "--config", file, "--data", p.data, "--listen", p.listen, "--admin", p.admin)
	if code != 0 {
		t.Errorf("exits %d: %s%s", code, stdout, stderr)
	}
	if status := p.get(t, "status"); status != http.StatusOK {
		t.Errorf("the server answers %d afterwards", status)
	}
	open := t.TempDir()
	if err := os.WriteFile(keyFile(open), []byte(aKey), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := fluxgate(t, "check", "--config", "", "--data", open); code != exitFailed || !strings.Contains(stderr, "chmod 600") {
		t.Errorf("exits %d with a key that everybody can read: %s", code, stderr)
	}
	empty := t.TempDir()
	if _, stderr, code := fluxgate(t, "check", "--config", "", "--data", empty); code != 0 {
		t.Errorf("exits %d with nothing configured: %s", code, stderr)
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) > 0 {
		t.Errorf("check left %v in the data folder, %v", left, err)
	}
}
