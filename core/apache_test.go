package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"fluxgate/core/config"
	"fluxgate/core/web"
	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

// These tests take the vhost and the configuration of an operator from the
// README. They change nothing but addresses and the paths of files.

// foreignKey is no key of the configuration.
const foreignKey = "nobody56789abcdefghijABCDEFGHIJK"

// An operator is what the README gives to one who has Apache, Redis and Carbon.
type operator struct {
	vhost string // keeps the prefix /flux
	yaml  string
	c     config.Config // what yaml says
}

func readOperator(t testing.TB) operator {
	t.Helper()
	o := operator{vhost: fenced(t, "apache"), yaml: fenced(t, "yaml")}
	file := filepath.Join(t.TempDir(), "fluxgate.yaml")
	if err := os.WriteFile(file, []byte(o.yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file, nil, nil)
	if err != nil {
		t.Fatalf("the configuration in the README: %v", err)
	}
	if len(c.Keys) != 1 || len(c.Redis.Address) != 1 || c.Redis.Password == "" || c.Sinks["carbon"].Plugin != "fluxgate-sink-pickle" {
		t.Fatalf("the configuration in the README has not one key, a Redis with a password and a sink carbon:\n%s", o.yaml)
	}
	o.c = c
	return o
}

// fenced returns the one fenced block of a language in the section about Apache.
func fenced(t testing.TB, language string) string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Behind Apache\n")
	if rest, found := strings.CutPrefix(string(text), "## Behind Apache\n"); found {
		section = rest
	}
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(section, -1)
	if len(blocks) != 1 {
		t.Fatalf("the README has %d blocks of %s under Behind Apache, want one", len(blocks), language)
	}
	return blocks[0][1]
}

// proxyPass is a line ProxyPass of the vhost, in use or not.
var proxyPass = regexp.MustCompile(`(?m)^( *)(#?)(ProxyPass http://(\S+?)(/\S*) .*)$`)

// to returns the vhost for a Fluxgate at address, with the prefix kept, or
// stripped by the line that the README offers in a comment.
func (o operator) to(t testing.TB, address string, stripped bool) string {
	t.Helper()
	lines := proxyPass.FindAllStringSubmatch(o.vhost, -1)
	if len(lines) != 2 || lines[0][2] != "" || lines[0][5] != "/flux" || lines[1][2] != "#" || lines[1][5] != "/" {
		t.Fatalf("the vhost in the README has no ProxyPass that keeps the prefix, and then one in a comment that strips it:\n%s", o.vhost)
	}
	for _, line := range lines {
		if line[4] != o.c.Listen {
			t.Fatalf("the vhost sends to %s, and Fluxgate listens on %s", line[4], o.c.Listen)
		}
	}
	vhost := o.vhost
	if stripped {
		vhost = strings.Replace(vhost, lines[0][0], lines[0][1]+"#"+lines[0][3], 1)
		vhost = strings.Replace(vhost, lines[1][0], lines[1][1]+lines[1][3], 1)
	}
	return strings.ReplaceAll(vhost, o.c.Listen, address)
}

// seconds returns a parameter of a directive. All lines of that directive must
// have the same.
func (o operator) seconds(t testing.TB, directive, parameter string) time.Duration {
	t.Helper()
	var found time.Duration
	for _, line := range regexp.MustCompile(`(?m)^[ #]*`+directive+` .*$`).FindAllString(o.vhost, -1) {
		number := regexp.MustCompile(`\b` + parameter + `=(\d+)( |$)`).FindStringSubmatch(line)
		if number == nil {
			t.Fatalf("the vhost in the README has no %s in the line %s", parameter, line)
		}
		seconds, err := time.ParseDuration(number[1] + "s")
		if err != nil || found != 0 && found != seconds {
			t.Fatalf("the vhost in the README has %s of %v and %v, %v", parameter, found, seconds, err)
		}
		found = seconds
	}
	if found == 0 {
		t.Fatalf("the vhost in the README has no %s", directive)
	}
	return found
}

// A site is an operator's machine, with one Apache that keeps the prefix and one
// that strips it.
type site struct {
	operator
	yaml     string // with the addresses of this machine
	fluxgate *process
	redis    *redis.Client
	carbon   *servers.CarbonServer
	apaches  map[string]*servers.ApacheServer
}

func startSite(t *testing.T) *site {
	t.Helper()
	o := readOperator(t)
	t.Setenv("FLUXGATE_LOG__LEVEL", "debug") // a key must not be in any log
	store := servers.Redis(t, "--requirepass", string(o.c.Redis.Password))
	s := &site{operator: o, carbon: servers.Carbon(t), apaches: map[string]*servers.ApacheServer{}}
	s.yaml = o.yaml
	for theirs, own := range map[string]string{
		o.c.Redis.Address[0]:                              store.Socket,
		fmt.Sprint(o.c.Sinks["carbon"].Config["address"]): s.carbon.Pickle,
	} {
		if strings.Count(s.yaml, theirs) != 1 {
			t.Fatalf("the configuration in the README names %s not just once", theirs)
		}
		s.yaml = strings.Replace(s.yaml, theirs, own, 1)
	}
	s.redis = redis.NewClient(&redis.Options{Network: "unix", Addr: store.Socket, Password: string(o.c.Redis.Password)})
	t.Cleanup(func() { s.redis.Close() })
	s.fluxgate = launch(t, s.yaml)
	s.apaches["kept"] = servers.Apache(t, o.to(t, s.fluxgate.listen, false))
	s.apaches["stripped"] = servers.Apache(t, o.to(t, s.fluxgate.listen, true))
	return s
}

// An exchange is a request and what must become of it.
type exchange struct {
	name   string
	method string
	target string // path and query
	header http.Header
	body   string
	status int
	answer string    // a part of it
	stores sdk.Batch // with the names that the sender gives
	fill   bool      // no trace in Redis
	bare   bool      // without a password for Apache
	chunks bool      // without a length
	asks   bool      // before it sends the body, as curl does with a large one
}

// exchanges returns every kind of request once, with metrics below a namespace.
func (s *site) exchanges(t *testing.T, namespace string) []exchange {
	key, now := string(s.c.Keys[0].Key), time.Now().Unix()
	old := now - 7200
	point := func(name string, timestamp int64, value float64) sdk.Datapoint {
		return sdk.Datapoint{Metric: namespace + "." + name, Timestamp: timestamp, Value: value}
	}
	get := func(d sdk.Datapoint, key, more string) string {
		return fmt.Sprintf("/flux/metric_data?metric=%s&timestamp=%d&value=%v&key=%s%s", d.Metric, d.Timestamp, d.Value, key, more)
	}
	one := func(d sdk.Datapoint, key, more string) string {
		return fmt.Sprintf(`{"metric": %q, "timestamp": %d, "value": %v, "key": %q%s}`, d.Metric, d.Timestamp, d.Value, key, more)
	}
	got, posted, zipped := point("get", now-1, 0.5), point("one", now-2, -1.25), point("gzip", now-3, 1e300)
	chunked, headed, largest := point("chunked", now-4, 7.5), point("header", now-5, 0.1), point("largest", now-6, 8.5)
	several := sdk.Batch{point("many.a", now-9, 1.5), point("many.b", now-8, 2.5), point("many.a", now-7, 3.5)}
	filled, refilled, unwanted := point("fill.get", old, 4.5), point("fill.post", old-60, 5.5), point("unwanted", now, 6.5)
	var large sdk.Batch
	for i := range 15_000 {
		large = append(large, point(fmt.Sprint("large.m", i%10), now-3000+int64(i/10), float64(i)+0.5))
	}
	if size := len(list(large, key, "")); size < 1<<20 {
		t.Fatalf("the large body has %d bytes only", size)
	}
	limit := int(s.c.Limits.Body)
	const target, invalidKey, tooLarge = "/flux/metric_data_post", `"invalid key"`, `"code": 413`
	return []exchange{
		{name: "GET", target: get(got, key, ""), status: 204, stores: sdk.Batch{got}},
		{name: "POST of one", method: "POST", target: target, body: one(posted, key, ""), status: 204, stores: sdk.Batch{posted}},
		{name: "POST of many", method: "POST", target: target, body: list(several, key, ""), status: 204, stores: several},
		{name: "gzip", method: "POST", target: target, body: gzipped(t, one(zipped, key, "")), header: http.Header{"Content-Encoding": {"gzip"}},
			status: 204, stores: sdk.Batch{zipped}},
		{name: "chunks", method: "POST", target: target, body: one(chunked, key, ""), chunks: true, status: 204, stores: sdk.Batch{chunked}},
		{name: "key in a header", method: "POST", target: target, body: one(headed, "", ""), header: http.Header{"Key": {key}},
			status: 204, stores: sdk.Batch{headed}},
		{name: "above 1 MiB", method: "POST", target: target, body: list(large, key, ""), status: 204, stores: large},
		{name: "GET fill", target: get(filled, key, "&fill=true"), status: 204, stores: sdk.Batch{filled}, fill: true},
		{name: "POST fill", method: "POST", target: target, body: list(sdk.Batch{refilled}, key, `, "fill": "true"`), status: 204,
			stores: sdk.Batch{refilled}, fill: true},
		{name: "GET test", target: get(unwanted, key, "&test=true"), status: 200, answer: "no metrics were ingested"},
		{name: "POST test", method: "POST", target: target, body: one(unwanted, key, `, "test": true`), status: 200, answer: "no metrics were ingested"},
		{name: "GET health", target: "/flux/metric_data?status", status: 200, answer: `{"status": "ok"}`},
		{name: "POST health", method: "POST", target: target, body: `{"status": true}`, status: 200, answer: `{"status": "ok"}`},
		{name: "validate_key", method: "POST", target: target, body: fmt.Sprintf(`{"key": %q, "validate_key": true}`, key), status: 200,
			answer: `{"status": "key valid"}`},
		{name: "GET foreign key", target: get(unwanted, foreignKey, ""), status: 401, answer: invalidKey},
		{name: "POST foreign key", method: "POST", target: target, body: one(unwanted, foreignKey, ""), status: 401, answer: invalidKey},
		{name: "no password", target: get(unwanted, key, ""), status: 401, answer: "401 Unauthorized", bare: true},
		{name: "largest", method: "POST", target: target, body: padded(one(largest, key, ""), limit), status: 204, stores: sdk.Batch{largest}},
		{name: "too large", method: "POST", target: target, body: padded(one(unwanted, key, ""), limit+1), status: 413, answer: tooLarge},
		{name: "too large, asks first", method: "POST", target: target, body: padded(one(unwanted, key, ""), limit+1), asks: true,
			status: 413, answer: tooLarge},
		{name: "too large in chunks", method: "POST", target: target, body: padded(one(unwanted, key, ""), limit+1), chunks: true,
			status: 413, answer: tooLarge},
		{name: "too large unpacked", method: "POST", target: target, body: gzipped(t, padded(one(unwanted, key, ""), limit+1)),
			header: http.Header{"Content-Encoding": {"gzip"}}, status: 413, answer: tooLarge},
	}
}

// list is the body of a POST of many.
func list(b sdk.Batch, key, more string) string {
	items := make([]string, len(b))
	for i, d := range b {
		items[i] = fmt.Sprintf(`{"metric": %q, "timestamp": %d, "value": %v%s}`, d.Metric, d.Timestamp, d.Value, more)
	}
	return fmt.Sprintf(`{"key": %q, "metrics": [%s]}`, key, strings.Join(items, ", "))
}

func padded(body string, size int) string { return body + strings.Repeat(" ", size-len(body)) }

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// ask sends a request through an Apache, and returns status and answer.
func ask(a *servers.ApacheServer, client *http.Client, e exchange) (int, string, error) {
	var body io.Reader = strings.NewReader(e.body)
	if e.chunks {
		body = io.MultiReader(body)
	}
	method := e.method
	if method == "" {
		method, body = http.MethodGet, nil
	}
	r, err := http.NewRequest(method, a.URL+e.target, body)
	if err != nil {
		return 0, "", err
	}
	for name, values := range e.header {
		r.Header[name] = values
	}
	if e.asks {
		r.Header.Set("Expect", "100-continue")
	}
	if !e.bare {
		r.SetBasicAuth(a.User, a.Password)
	}
	response, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, string(answer), err
}

// wrong describes what is wrong with an answer, or returns "".
func (e exchange) wrong(status int, answer string, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case status != e.status, e.status == 204 && answer != "", !strings.Contains(answer, e.answer):
		return fmt.Sprintf("answered %d %.300s, want %d %s", status, answer, e.status, e.answer)
	}
	return ""
}

func TestApache(t *testing.T) {
	s := startSite(t)
	var stored, filled sdk.Batch
	for _, prefix := range []string{"kept", "stripped"} {
		a, client := s.apaches[prefix], s.apaches[prefix].Client(t)
		for _, e := range s.exchanges(t, "behind."+prefix) {
			done := t.Run(prefix+"/"+e.name, func(t *testing.T) {
				if wrong := e.wrong(ask(a, client, e)); wrong != "" {
					t.Error(wrong)
				}
			})
			switch {
			case done && e.fill:
				filled = append(filled, e.stores...)
			case done:
				stored = append(stored, e.stores...)
			}
		}
		stored = append(stored, s.burst(t, a, "burst."+prefix)...)
	}
	before := s.fluxgate
	stored = append(stored, s.restart(t)...)
	s.keeps(t, stored, filled)
	s.showsNoKey(t, before.logged()+s.fluxgate.logged())
}

// burst sends a few thousand POSTs over connections that stay open, and returns
// what must have been stored.
func (s *site) burst(t *testing.T, a *servers.ApacheServer, namespace string) sdk.Batch {
	const clients, each = 16, 100
	now, client := time.Now().Unix(), a.Client(t)
	sent := make([]sdk.Batch, clients)
	t.Run(namespace, func(t *testing.T) {
		var senders sync.WaitGroup
		for c := range clients {
			senders.Go(func() {
				for i := range each {
					d := sdk.Datapoint{Metric: fmt.Sprint(namespace, ".c", c), Timestamp: now - each + int64(i), Value: float64(i) + 0.25}
					e := exchange{method: "POST", target: "/flux/metric_data_post", body: list(sdk.Batch{d}, string(s.c.Keys[0].Key), ""), status: 204}
					if wrong := e.wrong(ask(a, client, e)); wrong != "" {
						t.Errorf("client %d, POST %d: %s", c, i, wrong)
						return
					}
					sent[c] = append(sent[c], d)
				}
			})
		}
		senders.Wait()
	})
	return slices.Concat(sent...)
}

// restart stops Fluxgate and starts it again: from then on requests get through.
// It returns what must have been stored.
func (s *site) restart(t *testing.T) sdk.Batch {
	a, client := s.apaches["kept"], s.apaches["kept"].Client(t)
	b := sdk.Batch{{Metric: "behind.restart", Timestamp: time.Now().Unix() - 1, Value: 1.5}}
	e := exchange{method: "POST", target: "/flux/metric_data_post", body: list(b, string(s.c.Keys[0].Key), ""), status: 503}
	t.Run("restart", func(t *testing.T) {
		s.fluxgate.stop(t)
		if wrong := e.wrong(ask(a, client, e)); wrong != "" {
			t.Errorf("without Fluxgate: %s", wrong)
		}
	})
	s.fluxgate = launch(t, s.yaml, "--listen", s.fluxgate.listen, "--data", s.fluxgate.data)
	t.Run("after restart", func(t *testing.T) {
		e.status = 204
		if wrong := e.wrong(ask(a, client, e)); wrong != "" {
			t.Error(wrong)
		}
	})
	return b
}

// keeps compares what Carbon and Redis have with what was sent.
func (s *site) keeps(t *testing.T, stored, filled sdk.Batch) {
	all := slices.Concat(stored, filled)
	newest, metrics := map[string]sdk.Datapoint{}, map[string]bool{}
	for i := range all {
		all[i].Metric = strings.Trim(s.c.Keys[0].Prefix+"."+all[i].Metric, ".")
		metrics[all[i].Metric] = true
		if i < len(stored) {
			newest[all[i].Metric] = all[i]
		}
	}
	s.carbon.Await(t, all)
	for metric := range s.written(t) {
		if !metrics[metric] {
			t.Errorf("Carbon has %s, which nobody sent to be stored", metric)
		}
	}
	for metric, d := range newest {
		await(t, "Redis has "+metric, func() bool {
			entry, err := s.redis.Get(t.Context(), "flux.last."+metric).Result()
			field, _ := s.redis.HGet(t.Context(), "flux.last.metric_data", metric).Result()
			return err == nil && entry == fmt.Sprintf("[%d, %v]", d.Timestamp, d.Value) &&
				field == fmt.Sprintf("{'timestamp': %d, 'value': %v}", d.Timestamp, d.Value)
		})
	}
	recorded, err := s.redis.Keys(t.Context(), "flux.last.*").Result()
	if want := len(newest) + 1; err != nil || len(recorded) != want {
		t.Errorf("Redis has %d entries, %v, want %d: the metrics sent as live data, and the hash", len(recorded), err, want)
	}
	if n, err := s.redis.Exists(t.Context(), "flux.listen").Result(); n != 1 {
		t.Errorf("the health checks leave no flux.listen in Redis: %v", err)
	}
}

// written returns the metrics that Carbon has files of, but for its own.
func (s *site) written(t *testing.T) map[string]bool {
	t.Helper()
	metrics := map[string]bool{}
	root := os.DirFS(s.carbon.Whisper)
	err := fs.WalkDir(root, ".", func(path string, _ fs.DirEntry, err error) error {
		if name, found := strings.CutSuffix(path, ".wsp"); found && !strings.HasPrefix(path, "carbon/") {
			metrics[strings.ReplaceAll(name, "/", ".")] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return metrics
}

// showsNoKey looks for keys in all logs.
func (s *site) showsNoKey(t *testing.T, logged string) {
	for prefix, a := range s.apaches {
		await(t, "Apache logs the requests", func() bool {
			return strings.Contains(a.Logged(t), `" 204 `) && strings.Contains(a.Logged(t), `" 413 `)
		})
		if found := keyIn(a.Logged(t), string(s.c.Keys[0].Key), foreignKey); found != "" {
			t.Errorf("%s: Apache logs a key: %s", prefix, found)
		}
	}
	if found := keyIn(logged, string(s.c.Keys[0].Key), foreignKey); found != "" {
		t.Errorf("Fluxgate logs a key: %s", found)
	}
}

// keyIn returns the first line that has one of the keys.
func keyIn(logged string, keys ...string) string {
	for line := range strings.Lines(logged) {
		if slices.ContainsFunc(keys, func(key string) bool { return strings.Contains(line, key) }) {
			return line
		}
	}
	return ""
}

// What Apache logs by itself, about requests that go wrong, has no key either.
func TestApacheErrorsShowNoKey(t *testing.T) {
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		panic(http.ErrAbortHandler) // the connection ends without an answer
	}))
	t.Cleanup(behind.Close)
	o := readOperator(t)
	a := servers.Apache(t, o.to(t, behind.Listener.Addr().String(), false))
	client, query := a.Client(t), "?metric=a&value=1&key="+foreignKey
	for _, e := range []exchange{
		{target: "/flux/metric_data" + query, status: 502},
		{target: "/flux/metric_data" + query, status: 401, header: http.Header{
			"Authorization": {"Basic d3Jvbmc6d3Jvbmc="}, "Referer": {a.URL + "/flux/metric_data" + query},
		}, bare: true},
		{target: "/flux/metric_data" + query + strings.Repeat("0", 10_000), status: 414},
		{target: "/flux/..%2f..%2f" + query, status: 404},
	} {
		if wrong := e.wrong(ask(a, client, e)); wrong != "" {
			t.Errorf("%.60s: %s", e.target, wrong)
		}
	}
	await(t, "Apache logs each of them", func() bool {
		logged := a.Logged(t)
		return strings.Contains(logged, `" 414 `) && strings.Contains(logged, `" 404 `) && strings.Contains(logged, "AH01102") && strings.Contains(logged, "AH01618")
	})
	if found := keyIn(a.Logged(t), foreignKey); found != "" {
		t.Errorf("Apache logs a key: %s", found)
	}
}

func TestApacheUsesConnectionsAgain(t *testing.T) {
	var connections atomic.Int64
	behind := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
	behind.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	behind.Start()
	t.Cleanup(behind.Close)
	a := servers.Apache(t, readOperator(t).to(t, behind.Listener.Addr().String(), false))
	client := a.Client(t)
	for range 50 {
		e := exchange{method: "POST", target: "/flux/metric_data_post", body: "{}", status: 204}
		if wrong := e.wrong(ask(a, client, e)); wrong != "" {
			t.Fatal(wrong)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("Apache made %d connections for 50 requests that came over one", n)
	}
}

// An older Apache avoids for a minute what has refused a connection, and a newer
// one does when told so.
func TestApacheTriesAgainAtOnce(t *testing.T) {
	noContent := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	behind := httptest.NewServer(noContent)
	address := behind.Listener.Addr().String()
	behind.Close()
	a := servers.Apache(t, strings.ReplaceAll(readOperator(t).to(t, address, false), " retry=", " status=-I retry="))
	client, e := a.Client(t), exchange{target: "/flux/metric_data", status: 503}
	if wrong := e.wrong(ask(a, client, e)); wrong != "" {
		t.Error(wrong)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	again := &httptest.Server{Listener: listener, Config: &http.Server{Handler: noContent}}
	again.Start()
	t.Cleanup(again.Close)
	e.status = 204
	if wrong := e.wrong(ask(a, client, e)); wrong != "" {
		t.Error(wrong)
	}
}

// Apache must give up a connection before Fluxgate does, or a sender gets a 502:
// one that is idle, and one with a body still to come. For an answer it must wait
// longer than Fluxgate takes. The clock of this test is not the real one.
func TestApacheTimesFitFluxgate(t *testing.T) {
	o := readOperator(t)
	ttl, timeout := o.seconds(t, "ProxyPass", "ttl"), o.seconds(t, "ProxyPass", "timeout")
	body := o.seconds(t, "RequestReadTimeout", "body")
	synctest.Test(t, func(t *testing.T) {
		l := &pipes{made: make(chan net.Conn), closed: make(chan struct{})}
		ctx, stop := context.WithCancel(t.Context())
		var serving sync.WaitGroup
		serving.Go(func() {
			if err := web.Serve(ctx, l, http.HandlerFunc(reads(timeout))); err != nil {
				t.Error(err)
			}
		})
		conn := l.dial()
		if err := errors.Join(post(conn, "/", 0), post(conn, "/", body)); err != nil {
			t.Fatalf("Fluxgate does not wait %v for a body, as Apache does: %v", body, err)
		}
		time.Sleep(ttl)
		if err := post(conn, "/", 0); err != nil {
			t.Fatalf("Fluxgate closes a connection that Apache may use for %v: %v", ttl, err)
		}
		if err := post(conn, "/late", 0); err == nil {
			t.Errorf("Fluxgate still answers after %v, when Apache has given up", timeout)
		}
		conn.Close()
		stop()
		serving.Wait()
	})
}

// reads answers when it has read the body; on /late, only after late.
func reads(late time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		if r.URL.Path == "/late" {
			time.Sleep(late)
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

// post sends a request over conn, a part of its body after a pause, and reads
// its answer.
func post(conn net.Conn, path string, pause time.Duration) error {
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{", path); err != nil {
		return err
	}
	time.Sleep(pause)
	if _, err := io.WriteString(conn, "}"); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	return answer.Body.Close()
}

// pipes is a listener in memory.
type pipes struct {
	made   chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) dial() net.Conn {
	near, far := net.Pipe()
	p.made <- far
	return near
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.made:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }
