package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// written returns the path of a file with text in it.
func written(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fluxgate.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// loaded returns the configuration of a file and an environment.
func loaded(t testing.TB, text string, environ ...string) Config {
	t.Helper()
	c, err := Load(written(t, text), nil, environ)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func embedded(t *testing.T, data string) Config {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Listen: "127.0.0.1:8000", Admin: "127.0.0.1:8001", Data: data,
		Redis:    Redis{Hash: true},
		Runtime:  Runtime{DataSockets: true},
		Ledger:   Ledger{Mode: LedgerLocal, Metrics: 1_000_000},
		Validate: Validate{MaxAge: time.Hour, MaxAhead: time.Minute},
		Ack:      AckDurable,
		Limits:   Limits{Body: 32 << 20, Inflight: 256 << 20, Journal: 4 << 30, Backfill: 10000},
		Plugins:  []string{filepath.Join(filepath.Dir(program), "plugins"), "/usr/lib/fluxgate/plugins"},
		Inputs: map[string]Input{"flux": {
			Plugin: "fluxgate-input-flux", Routes: []string{"GET /metric_data", "POST /metric_data_post"}, Config: Settings{},
		}},
		Sinks: map[string]Sink{"whisper": {
			Plugin: "fluxgate-sink-whisper", Required: true,
			Config: Settings{"path": filepath.Join(data, "whisper"), "retentions": "60s:1d,10m:7d,1h:90d"},
		}},
		Resamplers: map[string]Resampler{"mean": {Plugin: "fluxgate-resampler-basic", Config: Settings{"method": "mean"}}},
		Populate: Populate{
			Step: time.Minute, Resampler: "mean", Sink: "whisper",
			Concurrency: 4, PerHost: 2, Creates: 40, Patience: 24 * time.Hour,
			Limits: PopulateLimits{Answer: 256 << 20, Points: 10000000, Windows: 400, Time: 5 * time.Minute},
			Schema: Schema{Aggregation: "average", XFilesFactor: 0.5},
		},
	}
}

func TestDefaults(t *testing.T) {
	for name, text := range map[string]string{
		"an empty file":              "",
		"comments alone":             "# nothing\n# here\n",
		"a null document":            "---\n",
		"an empty section":           "{}\n",
		"settings without values":    "listen:\nredis:\nvalidate:\nlog:\nkeys:\nlimits: {body: }\npopulate: {allow: , schema: , limits: {points: }}\n",
		"the defaults as documented": "listen: 127.0.0.1:8000\nredis: {address: \"\", tls: {enabled: false, ca: \"\"}, hash: true, expire: 0s}\nledger: {mode: \"\", metrics: 1000000}\nlimits: {body: 32MiB, inflight: 256MiB}\nlog: {level: info}\n",
	} {
		t.Run(name, func(t *testing.T) { equal(t, loaded(t, text), embedded(t, "./data")) })
	}
	t.Run("no file", func(t *testing.T) {
		c, err := Load("", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, c, embedded(t, "./data"))
	})
	t.Run("the whisper tree is in the final data", func(t *testing.T) {
		c, err := Load(written(t, "data: /file"), map[string]any{"data": "flag"}, []string{"FLUXGATE_DATA=/variable"})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, c, embedded(t, "flag"))
	})
}

// equal compares without printing: a Config hides what may differ.
func equal(t *testing.T, got, want Config) {
	t.Helper()
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range g.NumField() {
		if !reflect.DeepEqual(g.Field(i).Interface(), w.Field(i).Interface()) {
			t.Errorf("%s: got %#v, want %#v", g.Type().Field(i).Name, g.Field(i), w.Field(i))
		}
	}
}

func TestLedgerIsSharedWhereOthersMayBe(t *testing.T) {
	for text, want := range map[string]string{
		"redis: {address: \"\"}":    LedgerLocal,
		"ledger: {mode: local}":     LedgerLocal,
		"ledger: {mode: }":          LedgerLocal,
		"redis: {address: \"h:1\"}": LedgerShared,
		"redis: {address: \"h:1\"}\nledger: {mode: shared, metrics: 1000}": LedgerShared,
		"redis: {address: \"h:1\"}\nledger: {mode: local}":                 LedgerLocal,
	} {
		if got := loaded(t, text).Ledger.Mode; got != want {
			t.Errorf("%s: the mode is %s, want %s", text, got, want)
		}
	}
}

func TestLayers(t *testing.T) {
	path := written(t, "listen: 127.0.0.1:1\nadmin: 127.0.0.1:2\ndata: /file\nlog: {level: warn}\n")
	environ := []string{"FLUXGATE_ADMIN=127.0.0.1:3", "FLUXGATE_DATA=/variable", "HOME=/root", "FLUXGATES=1"}
	c, err := Load(path, map[string]any{"data": "/flag"}, environ)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.Listen, c.Admin, c.Data, c.Log.Level.String(), strings.Join(c.Redis.Address, ",")}
	want := []string{"127.0.0.1:1", "127.0.0.1:3", "/flag", "WARN", ""}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEnvironment(t *testing.T) {
	const text = `
redis: {address: "127.0.0.1:6379", expire: 1h}
inputs:
  flux: {plugin: fluxgate-input-flux, routes: [POST /a]}
sinks:
  carbon: {plugin: fluxgate-sink-pickle, config: {address: "127.0.0.1:2004", timeout: 5s, list: [a]}}
  carbon-b: {plugin: fluxgate-sink-pickle, config: {maxFrame: 1}}
`
	c := loaded(t, text,
		"FLUXGATE_REDIS__ADDRESS=/run/redis.sock", "FLUXGATE_REDIS__PASSWORD=0123", "FLUXGATE_REDIS__DATABASE=3", "FLUXGATE_REDIS__HASH=false",
		"FLUXGATE_VALIDATE__MAX_AGE=2h", "FLUXGATE_LIMITS__BODY=1MiB", "FLUXGATE_LOG__LEVEL=DEBUG",
		"FLUXGATE_PLUGINS=/a, /b", "FLUXGATE_INPUTS__FLUX__ROUTES=GET /a,POST /b",
		"FLUXGATE_SINKS__CARBON__CONFIG__ADDRESS=10.0.0.5:2004,10.0.0.6:2004", "FLUXGATE_SINKS__CARBON__CONFIG__LIST=b,c",
		"FLUXGATE_SINKS__CARBON_B__CONFIG__MAXFRAME=2", "FLUXGATE_SINKS__CARBON_B__REQUIRED=false", "FLUXGATE_SINKS__CARBON_B__CONFIG__maxWait=1s",
		"FLUXGATE_SINKS__NEW__PLUGIN=/opt/new", "FLUXGATE_SINKS__NEW__CONFIG__TLS__CA=x")
	want := embedded(t, "./data")
	want.Ledger.Mode = LedgerShared
	want.Redis = Redis{Address: []string{"/run/redis.sock"}, Password: "0123", Database: 3, Expire: time.Hour}
	want.Validate.MaxAge = 2 * time.Hour
	want.Limits.Body = MiB
	want.Log.Level = slog.LevelDebug
	want.Plugins = []string{"/a", "/b"}
	want.Inputs = map[string]Input{"flux": {Plugin: "fluxgate-input-flux", Routes: []string{"GET /a", "POST /b"}}}
	want.Sinks = map[string]Sink{
		"carbon": {Plugin: "fluxgate-sink-pickle", Required: true,
			Config: Settings{"address": "10.0.0.5:2004,10.0.0.6:2004", "timeout": "5s", "list": []any{"b", "c"}}},
		"carbon-b": {Plugin: "fluxgate-sink-pickle", Config: Settings{"maxFrame": "2", "maxWait": "1s"}},
		"new":      {Plugin: "/opt/new", Required: true, Config: Settings{"tls": map[string]any{"ca": "x"}}},
	}
	want.Populate.Sink = ""
	equal(t, c, want)
}

func TestGivenSectionsReplaceDefaults(t *testing.T) {
	c := loaded(t, "plugins: /only\nsinks: {a: {plugin: x}, b: {plugin: y, required: }, c: {plugin: z, required: false}}\ninputs: {i: {plugin: x, routes: GET /a}}")
	want := embedded(t, "./data")
	want.Plugins = []string{"/only"}
	want.Sinks = map[string]Sink{"a": {Plugin: "x", Required: true}, "b": {Plugin: "y", Required: true}, "c": {Plugin: "z"}}
	want.Populate.Sink = ""
	want.Inputs = map[string]Input{"i": {Plugin: "x", Routes: []string{"GET /a"}}}
	equal(t, c, want)
}

func TestRedisAddresses(t *testing.T) {
	for text, want := range map[string][]string{
		`redis: {address: ""}`:                 nil,
		`redis: {address: }`:                   nil,
		`redis: {address: []}`:                 nil,
		`redis: {address: "h:1"}`:              {"h:1"},
		`redis: {address: ["h:1"]}`:            {"h:1"},
		`redis: {address: ["h:1", "[::1]:2"]}`: {"h:1", "[::1]:2"},
	} {
		if c := loaded(t, text); !reflect.DeepEqual(c.Redis.Address, want) {
			t.Errorf("%s: got %q, want %q", text, c.Redis.Address, want)
		}
	}
	const text = "redis: {address: [\"a:1\", \"b:2\"], tls: {enabled: true}}"
	for value, want := range map[string][]string{"c:3": {"c:3"}, "c:3, d:4,e:5": {"c:3", "d:4", "e:5"}} {
		c := loaded(t, text, "FLUXGATE_REDIS__ADDRESS="+value, "FLUXGATE_REDIS__TLS__CA=/ca.pem")
		if !reflect.DeepEqual(c.Redis.Address, want) || c.Redis.TLS != (TLS{Enabled: true, CA: "/ca.pem"}) {
			t.Errorf("%s: got %q and %+v, want %q with TLS", value, c.Redis.Address, c.Redis.TLS, want)
		}
	}
	if c := loaded(t, "redis: {address: [\"a:1\", \"b:2\"]}", "FLUXGATE_REDIS__ADDRESS="); c.Redis.Address != nil {
		t.Errorf("an empty variable leaves %q", c.Redis.Address)
	}
}

// What an operator with Apache in front, Redis and Carbon writes.
const operator = `listen: 127.0.0.1:8000
data: /var/lib/fluxgate
keys:
  - key: YOURown32charSkylineAPIkeySecret
    prefix: acme
redis:
  address: /run/redis/redis.sock
  password: hunter2
sinks:
  carbon:
    plugin: fluxgate-sink-pickle
    config: {address: "127.0.0.1:2004"}
`

func TestOperatorsFile(t *testing.T) {
	if n := strings.Count(operator, "\n"); n != 12 {
		t.Errorf("the example has %d lines, not twelve", n)
	}
	want := embedded(t, "/var/lib/fluxgate")
	want.Keys = []Key{{Key: "YOURown32charSkylineAPIkeySecret", Prefix: "acme"}}
	want.Ledger.Mode = LedgerShared
	want.Redis = Redis{Address: []string{"/run/redis/redis.sock"}, Password: "hunter2", Hash: true}
	want.Sinks = map[string]Sink{"carbon": {Plugin: "fluxgate-sink-pickle", Required: true, Config: Settings{"address": "127.0.0.1:2004"}}}
	want.Populate.Sink = "carbon"
	equal(t, loaded(t, operator), want)
}

func TestSecretsAreNotShown(t *testing.T) {
	c := loaded(t, operator+`resamplers: {mean: {plugin: x, config: {licence: hunter2}}}
populate:
  remotes: [{host: a, user: u, password: hunter2}, {host: b, token: hunter2}]
`, "FLUXGATE_SINKS__CARBON__CONFIG__PASSWORD=hunter2")
	show := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for name, value := range map[string]any{"config": c, "pointer": &c, "key": c.Keys[0], "keys": c.Keys, "redis": c.Redis,
			"password": c.Redis.Password, "sink": c.Sinks["carbon"], "settings": c.Sinks["carbon"].Config,
			"resampler": c.Resamplers["mean"], "populate": c.Populate, "remotes": c.Populate.Remotes, "remote": c.Populate.Remotes[1]} {
			show[name+" "+verb] = fmt.Sprintf(verb, value)
		}
	}
	for name, value := range map[string]any{"config": c, "key": c.Keys[0], "password": c.Redis.Password, "settings": c.Sinks["carbon"].Config,
		"resampler": c.Resamplers["mean"], "populate": c.Populate, "remote": c.Populate.Remotes[1]} {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		show[name+" json"] = string(text)
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "value", value)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "value", value)
		show[name+" slog"] = log.String()
	}
	for how, text := range show {
		for _, secret := range []string{"hunter2", "68756e74657232", "YOURown32", "594f5552", "104 117"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows a secret: %s", how, text)
			}
		}
	}
	for how, part := range map[string]string{"config %+v": "acme", "redis json": "", "config json": hidden, "settings %v": "[address password]",
		"remote json": hidden, "remotes %+v": "User:u", "resampler %v": "[licence]"} {
		if !strings.Contains(show[how], part) {
			t.Errorf("%s: %q lacks %q", how, show[how], part)
		}
	}
	if shown := fmt.Sprint(Redis{}); strings.Contains(shown, hidden) {
		t.Errorf("an empty password is shown as if there was one: %s", shown)
	}
	if text, err := json.Marshal(map[string]any(c.Sinks["carbon"].Config)); err != nil || !strings.Contains(string(text), "hunter2") {
		t.Errorf("a plugin would not be given its settings: %s, %v", text, err)
	}
}

func TestFile(t *testing.T) {
	path := written(t, "")
	if got := existing(path); got != path {
		t.Errorf("existing file: got %q, want %q", got, path)
	}
	if got := existing(path + ".other"); got != "" {
		t.Errorf("missing file: got %q, want none", got)
	}
	if got := existing(path + "/below"); got == "" {
		t.Error("a path that cannot be looked at counts as missing")
	}
}
