package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestDeadLettersFromOutside(t *testing.T) {
	lines := filepath.Join(t.TempDir(), "lines")
	const yaml = "keys: [{key: %s}]\nsinks: {lines: {plugin: %q, config: {path: %q, act: %q}}}\n"
	p := launch(t, fmt.Sprintf(yaml, aKey, os.Args[0], lines, "refuse"))
	if stdout, stderr, code := fluxgate(t, p.flags("dead", "list")...); code != 0 || stdout != "no dead letters\n" {
		t.Errorf("dead list exits %d and prints %q, %q", code, stdout, stderr)
	}
	if status := p.get(t, "metric=a.b&value=1.5&timestamp=1700000000&fill=true&key="+aKey); status != http.StatusNoContent {
		t.Fatalf("answered %d", status)
	}
	await(t, "the datapoint is a dead letter", func() bool { return p.labelled(t, "fluxgate_dead_letters", "lines") == 1 })
	stdout, stderr, code := fluxgate(t, p.flags("dead", "list", "lines")...)
	if code != 0 || !strings.Contains(stdout, "a.b 1.5 1700000000  invalid: not to my taste") {
		t.Errorf("dead list exits %d and prints %q, %q", code, stdout, stderr)
	}
	if stdout, _, code := fluxgate(t, p.flags("dead", "retry", "lines")...); code != 0 || stdout != "0 delivered, 1 refused again\n" {
		t.Errorf("dead retry exits %d and prints %q", code, stdout)
	}
	for _, action := range []string{"list", "retry"} {
		_, stderr, code := fluxgate(t, p.flags("dead", action, "other")...)
		if code != exitFailed || !strings.HasPrefix(stderr, `fluxgate: there is no sink "other": it is one of lines`) {
			t.Errorf("dead %s of a sink that is none exits %d and says %q", action, code, stderr)
		}
	}
	if stdout, stderr, code := fluxgate(t, "dead", "list", "lines", "--config", "", "--data", p.data); code != 0 || !strings.Contains(stdout, "a.b 1.5") {
		t.Errorf("dead list of a sink that is no longer configured exits %d and prints %q, %q", code, stdout, stderr)
	}
	p.rewrite(t, fmt.Sprintf(yaml, aKey, os.Args[0], lines, ""))
	p.awaitLog(t, `"msg":"reloaded"`, 1)
	if stdout, _, code := fluxgate(t, p.flags("dead", "retry", "lines")...); code != 0 || stdout != "1 delivered, 0 refused again\n" {
		t.Errorf("dead retry exits %d and prints %q", code, stdout)
	}
	if text, err := os.ReadFile(lines); err != nil || string(text) != "a.b 1.5 1700000000\n" {
		t.Errorf("the sink has %q, %v", text, err)
	}
	p.stop(t)
	if stdout, _, code := fluxgate(t, "dead", "list", "--output", "json", "--config", "", "--data", t.TempDir()); code != 0 || stdout != "{}\n" {
		t.Errorf("dead list where no server has run exits %d and prints %q", code, stdout)
	}
	if _, stderr, code := fluxgate(t, p.flags("dead", "retry", "lines")...); code != exitFailed || !strings.Contains(stderr, "is it running") {
		t.Errorf("dead retry without a server exits %d and says %q", code, stderr)
	}
}

// verified is what journal verify prints, as far as it is compared.
type verified struct {
	Logs []struct {
		Log     string
		Damaged int
		Readers []struct {
			Reader                                                          string
			Accepted, Delivered, Dead, Expired, Damaged, Waiting, Imbalance int
		}
	}
}

func TestJournalFromOutside(t *testing.T) {
	const yaml = "keys: [{key: %s}]\nsinks: {lines: {plugin: %q, config: {path: %q}}, stuck: {plugin: %q, config: {act: hang}}}\n"
	p := launch(t, fmt.Sprintf(yaml, aKey, os.Args[0], filepath.Join(t.TempDir(), "lines"), os.Args[0]))
	for i := range 3 {
		if status := p.get(t, fmt.Sprintf("metric=m%d&value=1&key=%s", i, aKey)); status != http.StatusNoContent {
			t.Fatalf("answered %d", status)
		}
	}
	await(t, "one sink has it", func() bool { return p.labelled(t, "fluxgate_waiting_datapoints", "lines") == 0 })
	for state := range 2 { // beside the running server, and without it
		stdout, stderr, code := fluxgate(t, p.flags("journal", "verify", "--output", "json")...)
		var v verified
		if err := json.Unmarshal([]byte(stdout), &v); err != nil || code != 0 || len(v.Logs) != 2 || v.Logs[0].Log != "live" {
			t.Fatalf("journal verify exits %d and prints %q, %q: %v", code, stdout, stderr, err)
		}
		for _, r := range v.Logs[0].Readers {
			waiting := map[string]int{"lines": 0, "stuck": 3, "+ledger": 3}[r.Reader]
			if r.Accepted != 3 || r.Waiting != waiting || r.Delivered != 3-waiting || r.Imbalance != 0 {
				t.Errorf("state %d: the books are %+v", state, r)
			}
		}
		shown, _, code := fluxgate(t, p.flags("journal", "show")...)
		if code != 0 || !strings.Contains(shown, "stuck") {
			t.Errorf("journal show exits %d and prints %q", code, shown)
		}
		if state == 0 {
			if _, stderr, code := fluxgate(t, p.flags("journal", "drop", "gone")...); code != exitFailed || !strings.Contains(stderr, "in use by process") {
				t.Errorf("journal drop beside a server exits %d and says %q", code, stderr)
			}
			p.stop(t)
		}
	}
	if _, stderr, code := fluxgate(t, p.flags("journal", "drop", "stuck")...); code != exitFailed || !strings.Contains(stderr, "is configured") {
		t.Errorf("journal drop of a configured sink exits %d and says %q", code, stderr)
	}
	without, _, _ := strings.Cut(fmt.Sprintf(yaml, aKey, os.Args[0], "", ""), ", stuck:")
	if err := os.WriteFile(p.file, []byte(without+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := fluxgate(t, p.flags("journal", "drop", "gone")...); code != exitFailed || !strings.Contains(stderr, `nothing is kept for a sink "gone": there are lines, stuck`) {
		t.Errorf("journal drop of a sink that is none exits %d and says %q", code, stderr)
	}
	nowhere := filepath.Join(t.TempDir(), "data")
	if _, stderr, code := fluxgate(t, "journal", "drop", "stuck", "--config", "", "--data", nowhere); code != exitFailed || !strings.Contains(stderr, "there is no journal") || exists(nowhere) {
		t.Errorf("journal drop where no server has run exits %d and says %q; it makes the folder: %v", code, stderr, exists(nowhere))
	}
	_, stderr, code := fluxgate(t, p.flags("serve", "--listen", "127.0.0.1:0")...)
	_, line, named := strings.Cut(stderr, "give them up with: fluxgate ")
	if code != exitFailed || !named {
		t.Fatalf("serve with datapoints for a sink that is gone exits %d and says %q", code, stderr)
	}
	if out, err := exec.Command("/bin/sh", "-c", fluxgateBinary(t)+" "+line).CombinedOutput(); err != nil || !strings.Contains(string(out), "3 datapoints") {
		t.Errorf("what serve names, %s: %v\n%s", line, err, out)
	}
	if _, stderr, code := fluxgate(t, p.flags("journal", "drop", "stuck")...); code != exitFailed || !strings.Contains(stderr, "stuck") {
		t.Errorf("journal drop of what is gone exits %d and says %q", code, stderr)
	}
}

func TestDamagedJournal(t *testing.T) {
	lines := filepath.Join(t.TempDir(), "lines")
	const yaml = "keys: [{key: %s}]\nsinks: {lines: {plugin: %q, config: {path: %q, act: %q}}}\n"
	p := launch(t, fmt.Sprintf(yaml, aKey, os.Args[0], lines, "hang"))
	for i := range 3 {
		if status := p.get(t, fmt.Sprintf("metric=the.metric.%d&value=1&key=%s", i, aKey)); status != http.StatusNoContent {
			t.Fatalf("answered %d", status)
		}
	}
	p.stop(t)
	segments, err := filepath.Glob(filepath.Join(p.data, "journal", "live", "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	var spoilt int
	for _, path := range segments {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if at := strings.Index(string(text), "the.metric.1"); at >= 0 {
			text[at]++
			spoilt++
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if spoilt != 1 {
		t.Fatalf("the datapoint lies in %d segments", spoilt)
	}
	stdout, _, code := fluxgate(t, p.flags("journal", "verify")...)
	if code != exitFailed || !strings.Contains(stdout, "damaged") {
		t.Errorf("journal verify exits %d and prints %q", code, stdout)
	}
	p = launch(t, fmt.Sprintf(yaml, aKey, os.Args[0], lines, ""), "--data", p.data)
	await(t, "what is left is delivered", func() bool { return p.labelled(t, "fluxgate_waiting_datapoints", "lines") == 0 })
	text, err := os.ReadFile(lines)
	if err != nil || strings.Count(string(text), "\n") != 2 || strings.Contains(string(text), "the.metric.1") {
		t.Errorf("the sink has %q, %v, want the other two", text, err)
	}
	if lost := p.labelled(t, "fluxgate_datapoints_damaged_total", "lines"); lost != 1 {
		t.Errorf("%v damaged datapoints are counted", lost)
	}
}

func TestAcknowledgementFromOutside(t *testing.T) {
	p := launch(t, fmt.Sprintf("keys: [{key: %s}]\nsinks: {lines: {plugin: %q, config: {path: %q}}}\n",
		aKey, os.Args[0], filepath.Join(t.TempDir(), "lines")))
	for ack, want := range map[string]int{"delivered": http.StatusNoContent, "durable": http.StatusNoContent, "memory": http.StatusBadRequest} {
		r, err := http.NewRequest("GET", "http://"+p.listen+"/metric_data?metric=m."+ack+"&value=1&key="+aKey, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Fluxgate-Ack", ack)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s is answered %d, want %d", ack, response.StatusCode, want)
		}
		if ack == "delivered" && p.labelled(t, "fluxgate_datapoints_taken_total", "lines") == 0 {
			t.Error("answered before the sink has it")
		}
	}
}
