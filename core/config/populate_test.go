package config

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// What an operator writes who lets jobs fetch from other Graphites and from
// Prometheus.
const populating = `
keys:
  - {key: a, hosts: [graphite.example.org, "10.1.2.3:9090"]}
  - {key: b, hosts: 10.0.0.0/8}
limits: {backfill: 0}
sinks: {carbon: {plugin: p, required: true}, files: {plugin: q}}
resamplers:
  mean: {plugin: fluxgate-resampler-basic, config: {method: mean}}
  sum: {plugin: /opt/sum, checksum: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824}
populate:
  step: 10s
  resampler: sum
  patterns: [{pattern: '^stats\.timers\.', resampler: mean}]
  sink: files
  graphite: https://graphite.example.org:8443/graphite/
  allow: [graphite.example.org, "Prom-1.example.org:9090", 10.0.0.0/8, "[2001:db8::1]:80", "2001:db8::/32", 127.0.0.1]
  concurrency: 1
  per_host: 1
  creates: 0
  patience: 1h
  limits: {answer: 1MiB, points: 5, windows: 6, time: 7s}
  schema: {retentions: "10s:1d,1m:7d", aggregation: absmin, xfilesfactor: 0, aggregations: /etc/carbon/storage-aggregation.conf}
  remotes:
    - {host: graphite.example.org, user: u, password: hunter2, ca: ca.pem, cert: cert.pem, key: key.pem}
    - {host: "graphite.example.org:8080", token: t, vista: true}
`

func TestPopulate(t *testing.T) {
	c, want := loaded(t, populating), embedded(t, "./data")
	want.Keys = []Key{
		{Key: "a", Hosts: []string{"graphite.example.org", "10.1.2.3:9090"}},
		{Key: "b", Hosts: []string{"10.0.0.0/8"}},
	}
	want.Limits.Backfill = 0
	want.Sinks = map[string]Sink{"carbon": {Plugin: "p", Required: true}, "files": {Plugin: "q", Required: true}}
	want.Resamplers = map[string]Resampler{
		"mean": {Plugin: "fluxgate-resampler-basic", Config: Settings{"method": "mean"}},
		"sum":  {Plugin: "/opt/sum", Checksum: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"},
	}
	want.Populate = Populate{
		Step: 10 * time.Second, Resampler: "sum", Patterns: []Pattern{{`^stats\.timers\.`, "mean"}},
		Sink: "files", Graphite: "https://graphite.example.org:8443/graphite/",
		Allow:       []string{"graphite.example.org", "Prom-1.example.org:9090", "10.0.0.0/8", "[2001:db8::1]:80", "2001:db8::/32", "127.0.0.1"},
		Concurrency: 1, PerHost: 1, Patience: time.Hour,
		Limits: PopulateLimits{Answer: MiB, Points: 5, Windows: 6, Time: 7 * time.Second},
		Schema: Schema{Retentions: "10s:1d,1m:7d", Aggregation: "absmin", Aggregations: "/etc/carbon/storage-aggregation.conf"},
		Remotes: []Remote{
			{Host: "graphite.example.org", User: "u", Password: "hunter2", CA: "ca.pem", Cert: "cert.pem", Key: "key.pem"},
			{Host: "graphite.example.org:8080", Token: "t", Vista: true},
		},
	}
	equal(t, c, want)
}

func TestPopulateEnvironment(t *testing.T) {
	c := loaded(t, populating, "FLUXGATE_LIMITS__BACKFILL=500", "FLUXGATE_RESAMPLERS__SUM__CONFIG__METHOD=sum", "FLUXGATE_RESAMPLERS__SUM__CHECKSUM=",
		"FLUXGATE_POPULATE__STEP=1s", "FLUXGATE_POPULATE__RESAMPLER=mean", "FLUXGATE_POPULATE__SINK=carbon", "FLUXGATE_POPULATE__GRAPHITE=http://[::1]:8080",
		"FLUXGATE_POPULATE__ALLOW=10.0.0.0/8, example.org:80", "FLUXGATE_POPULATE__CONCURRENCY=7", "FLUXGATE_POPULATE__PER_HOST=3", "FLUXGATE_POPULATE__CREATES=9",
		"FLUXGATE_POPULATE__PATIENCE=2h", "FLUXGATE_POPULATE__LIMITS__ANSWER=2MiB", "FLUXGATE_POPULATE__LIMITS__POINTS=1", "FLUXGATE_POPULATE__LIMITS__WINDOWS=2",
		"FLUXGATE_POPULATE__LIMITS__TIME=3s", "FLUXGATE_POPULATE__SCHEMA__RETENTIONS=", "FLUXGATE_POPULATE__SCHEMA__AGGREGATION=sum", "FLUXGATE_POPULATE__SCHEMA__XFILESFACTOR=0.25",
		"FLUXGATE_POPULATE__SCHEMA__SCHEMAS=/a", "FLUXGATE_POPULATE__SCHEMA__AGGREGATIONS=/b")
	before := loaded(t, populating)
	want := before
	want.Limits.Backfill = 500
	want.Resamplers["sum"] = Resampler{Plugin: "/opt/sum", Config: Settings{"method": "sum"}}
	want.Populate = Populate{
		Step: time.Second, Resampler: "mean", Patterns: before.Populate.Patterns, Sink: "carbon", Graphite: "http://[::1]:8080",
		Allow: []string{"10.0.0.0/8", "example.org:80"}, Concurrency: 7, PerHost: 3, Creates: 9, Patience: 2 * time.Hour,
		Limits:  PopulateLimits{Answer: 2 * MiB, Points: 1, Windows: 2, Time: 3 * time.Second},
		Schema:  Schema{Aggregation: "sum", XFilesFactor: 0.25, Schemas: "/a", Aggregations: "/b"},
		Remotes: before.Populate.Remotes,
	}
	equal(t, c, want)
	none := loaded(t, "populate: {allow: [a]}", "FLUXGATE_POPULATE__ALLOW=")
	if len(none.Populate.Allow) != 0 {
		t.Errorf("an empty variable leaves %q", none.Populate.Allow)
	}
}

func TestPopulateSink(t *testing.T) {
	for text, want := range map[string]string{
		"populate: {allow: [a]}": "whisper",
		"populate: {allow: [a]}\nsinks: {a: {plugin: x, required: false}, b: {plugin: y}}":                                  "b",
		"populate: {allow: [a], sink: a}\nsinks: {a: {plugin: x, required: false}, b: {plugin: y}}":                         "a",
		"sinks: {a: {plugin: x}, b: {plugin: y}}":                                                                           "",
		"sinks: {a: {plugin: x, required: false}}":                                                                          "",
		"populate: {allow: [h], sink: a}\nsinks: {a: {plugin: x, required: false}, b: {plugin: x}, c: {plugin: x}}":         "a",
		"populate: {allow: [], sink: c}\nsinks: {a: {plugin: x, required: false}, b: {plugin: x}, c: {plugin: x}}\n":        "c",
		"populate: {sink: \"\"}\nsinks: {a: {plugin: x, required: false}, b: {plugin: x, required: false}, c: {plugin: x}}": "c",
	} {
		if got := loaded(t, text).Populate.Sink; got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestRefusedPopulate(t *testing.T) {
	const two = "sinks: {a: {plugin: x}, b: {plugin: y}}\n"
	for text, want := range map[string]string{
		`limits: {backfill: -1}`:                                    `limits.backfill: -1 is negative: give the most datapoints of history in a second, or 0 for as many as a sink takes`,
		`limits: {backfill: many}`:                                  `limits.backfill: "many" is not a whole number: write one, such as 0`,
		`keys: [{key: a, hosts: [b]}]`:                              `keys[0].hosts: has no effect, as no job may fetch from anywhere: set populate.allow too, or remove it`,
		"keys: [{key: a, hosts: [b, c/d]}]\npopulate: {allow: [b]}": `keys[0].hosts[1]: "c/d" has a path: write it like graphite.example.org or graphite.example.org:8080`,
		"keys: [{key: a, hosts: {b: c}}]\npopulate: {allow: [b]}":   `keys[0].hosts: must be a list: put each item on a line of its own, behind a dash`,
		`resamplers:`:          `resamplers: names no resampler: name one, or leave the section out for the default`,
		`resamplers: {mean: }`: `resamplers.mean.plugin: is empty: name a program of a folder in plugins, or give its path`,
		`resamplers: {mean: {plugin: x}, ö: {plugin: x}}`:              `resamplers.ö: the name "ö" has another character than letters, digits, - and _: rename it`,
		`resamplers: {mean: {plugin: x, checksum: y}}`:                 `resamplers.mean.checksum: "y" is not a sha256: give the 64 hexadecimal digits that sha256sum prints`,
		`resamplers: {sum: {plugin: x}}`:                               `populate.resampler: "mean" is not in resamplers: write sum`,
		"resamplers: {a: {plugin: x}, b: {plugin: x}, c: {plugin: x}}": `populate.resampler: "mean" is not in resamplers: write a, b or c`,

		`populate: []`:                                            `populate: must be a section: indent its settings below it, each as name: value`,
		`populate: {step: 0}`:                                     `populate.step: 0s is out of range: give whole seconds, from 1s to 24h`,
		`populate: {step: 1500ms}`:                                `populate.step: 1.5s is out of range: give whole seconds, from 1s to 24h`,
		`populate: {step: 86401s}`:                                `populate.step: 24h0m1s is out of range: give whole seconds, from 1s to 24h`,
		`populate: {step: 60}`:                                    `populate.step: "60" is not a duration: write a number with its unit, such as 60s or 1h30m`,
		`populate: {resampler: ""}`:                               `populate.resampler: "" is not in resamplers: write mean`,
		`populate: {patterns: {a: b}}`:                            `populate.patterns: must be a list: put each item on a line of its own, behind a dash`,
		`populate: {patterns: [a]}`:                               `populate.patterns[0]: must be a section: indent its settings below it, each as name: value`,
		`populate: {patterns: [{resampler: mean}]}`:               `populate.patterns[0].pattern: is empty: give a regular expression, such as ^stats\.counters\., or remove the item`,
		`populate: {patterns: [{pattern: a}]}`:                    `populate.patterns[0].resampler: "" is not in resamplers: write mean`,
		`populate: {patterns: [{pattern: a, to: b}]}`:             `unknown setting "populate.patterns[0].to": did you mean "populate.patterns[0].pattern"?`,
		`populate: {sink: carbon}`:                                `populate.sink: "carbon" is not in sinks: write whisper`,
		two + `populate: {sink: carbon}`:                          `populate.sink: "carbon" is not in sinks: write a or b`,
		two + `populate: {allow: [h]}`:                            `populate.sink: is empty, and 2 sinks are required: name the one that history goes to, a or b`,
		`populate: {graphite: graphite.example.org}`:              `populate.graphite: "graphite.example.org" is not the URL of a Graphite: write it like http://127.0.0.1:8080 or https://graphite.example.org/graphite`,
		`populate: {graphite: "ftp://h"}`:                         `populate.graphite: "ftp://h" is not the URL of a Graphite: write it like http://127.0.0.1:8080 or https://graphite.example.org/graphite`,
		`populate: {graphite: "http://:80"}`:                      `populate.graphite: "http://:80" is not the URL of a Graphite: write it like http://127.0.0.1:8080 or https://graphite.example.org/graphite`,
		`populate: {graphite: "http:h"}`:                          `populate.graphite: "http:h" is not the URL of a Graphite: write it like http://127.0.0.1:8080 or https://graphite.example.org/graphite`,
		`populate: {graphite: "http://u:hunter2@h"}`:              `populate.graphite: has a user: leave it away, and put user and password under populate.remotes`,
		`populate: {graphite: "http://u:hun%ter2@h"}`:             `populate.graphite: is not the URL of a Graphite: write it like http://127.0.0.1:8080 or https://graphite.example.org/graphite`,
		`populate: {graphite: "http://h/?t=hunter2"}`:             `populate.graphite: has a query or a fragment: leave the ? or # and what follows it away`,
		`populate: {graphite: "http://h/?"}`:                      `populate.graphite: has a query or a fragment: leave the ? or # and what follows it away`,
		`populate: {graphite: "http://h/#a"}`:                     `populate.graphite: "http://h/#a" has a query or a fragment: leave the ? or # and what follows it away`,
		`populate: {graphite: "http://h:70000"}`:                  `populate.graphite: "http://h:70000" has no port from 1 to 65535: write it like http://127.0.0.1:8080 or https://graphite.example.org/graphite`,
		`populate: {graphite: "http://h:"}`:                       `populate.graphite: "http://h:" has no port from 1 to 65535: write it like http://127.0.0.1:8080 or https://graphite.example.org/graphite`,
		`populate: {allow: [h, 'http://u:hunter2@h/a']}`:          `populate.allow[1]: is a URL: leave its scheme and path away, and write it like graphite.example.org or graphite.example.org:8080`,
		`populate: {allow: [null]}`:                               `populate.allow[0]: is empty: give it a value or remove it`,
		`populate: {allow: ""}`:                                   `populate.allow[0]: is empty: name a host, or remove it`,
		`populate: {allow: 10.0.0.5/8}`:                           `populate.allow[0]: "10.0.0.5/8" has more of an address than its mask: write 10.0.0.0/8, or the address alone`,
		`populate: {concurrency: 0}`:                              `populate.concurrency: 0 is out of range: give at least 1`,
		`populate: {per_host: 0}`:                                 `populate.per_host: 0 is out of range: give at least 1`,
		`populate: {creates: -1}`:                                 `populate.creates: -1 is negative: give the most new metrics in a minute, or 0 for no limit`,
		`populate: {patience: 0s}`:                                `populate.patience: 0s is not a number of whole seconds above zero: write it like 60s or 1h`,
		`populate: {limits: {answer: 0}}`:                         `populate.limits.answer: 0 is out of range: give at least 1 byte, such as 256MiB`,
		`populate: {limits: {points: 0}}`:                         `populate.limits.points: 0 is out of range: give at least 1`,
		`populate: {limits: {points: 1e6}}`:                       `populate.limits.points: "1e+06" is not a whole number: write one, such as 0`,
		`populate: {limits: {windows: -5}}`:                       `populate.limits.windows: -5 is out of range: give at least 1`,
		`populate: {limits: {time: 1ms}}`:                         `populate.limits.time: 1ms is not a number of whole seconds above zero: write it like 60s or 1h`,
		`populate: {schema: {retentions: 60s}}`:                   `populate.schema.retentions: retention "60s": want a step and a span, such as 60s:1d: write them like 60s:1d,10m:7d,1h:90d`,
		`populate: {schema: {aggregation: mean}}`:                 `populate.schema.aggregation: "mean" is no aggregation of Carbon: write average, sum, last, max, min, avg_zero, absmax or absmin`,
		`populate: {schema: {xfilesfactor: 1.5}}`:                 `populate.schema.xfilesfactor: 1.5 is out of range: give a share from 0 to 1`,
		`populate: {schema: {xfilesfactor: -1}}`:                  `populate.schema.xfilesfactor: -1 is out of range: give a share from 0 to 1`,
		`populate: {schema: {xfilesfactor: .nan}}`:                `populate.schema.xfilesfactor: NaN is out of range: give a share from 0 to 1`,
		`populate: {schema: {xfilesfactor: half}}`:                `populate.schema.xfilesfactor: "half" is not a number: write one, such as 0.5`,
		`populate: {schema: {aggregations: /a}}`:                  `populate.schema.aggregations: has no effect: set populate.schema.schemas or populate.schema.retentions too, or remove it`,
		`populate: {schema: {schemas: /a, retentions: "60s:1d"}}`: `populate.schema.schemas: is given beside populate.schema.retentions: remove one of them`,
	} {
		refused(t, text, nil, want)
	}
	refused(t, `populate: {patterns: [{pattern: "a(", resampler: sum}]}`, nil,
		`populate.patterns[0].pattern: "a(" is not a regular expression as Go has them: mend the missing closing ) at "a("
populate.patterns[0].resampler: "sum" is not in resamplers: write mean`)
	refused(t, "sinks: {a: {plugin: x, required: false}}", []string{"FLUXGATE_POPULATE__ALLOW=h,*.h"},
		`populate.sink: is empty, and no sink is required: name the one that history goes to, a
FLUXGATE_POPULATE__ALLOW[1]: "*.h" has a wildcard: name each host, or their network such as 10.0.0.0/8`)
}

func TestRefusedRemotes(t *testing.T) {
	const control = "has a line break or another control character: remove it, and see whether the value ends as it should"
	for remotes, want := range map[string]string{
		`{a: b}`:                                                  `: must be a list: put each item on a line of its own, behind a dash`,
		`[{user: u, password: hunter2}]`:                          `[0].host: is empty: name a host, or remove it`,
		`[{host: 10.0.0.0/8}]`:                                    `[0].host: "10.0.0.0/8" has a path: write it like graphite.example.org or graphite.example.org:8080`,
		`[{host: "u:hunter2@h"}]`:                                 `[0].host: has a user: write it like graphite.example.org or graphite.example.org:8080, and put user and password under populate.remotes`,
		`[{host: h}, {host: g}, {host: H}]`:                       `[2].host: "H" is the host of populate.remotes[0] again: remove one of them`,
		`[{host: h, user: u}]`:                                    `[0].user: has no password: set password too, or remove it`,
		`[{host: h, password: hunter2}]`:                          `[0].password: has no user: set user too, or remove it`,
		`[{host: h, user: "u:v", password: hunter2}]`:             `[0].user: has a colon, which would end it: give the user alone, and password beside it`,
		`[{host: h, user: u, password: hunter2, token: hunter2}]`: `[0].token: is given beside user and password: remove one or the other`,
		`[{host: h, user: "u\n", password: hunter2}]`:             `[0].user: ` + control,
		`[{host: h, user: u, password: "hunter2\x7f"}]`:           `[0].password: ` + control,
		`[{host: h, token: "hunter2\n"}]`:                         `[0].token: ` + control,
		`[{host: h, token: 123}]`:                                 `[0].token: must be text: put it in quotes`,
		`[{host: h, cert: a}]`:                                    `[0].cert: has no key: set key to the PEM file with its private key, or remove it`,
		`[{host: h, key: a}]`:                                     `[0].key: has no certificate: set cert to the PEM file with it, or remove it`,
		`[{host: h, vista: maybe}]`:                               `[0].vista: "maybe" is neither true nor false: write one of them`,
	} {
		refused(t, "populate: {remotes: "+remotes+"}", nil, "populate.remotes"+want)
	}
	refused(t, `populate: {remotes: [{host: h, secret: hunter2}]}`, nil, `unknown setting "populate.remotes[0].secret": did you mean "populate.remotes[0].cert"?`)
}

func TestRefusedHosts(t *testing.T) {
	const (
		form    = `write it like graphite.example.org or graphite.example.org:8080`
		url     = `is a URL: leave its scheme and path away, and ` + form
		path    = `has a path: ` + form
		user    = `has a user: ` + form + `, and put user and password under populate.remotes`
		colons  = `is not a host, host:port or address: ` + form + `, IPv6 like 2001:db8::1 or [2001:db8::1]:8080`
		port    = `has no port from 1 to 65535: write it like graphite.example.org:8080`
		name    = `is not a host name: use letters, digits, - and _ between single dots, and for other letters the form that begins with xn--`
		part    = `is neither a host name nor a whole address: write it like graphite.example.org or 10.0.0.5`
		network = `is not a network: write it like 10.0.0.0/8`
		zone    = `has a zone: leave the % and what follows it away`
		empty   = `is empty: name a host, or remove it`
	)
	label := strings.Repeat("a", 63)
	long := strings.Join([]string{label, label, label, label[:61]}, ".") // 253 characters
	for entry, want := range map[string]string{
		"graphite": "", "Graphite-1.example_a.org": "", "h:1": "", "h:65535": "", "xn--bcher-kva.example": "", "1.example": "", "a.1b": "", long: "",
		"10.0.0.5": "", "10.0.0.5:80": "", "::1": "", "2001:DB8::1": "", "[::1]:80": "", "0.0.0.0": "", "10.0.0.0/8": "", "10.0.0.5/32": "", "0.0.0.0/0": "", "fe80::/10": "", "::/0": "",
		"": empty, " ": empty, "http://h": url, "https://h:1/a": url, "://": url, "h/a": path, "h:80/": path, "/": path, "h?a": path, "h#a": path, "u@h": user,
		"*": "has a wildcard: name each host, or their network such as 10.0.0.0/8", "*.example.org": "has a wildcard: name each host, or their network such as 10.0.0.0/8",
		"a:b:c": colons, "[::1]": colons, "[::1": colons, "2001:db8::1:99999": colons,
		"h:": port, "h:0": port, "h:65536": port, "h:http": port, "h:080": port, "h:+80": port, "10.0.0.5:": port,
		":80": name, "a b": name, " h": name, "h.": name, ".h": name, "a..b": name, "-a": name, "a-.b": name, "bücher.example": name, "a%b": name, "h\n": name, "a" + label: name,
		long + "a": `is longer than the 253 characters of a host name: shorten it`,
		"10.0.0":   part, "10.0.0.256": part, "127.1": part, "2130706433": part, "0x7f000001": part, "10.0.0.5.0x": part, "010.0.0.1": part, "127.1:80": part,
		"fe80::1%eth0": zone, "[fe80::1%eth0]:80": zone,
		"::ffff:10.0.0.5": "is IPv4 in the form of IPv6: write 10.0.0.5", "[::ffff:10.0.0.5]:80": "is IPv4 in the form of IPv6: write 10.0.0.5",
		"10.0.0.0/33": network, "10.0.0.0/": network, "10.0.0.0/255.0.0.0": network, "10.0.0.0/08": network, "::/129": network, "fe80::1%eth0/64": network, "10.0.0.0/8/8": network,
		"::ffff:10.0.0.0/104": "is IPv4 in the form of IPv6: write it like 10.0.0.0/8",
		"10.0.0/8":            path, "10.0.0.0:80/8": path,
		"10.1.0.0/8": "has more of an address than its mask: write 10.0.0.0/8, or the address alone", "2001:db8::1/32": "has more of an address than its mask: write 2001:db8::/32, or the address alone",
	} {
		if got := misallowed(entry); got != want {
			t.Errorf("%q: got %q, want %q", entry, got, want)
		}
	}
}

// The settings in the README are all that there are, with their defaults.
func TestReadmeHasTheDefaults(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "\n## Settings\n")
	_, after, _ = strings.Cut(after, "\n```yaml\n")
	block, _, ok := strings.Cut(after, "\n```\n")
	if !ok {
		t.Fatal("the README has no block of YAML under Settings")
	}
	settings, err := new(document).Unmarshal([]byte(block))
	if err != nil {
		t.Fatal(err)
	}
	complete(t, "", settings, reflect.TypeFor[Config]())
	c, want := loaded(t, block), embedded(t, "./data")
	c.Plugins[0] = want.Plugins[0] // the folder of the program
	c.Keys, c.Populate.Sink = nil, "whisper"
	c.Populate.Patterns, c.Populate.Allow, c.Populate.Remotes = nil, nil, nil // as empty lists they are no nil
	equal(t, c, want)
}

// complete reports the settings of t that section lacks, save those of plugins.
func complete(t *testing.T, path string, section any, in reflect.Type) {
	given, _ := section.(map[string]any)
	for name, inner := range fields(in) {
		if _, ok := given[name]; !ok {
			t.Errorf("%s%s is missing", path, name)
		}
		if inner.Kind() == reflect.Struct {
			complete(t, path+name+".", given[name], inner)
		}
	}
}
