package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

// aKey is a configured key; no log, error or metric may show it.
const aKey = "YOURown32charSkylineAPIkeySecret"

// fetch sends a request and returns status and body.
func fetch(t testing.TB, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// fluxgate runs a command to its end, which it must reach within a minute.
func fluxgate(t testing.TB, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, fluxgateBinary(t), args...)
	cmd.Dir = t.TempDir()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestFirstRun(t *testing.T) {
	p := launch(t, "", "--print-key")
	await(t, "a line is printed", func() bool { return strings.HasSuffix(p.stdout(), "\n") })
	line := p.stdout()
	url := regexp.MustCompile(`^curl -i '(http://[^']+)'\n$`).FindStringSubmatch(line)
	if url == nil {
		t.Fatalf("standard output is %q, want one curl line", line)
	}
	if status, body := fetch(t, url[1]); status != http.StatusNoContent {
		t.Errorf("the printed line answers %d %s", status, body)
	}
	if want := "show " + firstMetric + " --config " + p.file + " --data " + p.data; !strings.Contains(p.logged(), want) {
		t.Errorf("it does not say %q", want)
	}
	await(t, "show prints the point and a sparkline", func() bool {
		shown, _, code := fluxgate(t, "show", firstMetric, "--config", "", "--data", p.data)
		return code == 0 && regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:00  42$\n^▅$`).MatchString(shown)
	})
	info, err := os.Stat(keyFile(p.data))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v; want mode 0600", info, err)
	}
	p.stop(t)
	again := launch(t, "", "--data", p.data, "--print-key")
	key := url[1][strings.LastIndex(url[1], "=")+1:]
	await(t, "the second start prints the same key", func() bool { return strings.Contains(again.stdout(), key) })
	again.stop(t)
	quiet := launch(t, "", "--data", p.data)
	if quiet.stdout() != "" || !strings.Contains(quiet.logged(), keyFile(p.data)) {
		t.Errorf("without --print-key it prints %q and logs %s; want the file's name alone", quiet.stdout(), quiet.logged())
	}
}

func TestTwoServersNeverShareAFolder(t *testing.T) {
	p := launch(t, "")
	_, stderr, code := fluxgate(t, "serve", "--config", "", "--data", p.data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	if want := fmt.Sprintf("in use by process %d", p.cmd.Process.Pid); code != exitFailed || !strings.Contains(stderr, want) {
		t.Errorf("exits %d, says %q; want %q", code, stderr, want)
	}
	if status := p.get(t, "status"); status != http.StatusOK {
		t.Errorf("the first answers %d afterwards", status)
	}
}

// carbonYAML is a site with Redis and Carbon.
func carbonYAML(r *servers.RedisServer, c *servers.CarbonServer) string {
	return fmt.Sprintf(`
keys: [{key: %s}]
redis: {address: %q}
sinks:
  carbon: {plugin: fluxgate-sink-pickle, config: {address: %q, timeout: 2s}}
  lines: {plugin: fluxgate-sink-plaintext, config: {address: %q, timeout: 2s}}
`, aKey, r.Socket, c.Pickle, c.Line)
}

func TestCarbonDownAndBack(t *testing.T) {
	r, c := servers.Redis(t), servers.Carbon(t)
	p := launch(t, carbonYAML(r, c))
	client := redis.NewClient(&redis.Options{Addr: r.Address})
	defer client.Close()
	timestamp := time.Now().Unix() - 10
	for fault, mend := range map[string]func(){"paused": c.Continue, "killed": c.Start} {
		if fault == "paused" {
			c.Pause()
		} else {
			c.Kill()
		}
		timestamp++
		query := fmt.Sprintf("metric=end.to.end&value=1.5&timestamp=%d&key=%s", timestamp, aKey)
		for range 2 { // the second time it is a duplicate of what waits
			if status := p.get(t, query); status != http.StatusNoContent {
				t.Errorf("%s: answered %d, want 204", fault, status)
			}
		}
		if entry := client.Get(t.Context(), "flux.last.end.to.end").Val(); strings.Contains(entry, fmt.Sprint(timestamp)) {
			t.Errorf("%s: what Carbon has not taken is recorded", fault)
		}
		mend()
		await(t, "what has waited is recorded", func() bool {
			return client.Get(t.Context(), "flux.last.end.to.end").Val() == fmt.Sprintf("[%d, 1.5]", timestamp)
		})
		c.Await(t, sdk.Batch{{Metric: "end.to.end", Timestamp: timestamp, Value: 1.5}})
	}
}

// What is accepted while a sink is away outlives the server.
func TestKillWhileASinkIsAway(t *testing.T) {
	lines := filepath.Join(t.TempDir(), "lines")
	const sink = "keys: [{key: %s}]\nsinks: {lines: {plugin: %q, config: {path: %q, act: %q}}}\n"
	p := launch(t, fmt.Sprintf(sink, aKey, os.Args[0], lines, "exit"))
	for i := range 20 {
		if status := p.get(t, fmt.Sprintf("metric=m%d&value=1&key=%s", i, aKey)); status != http.StatusNoContent {
			t.Fatalf("answered %d", status)
		}
	}
	p.kill()
	launch(t, fmt.Sprintf(sink, aKey, os.Args[0], lines, ""), "--data", p.data)
	await(t, "all of it is delivered", func() bool {
		text, _ := os.ReadFile(lines) // it is made with the first line
		return strings.Count(string(text), "\n") >= 20
	})
}

func TestRedisDownAndBack(t *testing.T) {
	r := servers.Redis(t)
	lines := filepath.Join(t.TempDir(), "lines")
	p := launch(t, fmt.Sprintf("ack: delivered\nkeys: [{key: %s}]\nredis: {address: %q}\nsinks: {lines: {plugin: %q, config: {path: %q}}}\n",
		aKey, r.Address, os.Args[0], lines))
	now := time.Now().Unix()
	send := func(timestamp int64) int {
		return p.get(t, fmt.Sprintf("metric=a.b&value=1&timestamp=%d&key=%s", timestamp, aKey))
	}
	stored := func() int {
		text, _ := os.ReadFile(lines) // it is made with the first line
		return strings.Count(string(text), "\n")
	}
	r.Kill()
	for i, timestamp := range []int64{now - 2, now - 2, now - 1} {
		if status := send(timestamp); status != http.StatusNoContent {
			t.Errorf("request %d without Redis is answered %d", i, status)
		}
	}
	if got := stored(); got != 2 {
		t.Errorf("%d datapoints are stored without Redis, want 2: what this server has accepted itself is a duplicate", got)
	}
	if status := p.get(t, "status"); status != http.StatusOK {
		t.Errorf("a health check without Redis is answered %d", status)
	}
	if p.figure(t, "fluxgate_datapoints_unchecked_total") == 0 {
		t.Error("unchecked datapoints are not counted")
	}
	// The first attempt that fails from now on may have begun before the last
	// datapoint, the second has not.
	failed := p.figure(t, "fluxgate_record_failed_total")
	await(t, "recording the last datapoint has failed", func() bool {
		return p.figure(t, "fluxgate_record_failed_total") >= failed+2
	})
	r.Start()
	client := redis.NewClient(&redis.Options{Addr: r.Address})
	defer client.Close()
	await(t, "Redis has caught up", func() bool {
		return client.Get(t.Context(), "flux.last.a.b").Val() == fmt.Sprintf("[%d, 1.0]", now-1)
	})
	for _, beat := range []string{"flux.listen", "flux.worker"} {
		await(t, beat+" is set", func() bool { return client.TTL(t.Context(), beat).Val() > 60*time.Second })
	}
}

func TestSinksByTheirWeight(t *testing.T) {
	lines := filepath.Join(t.TempDir(), "lines")
	const sink = "  %s: {plugin: %q, required: %v, config: {path: %q, act: %q}}\n"
	yaml := "keys: [{key: " + aKey + "}]\nsinks:\n" + fmt.Sprintf(sink, "lines", os.Args[0], true, lines, "")
	for _, tt := range []struct {
		act      string
		required bool
		line     string // of the metrics, in the end
	}{
		{"refuse", false, `fluxgate_dead_letters{sink="other"} 1`},
		{"exit", false, `fluxgate_dead_letters{sink="other"} 1`},
		{"hang", false, `fluxgate_waiting_datapoints{sink="other"} 1`},
		{"refuse", true, `fluxgate_dead_letters{sink="other"} 1`},
		{"hang", true, `fluxgate_waiting_datapoints{sink="other"} 1`},
	} {
		t.Run(fmt.Sprintf("%s, required %v", tt.act, tt.required), func(t *testing.T) {
			p := launch(t, yaml+fmt.Sprintf(sink, "other", os.Args[0], tt.required, "", tt.act))
			if status := p.get(t, "metric=a.b&value=1&key="+aKey); status != http.StatusNoContent {
				t.Errorf("answered %d, want 204", status)
			}
			for _, line := range []string{tt.line, `fluxgate_datapoints_taken_total{sink="lines"} 1`, "fluxgate_accounting_imbalance 0"} {
				await(t, line, func() bool {
					_, metrics := fetch(t, "http://"+p.admin+"/metrics")
					return strings.Contains(metrics, line)
				})
			}
		})
	}
}

// A request that waits for a sink when the server is told to stop is answered.
func TestStopWhileASinkHangs(t *testing.T) {
	p := launch(t, fmt.Sprintf("keys: [{key: %s, ack: delivered}]\nsinks: {stuck: {plugin: %q, config: {act: hang}}}\n", aKey, os.Args[0]))
	answers := make(chan string, 1)
	go func() {
		response, err := http.Get(fmt.Sprintf("http://%s/metric_data?metric=a.b&value=1&key=%s", p.listen, aKey))
		if err != nil {
			answers <- err.Error()
			return
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		answers <- fmt.Sprint(response.Status, " ", string(body), err)
	}()
	await(t, "the datapoint waits", func() bool {
		_, metrics := fetch(t, "http://"+p.admin+"/metrics")
		return strings.Contains(metrics, `fluxgate_waiting_datapoints{sink="stuck"} 1`)
	})
	began := time.Now()
	p.stop(t)
	if got := <-answers; !strings.HasPrefix(got, "503") || !strings.Contains(got, "accepted, not yet delivered") {
		t.Errorf("answered %s, want 503", got)
	}
	if took := time.Since(began); p.err != nil || took > 10*time.Second {
		t.Errorf("left after %v with %v, want within ten seconds and without an error", took, p.err)
	}
}

func TestKeysAreNowhere(t *testing.T) {
	const wrong, secret = "WRONGkeyThatASenderHasSentByChance", "R3disPassw0rd"
	r := servers.Redis(t, "--requirepass", secret)
	p := launch(t, fmt.Sprintf("log: {level: debug}\nkeys: [{key: %s}]\nredis: {address: %q, username: default, password: %s}\n", aKey, r.Address, secret))
	url := "http://" + p.listen + "/metric_data?metric=a.b&value=1&key="
	var told strings.Builder
	for _, u := range []string{url + aKey, url + wrong, url + aKey + "&timestamp=1", url + aKey + "&foo=1"} {
		_, body := fetch(t, u)
		told.WriteString(body)
	}
	for _, body := range []string{`{"key": "` + aKey + `", "metric": "a;b", "value": 1}`, `{"key": "` + wrong + `"}`, `{"key": "` + aKey + `"`} {
		response, err := http.Post("http://"+p.listen+"/metric_data_post", "", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(response.Body)
		response.Body.Close()
		told.Write(text)
	}
	_, metrics := fetch(t, "http://"+p.admin+"/metrics")
	r.Kill()
	p.get(t, "metric=a.c&value=1&key="+aKey)
	p.stop(t)
	for where, text := range map[string]string{"log": p.logged(), "metrics": metrics, "answers": told.String(), "standard output": p.stdout()} {
		for _, key := range []string{aKey, wrong, secret} {
			if strings.Contains(text, key) {
				t.Errorf("%s shows %s:\n%s", where, key, text)
			}
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want int
	}{
		{[]string{"version"}, 0},
		{[]string{"--help"}, 0},
		{[]string{"surve"}, exitUsage},
		{[]string{"serve", "--colour"}, exitUsage},
		{[]string{"show"}, exitUsage},
		{[]string{"show", "a", "--output", "xml"}, exitUsage},
		{[]string{"check", "--config", "/nowhere.yaml"}, exitFailed},
	} {
		if _, stderr, code := fluxgate(t, tt.args...); code != tt.want {
			t.Errorf("fluxgate %v exits %d, want %d: %s", tt.args, code, tt.want, stderr)
		}
	}
}
