package config

import (
	"strings"
	"testing"
)

// refused loads a file and an environment and compares the error, in which FILE
// stands for the file.
func refused(t *testing.T, text string, environ []string, want string) {
	t.Helper()
	path := written(t, text)
	_, err := Load(path, nil, environ)
	if err == nil {
		t.Errorf("%s %s: accepted, want\n%s", text, environ, want)
		return
	}
	if got := strings.ReplaceAll(err.Error(), path, "FILE"); got != want {
		t.Errorf("%s %s: got\n%s\nwant\n%s", text, environ, got, want)
	}
}

func TestRefusedSettings(t *testing.T) {
	long := strings.Repeat("a", 201)
	for text, want := range map[string]string{
		`listen: nonsense`:        `listen: "nonsense" is not host:port: write it like 127.0.0.1:8000`,
		`listen: 8000`:            `listen: must be text: put it in quotes`,
		`listen: "a b:80"`:        `listen: "a b:80" has no host name or address before the port: write it like 127.0.0.1:8000`,
		`listen: 127.0.0.1:70000`: `listen: "127.0.0.1:70000" has no port from 0 to 65535: write it like 127.0.0.1:8000`,
		`admin: localhost:http`:   `admin: "localhost:http" has no port from 0 to 65535: write it like 127.0.0.1:8000`,
		`admin: ""`:               `admin: "" is not host:port: write it like 127.0.0.1:8000`,
		`admin: 127.0.0.1:8000`:   `admin: "127.0.0.1:8000" is taken by listen: give it another port`,
		`listen: :8001`:           `admin: "127.0.0.1:8001" is taken by listen: give it another port`,
		`listen: "[::]:8001"`:     `admin: "127.0.0.1:8001" is taken by listen: give it another port`,
		`data: ""`:                `data: is empty: name a folder, such as ./data`,

		`keys: abc`:                            `keys: must be a list: put each item on a line of its own, behind a dash`,
		`keys: {key: abc}`:                     `keys: must be a list: put each item on a line of its own, behind a dash`,
		`keys: [null]`:                         `keys[0]: is empty: give it a value or remove it`,
		`keys: [text]`:                         `keys[0]: must be a section: indent its settings below it, each as name: value`,
		`keys: [{prefix: a}]`:                  `keys[0].key: is empty: give a key, or remove the item`,
		`keys: [{key: a}, {key: " "}]`:         `keys[1].key: is empty: give a key, or remove the item`,
		`keys: [{key: 0123}]`:                  `keys[0].key: must be text: put it in quotes`,
		`keys: [{key: a}, {key: b}, {key: a}]`: `keys[2].key: is the key of keys[0] again: remove one of them`,
		`keys: [{key: hello}, {key: "sha256:2CF24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}]`: `keys[1].key: is the key of keys[0] again: remove one of them`,
		`keys: [{key: "sha256:12"}]`:             `keys[0].key: begins with sha256: and must go on with 64 hexadecimal digits: take them from printf %s KEY | sha256sum`,
		`keys: [{hidden: acme}]`:                 `keys[0]: has another setting than key, prefix, ack and hosts: write those alone`,
		`keys: [{key: a, prefix: a..b}]`:         `keys[0].prefix: "a..b" has a dot too many: put single dots, and only between elements`,
		`keys: [{key: a, prefix: .a}]`:           `keys[0].prefix: ".a" has a dot too many: put single dots, and only between elements`,
		`keys: [{key: a, prefix: a.}]`:           `keys[0].prefix: "a." has a dot too many: put single dots, and only between elements`,
		`keys: [{key: a, prefix: a b}]`:          `keys[0].prefix: "a b" has a character that metrics cannot have: use letters, digits and + - % . _ / = :`,
		`keys: [{key: a, prefix: ü}]`:            `keys[0].prefix: "ü" has a character that metrics cannot have: use letters, digits and + - % . _ / = :`,
		`keys: [{key: a, prefix: "a\n"}]`:        `keys[0].prefix: "a\n" has a character that metrics cannot have: use letters, digits and + - % . _ / = :`,
		`keys: [{key: a, prefix: ` + long + `}]`: `keys[0].prefix: "` + long + `" is longer than 200 characters: shorten it`,

		`ledger: {mode: both}`:                              `ledger.mode: "both" is no mode: write local if this Fluxgate alone uses the ledger, else shared`,
		`ledger: {mode: shared}`:                            `ledger.mode: is shared, and without Redis nobody shares the ledger: set redis.address, or remove it`,
		`ledger: {metrics: 999}`:                            `ledger.metrics: 999 is out of range: give at least 1000 and at most 1000000000`,
		`ledger: {metrics: 2e9}`:                            `ledger.metrics: "2e+09" is not a whole number: write one, such as 0`,
		`ledger: {metrics: 2000000000}`:                     `ledger.metrics: 2000000000 is out of range: give at least 1000 and at most 1000000000`,
		`redis: {address: localhost}`:                       `redis.address: "localhost" is neither host:port nor the path of a socket: write it like 127.0.0.1:6379 or /run/redis/redis.sock`,
		`redis: {address: run/x.sock}`:                      `redis.address: "run/x.sock" is neither host:port nor the path of a socket: write it like 127.0.0.1:6379 or /run/redis/redis.sock`,
		`redis: {address: "h:0"}`:                           `redis.address: "h:0" needs a host and a port: write it like 127.0.0.1:6379`,
		`redis: {address: ":6379"}`:                         `redis.address: ":6379" needs a host and a port: write it like 127.0.0.1:6379`,
		`redis: {address: /` + long + `}`:                   `redis.address: "/` + long + `" is longer than the 107 bytes of a socket's path: move the socket`,
		`runtime: {gomaxprocs: -1}`:                         `runtime.gomaxprocs: -1 is out of range: give at most 1024, or 0 for as many as there are processors`,
		`runtime: {gogc: 5}`:                                `runtime.gogc: 5 is out of range: give a percentage from 10 to 10000, or 0 for what is best as a rule`,
		`redis: {address: "redis://:hunter2@h:1"}`:          `redis.address: is a URL: write host:port alone, and username, password and database as settings beside it`,
		`redis: {password: b}`:                              `redis.password: is for a Redis that is not named: set redis.address, or remove it`,
		`redis: {username: a}`:                              `redis.username: is for a Redis that is not named: set redis.address, or remove it`,
		`redis: {username: a, address: "h:1"}`:              `redis.username: has no password: set redis.password too, or remove it`,
		`redis: {password: [hunter2]}`:                      `redis.password: must be text: put it in quotes`,
		`redis: {database: -1}`:                             `redis.database: -1 is negative: give the number of a database, such as 0`,
		`redis: {database: 1.5}`:                            `redis.database: "1.5" is not a whole number: write one, such as 0`,
		`redis: {hash: 2}`:                                  `redis.hash: "2" is neither true nor false: write one of them`,
		`redis: {expire: 60}`:                               `redis.expire: "60" is not a duration: write a number with its unit, such as 60s or 1h30m`,
		`redis: {expire: 500us}`:                            `redis.expire: 500µs is not a number of whole seconds: write it like 24h, or 0s for never`,
		`redis: {expire: 1500ms}`:                           `redis.expire: 1.5s is not a number of whole seconds: write it like 24h, or 0s for never`,
		`redis: {expire: -1s}`:                              `redis.expire: -1s is not a number of whole seconds: write it like 24h, or 0s for never`,
		`redis: {address: ["h:1", "x"]}`:                    `redis.address[1]: "x" is neither host:port nor the path of a socket: write it like 127.0.0.1:6379 or /run/redis/redis.sock`,
		`redis: {address: ["h:1", ""]}`:                     `redis.address[1]: is empty: name a node of the cluster, or remove it`,
		`redis: {address: ["h:1", null]}`:                   `redis.address[1]: is empty: give it a value or remove it`,
		`redis: {address: ["h:1", 2]}`:                      `redis.address[1]: must be text: put it in quotes`,
		`redis: {address: ["h:1", /x.sock]}`:                `redis.address[1]: "/x.sock" is a socket, and several addresses are a cluster: give it alone, or each node as host:port`,
		`redis: {address: ["h:1", "redis://:hunter2@h:1"]}`: `redis.address[1]: is a URL: write host:port alone, and username, password and database as settings beside it`,
		`redis: {address: ["h:1", "h:2"], database: 1}`:     `redis.database: is 1, and a cluster, which several addresses are, has only database 0: remove it`,
		`redis: {tls: {enabled: true}}`:                     `redis.tls.enabled: is for a Redis that is not named: set redis.address, or remove it`,
		`redis: {address: /x.sock, tls: {enabled: true}}`:   `redis.tls.enabled: is true, and redis.address is a socket, which has no TLS: remove it, or give host:port`,
		`redis: {address: "h:1", tls: {ca: /ca.pem}}`:       `redis.tls.ca: has no effect: set redis.tls.enabled to true, or remove it`,
		`redis: {address: "h:1", tls: true}`:                `redis.tls: must be a section: indent its settings below it, each as name: value`,
		`redis: [{adress: x}]`:                              `redis: must be a section: indent its settings below it, each as name: value`,

		`validate: {max_age: 0s}`:                    `validate.max_age: 0s is not a number of whole seconds above zero: write it like 60s or 1h`,
		`validate: {max_ahead: -1s}`:                 `validate.max_ahead: -1s is not a number of whole seconds above zero: write it like 60s or 1h`,
		`validate: {max_age: 1ms}`:                   `validate.max_age: 1ms is not a number of whole seconds above zero: write it like 60s or 1h`,
		`validate: {max_age: soon}`:                  `validate.max_age: "soon" is not a duration: write a number with its unit, such as 60s or 1h30m`,
		`limits: {body: 0}`:                          `limits.body: 0 is out of range: give at least 1 byte and at most 1GiB`,
		`limits: {body: 1073741825, inflight: 2GiB}`: `limits.body: 1073741825 is out of range: give at least 1 byte and at most 1GiB`,
		`limits: {inflight: 31MiB}`:                  `limits.inflight: 31MiB is less than one request may have: give at least limits.body, which is 32MiB`,
		`limits: {body: 32MB}`:                       `limits.body: "32MB" is not a size: write whole bytes, or a whole number of KiB, MiB, GiB or TiB, such as 32MiB`,
		`limits: {body: 1.5}`:                        `limits.body: must be a size: write whole bytes, or a whole number of KiB, MiB, GiB or TiB, such as 32MiB`,
		`limits: {journal: 511MiB}`:                  `limits.journal: 511MiB is too small: give at least 16MiB and 16 times limits.body, which makes 512MiB`,
		`limits: {body: 1MiB, journal: 15MiB}`:       `limits.journal: 15MiB is too small: give at least 16MiB and 16 times limits.body, which makes 16MiB`,
		`ack: memory`:                                `ack: "memory" is no acknowledgement: write durable or delivered`,
		`keys: [{key: a, ack: never}]`:               `keys[0].ack: "never" is no acknowledgement: write durable or delivered`,
		`sinks: {a: {plugin: x, rate: -1}}`:          `sinks.a.rate: -1 is negative: give the most datapoints in a second, or 0 for as many as it takes`,
		`log: {level: loud}`:                         `log.level: "loud" is not a level: write debug, info, warn or error`,
		`log: info`:                                  `log: must be a section: indent its settings below it, each as name: value`,
		`plugins: []`:                                `plugins: names no folder: name one, or leave the setting out for the default`,
		`plugins: [a, ""]`:                           `plugins[1]: is empty: name a folder or remove it`,

		`inputs: {}`:                                   `inputs: names no input: name one, or leave the section out for the default`,
		`sinks:`:                                       `sinks: names no sink: name one, or leave the section out for the default`,
		`sinks: [{carbon: {plugin: x}}]`:               `sinks: must be a section: indent its settings below it, each as name: value`,
		`sinks: {carbon: }`:                            `sinks.carbon.plugin: is empty: name a program of a folder in plugins, or give its path`,
		`sinks: {carbon: pickle}`:                      `sinks.carbon: must be a section: indent its settings below it, each as name: value`,
		`sinks: {a: {plugin: x, config: [1]}}`:         `sinks.a.config: must be a section: indent its settings below it, each as name: value`,
		`sinks: {a: {plugin: x, required: 5}}`:         `sinks.a.required: "5" is neither true nor false: write one of them`,
		`sinks: {a.b: {plugin: x}}`:                    `sinks.a.b: the name "a.b" has another character than letters, digits, - and _: rename it`,
		`sinks: {"": {plugin: x}}`:                     `sinks.: the name "" has another character than letters, digits, - and _: rename it`,
		`"-": x`:                                       `unknown setting "-": did you mean "ack"?`,
		`sinks: {a: {plugin: x, checksum: abc}}`:       `sinks.a.checksum: "abc" is not a sha256: give the 64 hexadecimal digits that sha256sum prints`,
		`inputs: {ö: {plugin: x, routes: GET /a}}`:     `inputs.ö: the name "ö" has another character than letters, digits, - and _: rename it`,
		`inputs: {flux: {plugin: x}}`:                  `inputs.flux.routes: names no route: name one, such as POST /metrics`,
		`inputs: {flux: {plugin: "", routes: GET /a}}`: `inputs.flux.plugin: is empty: name a program of a folder in plugins, or give its path`,
		`inputs: {a: {plugin: x, routes: GET /a}, b: {plugin: x, routes: [GET /b, GET /a]}}`: `inputs.b.routes[1]: "GET /a" is served by inputs.a.routes[0] already: remove one of them`,
	} {
		refused(t, text, nil, want)
	}
}

func TestRefusedRoutes(t *testing.T) {
	const (
		form   = `is not a method and a path: write it like POST /metrics`
		method = `has a method that is not served: use GET, POST, PUT, PATCH or DELETE, in capitals`
		slash  = `has a slash too many: put single slashes, and none at the end`
		other  = `has a character that stands for something else in a path: use letters, digits and - . _ ~ ! $ & ' ( ) * + , ; = : @`
		dots   = `has an element of dots alone: write the path in full`
		flux   = `begins with /flux: leave that away, each route is served under /flux as well`
		jobs   = `is Fluxgate's own, for jobs: choose another path`
	)
	for route, want := range map[string]string{
		"": form, "/a": form, "GET": form, "GET a": form, "GET  /a": form, "GET\t/a": form,
		"get /a": method, "HEAD /a": method, "OPTIONS /a": method, "CONNECT /a": method, "TRACE /a": method, "GTE /a": method,
		"GET /": slash, "GET /a/": slash, "GET //a": slash, "GET /a//b": slash,
		"GET /a/{b}": other, "GET /a b": other, "GET /a?b": other, "GET /a%20": other, "GET /ä": other, "GET /a\n": other,
		"GET /./a": dots, "GET /a/..": dots, "GET /flux/a": flux, "POST /populate_metric": jobs, "GET /populate_metric/x": jobs,
		"GET /metric_data": "", "POST /api/v2/write": "", "PUT /a.b-c_d~": "", "PATCH /fluxx": "", "DELETE /a": "",
	} {
		if got := misrouted(route); got != want {
			t.Errorf("%q: got %q, want %q", route, got, want)
		}
	}
}

func TestUnknownSettingsAreNamedWithTheNearest(t *testing.T) {
	refused(t, "redis: {adress: x}\nlimits: {journl: 4GiB}\nlisten_: x\nsinks: {carbon: {plugn: x}}\nlog: {level: loud}", nil,
		`log.level: "loud" is not a level: write debug, info, warn or error
unknown setting "limits.journl": did you mean "limits.journal"?
unknown setting "listen_": did you mean "listen"?
unknown setting "redis.adress": did you mean "redis.address"?
unknown setting "sinks.carbon.plugn": did you mean "sinks.carbon.plugin"?`)
	for _, later := range []string{"journal: {}", "redis: {tls: {cert: x}}", "populate: {window: 1h}", "resamplers: {a: {routes: x}}", "sinks: {a: {plugin: x, ack: true}}"} {
		if _, err := Load(written(t, later), nil, nil); err == nil || !strings.HasPrefix(err.Error(), "unknown setting ") {
			t.Errorf("%s: got %v, want: unknown setting", later, err)
		}
	}
}

func TestAllFaultsAreTold(t *testing.T) {
	refused(t, "listen: a\nadmin: b\nkeys: [{key: x, prefix: .}, {key: x}]\nvalidate: {max_age: 0s}\nplugins: ['']",
		[]string{"FLUXGATE_REDIS__DATABASE=-1", "FLUXGATE_DATA=", "FLUXGATE_INPUTS__FLUX__ROUTES=GET /a,GET a", "FLUXGATE_INPUTS__FLUX__PLUGIN=x", "FLUXGATE_X=1"},
		`unknown variable FLUXGATE_X: did you mean FLUXGATE_ACK?
listen: "a" is not host:port: write it like 127.0.0.1:8000
admin: "b" is not host:port: write it like 127.0.0.1:8000
FLUXGATE_DATA: is empty: name a folder, such as ./data
keys[0].prefix: "." has a dot too many: put single dots, and only between elements
keys[1].key: is the key of keys[0] again: remove one of them
FLUXGATE_REDIS__DATABASE: -1 is negative: give the number of a database, such as 0
validate.max_age: 0s is not a number of whole seconds above zero: write it like 60s or 1h
plugins[0]: is empty: name a folder or remove it
FLUXGATE_INPUTS__FLUX__ROUTES[1]: "GET a" is not a method and a path: write it like POST /metrics`)
}

func TestFlagsAreNamedAsGiven(t *testing.T) {
	_, err := Load("", map[string]any{"listen": "x"}, []string{"FLUXGATE_LISTEN=y"})
	if err == nil || err.Error() != `--listen: "x" is not host:port: write it like 127.0.0.1:8000` {
		t.Errorf("got %v", err)
	}
}

func TestRefusedVariables(t *testing.T) {
	for variable, want := range map[string]string{
		"FLUXGATE_KEYS":                         "FLUXGATE_KEYS: keys are read from the file alone: put them under keys there",
		"FLUXGATE_KEYS__0__KEY":                 "FLUXGATE_KEYS__0__KEY: keys are read from the file alone: put them under keys there",
		"FLUXGATE_LISTN":                        "unknown variable FLUXGATE_LISTN: did you mean FLUXGATE_LISTEN?",
		"FLUXGATE_LISTEN__X":                    "unknown variable FLUXGATE_LISTEN__X: did you mean FLUXGATE_LISTEN?",
		"FLUXGATE_REDIS_ADDRESS":                "unknown variable FLUXGATE_REDIS_ADDRESS: did you mean FLUXGATE_REDIS__ADDRESS?",
		"FLUXGATE_REDIS__ADRESS":                "unknown variable FLUXGATE_REDIS__ADRESS: did you mean FLUXGATE_REDIS__ADDRESS?",
		"FLUXGATE_redis__address":               "unknown variable FLUXGATE_redis__address: did you mean FLUXGATE_REDIS__ADDRESS?",
		"FLUXGATE_REDIS":                        "unknown variable FLUXGATE_REDIS: did you mean FLUXGATE_REDIS__HASH?",
		"FLUXGATE_VALIDATE__MAXAGE":             "unknown variable FLUXGATE_VALIDATE__MAXAGE: did you mean FLUXGATE_VALIDATE__MAX_AGE?",
		"FLUXGATE_SINK__CARBON__PLUGIN":         "unknown variable FLUXGATE_SINK__CARBON__PLUGIN: did you mean FLUXGATE_SINKS__CARBON__PLUGIN?",
		"FLUXGATE_SINKS__CARBON__ADDRESS":       "unknown variable FLUXGATE_SINKS__CARBON__ADDRESS: did you mean FLUXGATE_SINKS__CARBON__CONFIG__ADDRESS?",
		"FLUXGATE_SINKS__CARBON__CONF__ADDRESS": "unknown variable FLUXGATE_SINKS__CARBON__CONF__ADDRESS: did you mean FLUXGATE_SINKS__CARBON__CONFIG__ADDRESS?",
		"FLUXGATE_SINKS__CARBON__CONFIG":        "unknown variable FLUXGATE_SINKS__CARBON__CONFIG: did you mean FLUXGATE_SINKS__CARBON__CONFIG__NAME?",
		"FLUXGATE_SINKS____PLUGIN":              "unknown variable FLUXGATE_SINKS____PLUGIN: did you mean FLUXGATE_SINKS__NAME__PLUGIN?",
		"FLUXGATE_":                             "unknown variable FLUXGATE_: did you mean FLUXGATE_ACK?",
		"FLUXGATE_POPULATE__REMOTES":            "FLUXGATE_POPULATE__REMOTES: remotes are read from the file alone: put them under populate.remotes there",
		"FLUXGATE_POPULATE__REMOTES__0__TOKEN":  "FLUXGATE_POPULATE__REMOTES__0__TOKEN: remotes are read from the file alone: put them under populate.remotes there",
		"FLUXGATE_POPULATE__PATTERNS":           "FLUXGATE_POPULATE__PATTERNS: patterns are read from the file alone: put them under populate.patterns there",
		"FLUXGATE_POPULATE__LIMITS__ANSWERS":    "unknown variable FLUXGATE_POPULATE__LIMITS__ANSWERS: did you mean FLUXGATE_POPULATE__LIMITS__ANSWER?",
		"FLUXGATE_POPULATE__PERHOST":            "unknown variable FLUXGATE_POPULATE__PERHOST: did you mean FLUXGATE_POPULATE__PER_HOST?",
		"FLUXGATE_POPULATE__REMOTE":             "unknown variable FLUXGATE_POPULATE__REMOTE: did you mean FLUXGATE_POPULATE__CREATES?",
		"FLUXGATE_REDIS__TLS__CAA":              "unknown variable FLUXGATE_REDIS__TLS__CAA: did you mean FLUXGATE_REDIS__TLS__CA?",
		"FLUXGATE_RESAMPLERS__SUM__METHOD":      "unknown variable FLUXGATE_RESAMPLERS__SUM__METHOD: did you mean FLUXGATE_RESAMPLERS__SUM__CONFIG__METHOD?",
		"FLUXGATE_POPULATE__STEP":               `FLUXGATE_POPULATE__STEP: "hunter2" is not a duration: write a number with its unit, such as 60s or 1h30m`,
		"FLUXGATE_REDIS__HASH":                  `FLUXGATE_REDIS__HASH: "hunter2" is neither true nor false: write one of them`,
		"FLUXGATE_REDIS__PASSWORD":              "FLUXGATE_REDIS__PASSWORD: is for a Redis that is not named: set redis.address, or remove it",
		"FLUXGATE_SINKS__WHISPER__CONFIG__PATH": "sinks.whisper.plugin: is empty: name a program of a folder in plugins, or give its path",
	} {
		refused(t, "", []string{variable + "=hunter2"}, want)
	}
	refused(t, "sinks: {a: {plugin: x}}",
		[]string{"FLUXGATE_SINKS__A__CONFIG__X=1", "FLUXGATE_SINKS__A__CONFIG__X__Y=2", "FLUXGATE_SINKS__A__CONFIG__x=3"},
		`FLUXGATE_SINKS__A__CONFIG__X and FLUXGATE_SINKS__A__CONFIG__x: the same setting sinks.a.config.x: unset one
FLUXGATE_SINKS__A__CONFIG__X and FLUXGATE_SINKS__A__CONFIG__X__Y: the second sets a part of the first: unset one`)
	refused(t, "", []string{"FLUXGATE_PLUGINS= "}, "FLUXGATE_PLUGINS: names no folder: name one, or leave the setting out for the default")
}

func TestRefusedFiles(t *testing.T) {
	const syntax = ": look at the indentation and the quotes there"
	for text, want := range map[string]string{
		"hello":                               "FILE: line 1: not a section: write settings, such as listen: 127.0.0.1:8000",
		"\n- a":                               "FILE: line 2: not a section: write settings, such as listen: 127.0.0.1:8000",
		"a: [":                                "FILE: line 1: did not find expected node content" + syntax,
		"listen: a\n  b: c":                   "FILE: line 2: mapping values are not allowed in this context" + syntax,
		"a: 1\na: 2\nb: 1\nb: 2":              `FILE: line 2: mapping key "a" already defined at line 1; line 4: mapping key "b" already defined at line 3`,
		"a: 1\n---\nb: 2":                     "FILE: line 2: a second document begins: remove it, or the --- before it",
		"data: a\n--- [":                      "FILE: line 2: did not find expected node content" + syntax,
		"sinks:\n  1: {plugin: x}":            "FILE: line 2: a name is not text: put it in quotes",
		"sinks: {a: {config: {l: [{2: x}]}}}": "FILE: line 1: a name is not text: put it in quotes",
		"redis:\n  password: *hunter2":        "FILE: line 2: a value begins with an asterisk: put it in quotes",
		"redis:\n  password: !hunter2":        "FILE: line 2: a value begins with an exclamation mark: put it in quotes",
		"redis:\n  password: &hunter2":        "FILE: line 2: a value begins with an ampersand: put it in quotes",
		"redis:\n  password: @hunter2":        "FILE: line 2: found character that cannot start any token" + syntax,
		"redis:\n  password: !!int hunter2":   "FILE: cannot decode !!str a value as a !!int",
		"redis: {database: !!float hunter2}":  "FILE: cannot decode !!str a value as a !!float",
	} {
		refused(t, text, nil, want)
	}
	missing := t.TempDir() + "/none.yaml"
	if _, err := Load(missing, nil, nil); err == nil || err.Error() != "configuration: open "+missing+": no such file or directory" {
		t.Errorf("missing file: got %v", err)
	}
}

func TestSinksMayAllBeOptional(t *testing.T) {
	loaded(t, "sinks: {a: {plugin: x, required: false}, b: {plugin: y, required: false}}")
}

func TestAnchorsMayBeUsed(t *testing.T) {
	c := loaded(t, "sinks:\n  a: &a {plugin: x, required: false}\n  b: {<<: *a, plugin: y}\n  c: *a\n  d: {plugin: z}")
	if b := c.Sinks["b"]; b.Plugin != "y" || b.Required || c.Sinks["c"].Plugin != "x" || c.Sinks["c"].Required {
		t.Errorf("got %#v", c.Sinks)
	}
}
