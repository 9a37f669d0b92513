package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fluxgate/core/config"
	"fluxgate/core/delivery"
	"fluxgate/core/populate"
	"fluxgate/core/populate/remote"
	"fluxgate/sdk"
	"fluxgate/sdk/schema"
)

// idle is a resampler that is never called.
type idle struct{ sdk.Resampler }

func TestResamplerOfAJob(t *testing.T) {
	c := config.Config{
		Resamplers: map[string]config.Resampler{
			"mean": {Plugin: "fluxgate-resampler-basic", Config: config.Settings{"method": "mean"}},
			"bare": {Plugin: "/opt/fluxgate-resampler-basic"}, "sum": {Plugin: "fluxgate-resampler-basic", Config: config.Settings{"method": "sum"}},
			"own": {Plugin: "fluxgate-resampler-own", Config: config.Settings{"method": "mean"}},
		},
		Populate: config.Populate{Resampler: "mean", Patterns: []config.Pattern{{Pattern: `\.count$`, Resampler: "sum"}, {Pattern: `^own\.`, Resampler: "own"}}},
	}
	plugins := map[string]sdk.Resampler{"mean": idle{}, "bare": idle{}, "sum": idle{}, "own": idle{}}
	find, err := resampling(c, plugins)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, metric, want, over string }{
		{"", "a.b", "mean", "avg_over_time"},
		{"", "a.count", "sum", ""},
		{"", "own.count", "sum", ""}, // the first pattern that matches
		{"", "own.a", "own", ""},
		{"bare", "a.count", "bare", "avg_over_time"},
		{"own", "a.count", "own", ""},
	}
	for _, tt := range tests {
		if got, err := find(tt.name, tt.metric); got.Name != tt.want || got.OverTime != tt.over || got.Resampler == nil || err != nil {
			t.Errorf("%q for %s: got %q, %q, %v; want %q, %q", tt.name, tt.metric, got.Name, got.OverTime, err, tt.want, tt.over)
		}
	}
	if _, err := find("none", "a"); fmt.Sprint(err) != `invalid: there is no resampler "none": it is one of bare, mean, own, sum` {
		t.Errorf("told %v", err)
	}
	c.Populate.Patterns[0].Pattern = "("
	if _, err := resampling(c, plugins); err == nil || !strings.HasPrefix(err.Error(), "populate.patterns[0]: ") {
		t.Errorf("told %v", err)
	}
}

func TestFetchingIsAsConfigured(t *testing.T) {
	p := config.Populate{
		Allow: []string{"old"}, PerHost: 3, Limits: config.PopulateLimits{Answer: 100, Points: 200, Time: time.Minute},
		Remotes: []config.Remote{{Host: "old", User: "u", Password: "p", CA: "ca", Cert: "cert", Key: "key", Vista: true}, {Host: "new", Token: "t"}},
	}
	got := fetching(p)
	if got.Allow[0] != "old" || got.PerHost != 3 || got.Bytes != 100 || got.Points != 200 || got.Time != time.Minute {
		t.Errorf("got %+v", got)
	}
	want := []remote.Remote{{Host: "old", Login: remote.Login{User: "u", Password: "p"}, CA: "ca", Cert: "cert", Key: "key", Vista: true}, {Host: "new", Login: remote.Login{Token: "t"}}}
	if len(got.Remotes) != 2 || got.Remotes[0] != want[0] || got.Remotes[1] != want[1] {
		t.Errorf("got other remotes")
	}
}

func TestOwnGraphiteIsAskedWhateverIsAllowed(t *testing.T) {
	graphite := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `[{"target": "a", "datapoints": [[1.5, 60]]}]`)
	}))
	defer graphite.Close()
	port := graphite.URL[strings.LastIndex(graphite.URL, ":"):]
	for _, base := range []string{graphite.URL, "http://localhost" + port} {
		own, err := openOwn(config.Populate{Graphite: base, PerHost: 1, Limits: config.PopulateLimits{Answer: 1000, Points: 10, Time: time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		points := 0
		_, err = own.Client.Fetch(context.Background(), remote.Query{Kind: remote.Graphite, URL: own.Base + "/render/?target=a&format=json"}, func(remote.Sample) error {
			points++
			return nil
		})
		if err != nil || points != 1 {
			t.Errorf("%s: %d points, %v", base, points, err)
		}
		if err := own.Client.Allowed("http://192.0.2.1/render/"); err == nil {
			t.Errorf("%s: the client would ask another host", base)
		}
	}
	if own, err := openOwn(config.Populate{}); own != nil || err != nil {
		t.Errorf("where none is configured: %v, %v", own, err)
	}
}

func TestSinkOfAJob(t *testing.T) {
	sinks := map[string]populate.Sink{"carbon": &delivery.Direct{}, "files": &delivery.Direct{}}
	tests := []struct{ usual, name, want, err string }{
		{"carbon", "", "carbon", ""},
		{"carbon", "files", "files", ""},
		{"", "files", "files", ""},
		{"", "", "", "invalid: no sink is named: name one of carbon, files, or set populate.sink"},
		{"carbon", "none", "", `invalid: there is no sink "none": it is one of carbon, files`},
	}
	for _, tt := range tests {
		sink, name, err := sinking(tt.usual, sinks)(tt.name)
		if name != tt.want || errorText(err) != tt.err || err == nil && sink != sinks[tt.want] {
			t.Errorf("%q, usually %q: got %q, %v; want %q, %q", tt.name, tt.usual, name, err, tt.want, tt.err)
		}
	}
}

// ruleFiles writes Carbon's two files.
func ruleFiles(t *testing.T) (schemas, aggregations string) {
	t.Helper()
	schemas, aggregations = filepath.Join(t.TempDir(), "storage-schemas.conf"), filepath.Join(t.TempDir(), "storage-aggregation.conf")
	for file, text := range map[string]string{
		schemas:      "[fast]\npattern = ^fast\\.\nretentions = 10s:1d\n",
		aggregations: "[sums]\npattern = \\.count$\nxFilesFactor = 0\naggregationMethod = sum\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return schemas, aggregations
}

func TestSchemasAreAsConfigured(t *testing.T) {
	rules, sums := ruleFiles(t)
	whisper := map[string]config.Sink{
		"carbon": {Plugin: "fluxgate-sink-pickle"}, "files": {Plugin: "/opt/fluxgate-sink-whisper", Config: config.Settings{"path": "x"}},
		"sums":  {Plugin: "fluxgate-sink-whisper", Config: config.Settings{"path": "x", "retentions": "1s:1h", "aggregation": "sum", "xfilesfactor": 0}},
		"ruled": {Plugin: "fluxgate-sink-whisper", Config: config.Settings{"path": "x", "schemas": rules, "aggregations": sums, "retentions": "1s:1h", "creates_per_minute": 50}},
	}
	given := func(s config.Schema) config.Schema {
		s.Aggregation, s.XFilesFactor = "last", 0.25
		return s
	}
	tests := []struct {
		name         string
		schema       config.Schema
		sink, metric string
		want         string
	}{
		{"nothing is known", given(config.Schema{}), "carbon", "a", "unknown"},
		{"a whisper sink's defaults", given(config.Schema{}), "files", "a", "60s:1d,10m:7d,1h:90d average 0.5"},
		{"a whisper sink's settings", given(config.Schema{}), "sums", "a", "1s:1h sum 0"},
		{"a whisper sink's rules", given(config.Schema{}), "ruled", "fast.count", "10s:1d sum 0"},
		{"a whisper sink's settings, where no rule is", given(config.Schema{}), "ruled", "a", "1s:1h average 0.5"},
		{"for every sink", given(config.Schema{Retentions: "60s:1d"}), "carbon", "a", "60s:1d last 0.25"},
		{"before a sink's settings", given(config.Schema{Retentions: "60s:1d"}), "sums", "a", "60s:1d last 0.25"},
		{"by rules", given(config.Schema{Schemas: rules}), "carbon", "fast.count", "10s:1d last 0.25"},
		{"by no rule", given(config.Schema{Schemas: rules}), "carbon", "a", "60s:7d last 0.25"},
		{"by both files", given(config.Schema{Schemas: rules, Aggregations: sums}), "carbon", "fast.count", "10s:1d sum 0"},
		{"where the second says nothing", given(config.Schema{Schemas: rules, Aggregations: sums}), "carbon", "fast.a", "10s:1d last 0.25"},
		{"by the second alone", given(config.Schema{Retentions: "60s:1d", Aggregations: sums}), "carbon", "a.count", "60s:1d sum 0"},
	}
	for _, tt := range tests {
		find, err := schemasOf(config.Config{Sinks: whisper, Populate: config.Populate{Schema: tt.schema}})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got := "unknown"
		if s, known := find(tt.sink, tt.metric); known {
			want, err := schema.ParseRetentions(strings.Fields(tt.want)[0])
			if err != nil || !slices.Equal(want, s.Retentions) {
				t.Errorf("%s: archives %v, want %s", tt.name, s.Retentions, tt.want)
			}
			got = fmt.Sprintf("%s %v %v", strings.Fields(tt.want)[0], s.Aggregation, s.XFilesFactor)
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestSchemasThatCannotBeRead(t *testing.T) {
	missing := config.Schema{Aggregation: "average", XFilesFactor: 0.5, Schemas: "/nowhere/storage-schemas.conf"}
	_, err := schemasOf(config.Config{Populate: config.Populate{Schema: missing}})
	if err == nil || !strings.HasPrefix(err.Error(), "populate.schema: open /nowhere/storage-schemas.conf") {
		t.Errorf("told %v", err)
	}
	odd := map[string]config.Sink{"files": {Plugin: whisperPlugin, Config: config.Settings{"retention": "1s:1h"}}}
	find, err := schemasOf(config.Config{Sinks: odd})
	if err != nil {
		t.Fatal(err)
	}
	if _, known := find("files", "a"); known {
		t.Error("settings that the plugin refuses count")
	}
}
