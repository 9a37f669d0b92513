package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// rewrite gives p another configuration and tells it so.
func (p *process) rewrite(t *testing.T, yaml string) {
	t.Helper()
	if err := os.WriteFile(p.file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// awaitLog returns when p has logged text n times.
func (p *process) awaitLog(t *testing.T, text string, n int) {
	t.Helper()
	await(t, fmt.Sprintf("%q is logged %d times", text, n), func() bool { return strings.Count(p.logged(), text) >= n })
}

func TestReloadUnderLoad(t *testing.T) {
	folder := t.TempDir()
	yaml := func(n int) string {
		return fmt.Sprintf("keys: [{key: %s}]\nvalidate: {max_age: %dm}\nsinks: {lines: {plugin: %q, config: {path: %q}}}\n",
			aKey, 60+n, os.Args[0], filepath.Join(folder, fmt.Sprint("lines-", n)))
	}
	p := launch(t, yaml(0))
	tr := startTraffic(p, 4)
	const reloads = 5
	for n := range reloads {
		tr.awaitMore(t, 20)
		p.rewrite(t, yaml(n+1))
		p.awaitLog(t, `"msg":"reloaded"`, n+1)
	}
	tr.awaitMore(t, 20)
	tr.stop()
	var accepted []string
	tr.statuses.Range(func(metric, status any) bool {
		if status != http.StatusNoContent {
			t.Errorf("%s is answered %v during reloads", metric, status)
		}
		accepted = append(accepted, metric.(string))
		return true
	})
	await(t, "everything is delivered", func() bool { return p.labelled(t, "fluxgate_waiting_datapoints", "lines") == 0 })
	var stored strings.Builder
	for n := range reloads + 1 {
		text, err := os.ReadFile(filepath.Join(folder, fmt.Sprint("lines-", n)))
		if err != nil {
			t.Errorf("the sink of configuration %d has got nothing: %v", n, err)
		}
		stored.Write(text)
	}
	for _, metric := range accepted {
		if !strings.Contains(stored.String(), metric+" ") {
			t.Errorf("%s was accepted, and is lost", metric)
		}
	}
}

func TestReloadIsAllOrNothing(t *testing.T) {
	yaml := func(key, more, settings string) string {
		return fmt.Sprintf("keys: [{key: %s}]\n%s\nsinks: {lines: {plugin: %q, config: {%s}}}\n", key, more, os.Args[0], settings)
	}
	const other = "ANOTHERkeyOfThirtyTwoCharacters0"
	p := launch(t, yaml(aKey, "", ""))
	pid := p.pid(t, "lines")
	for i, tt := range []struct{ yaml, says string }{
		{yaml(other, "", "pfad: x"), `unknown setting`},
		{yaml(other, "limits: {body: 0}", ""), "limits.body"},
		{yaml(other, "ledger: {metrics: 2000}", ""), "ledger: changed, which needs a restart"},
		{yaml(other, "redis: {address: \"127.0.0.1:1\"}", ""), "redis: changed, which needs a restart"},
		{yaml(other, "runtime: {gogc: 300}", ""), "runtime: changed, which needs a restart"},
		{yaml(other, "limits: {journal: 8GiB}", ""), "limits.journal: changed, which needs a restart"},
		{strings.Replace(yaml(other, "", ""), "lines:", "rows:", 1), "the names of sinks: changed, which needs a restart"},
		{"nonsense", "not a section"},
	} {
		p.rewrite(t, tt.yaml)
		p.awaitLog(t, "the new configuration is refused", i+1)
		if !strings.Contains(p.logged(), tt.says) {
			t.Errorf("the log does not say %q", tt.says)
		}
		if status := p.get(t, fmt.Sprintf("metric=m%d&value=1&key=%s", i, aKey)); status != http.StatusNoContent {
			t.Errorf("after a refused configuration a request is answered %d", status)
		}
		if status := p.get(t, "metric=a&value=1&key="+other); status != http.StatusUnauthorized {
			t.Errorf("a key of a refused configuration is answered %d", status)
		}
	}
	if now := p.pid(t, "lines"); now != pid {
		t.Errorf("the sink has process %d instead of %d", now, pid)
	}
	p.rewrite(t, yaml(other, "", ""))
	p.awaitLog(t, `"msg":"reloaded"`, 1)
	for key, want := range map[string]int{aKey: http.StatusUnauthorized, other: http.StatusNoContent} {
		if status := p.get(t, "metric=b&value=1&key="+key); status != want {
			t.Errorf("key %s is answered %d, want %d", key, status, want)
		}
	}
	if now := p.pid(t, "lines"); now != pid {
		t.Errorf("an unchanged sink was started again")
	}
}
