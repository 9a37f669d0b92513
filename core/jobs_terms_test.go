package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fluxgate/core/config"
	"fluxgate/core/populate/remote"
	"fluxgate/sdk"
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
