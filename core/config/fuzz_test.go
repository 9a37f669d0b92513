package config

import (
	"math"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// FuzzLoad: whatever the file holds, it is refused with a reason, or what was
// loaded satisfies the promises that others build on.
func FuzzLoad(f *testing.F) {
	for _, text := range []string{
		"", operator, populating, "populate: {allow: a, patterns: [{pattern: b, resampler: mean}], schema: {xfilesfactor: .inf}}", "sinks: {a: &a {plugin: x}, b: *a}", "keys: [{key: a}, null]", "inputs: {a: {plugin: x, routes: GET /a}}",
		"a: 1\n---\n", "x: !!binary aGVsbG8=", "redis: [{a: b}]", "limits: {body: 32MiB}", "? [a]\n: b", "sinks: {a: {config: {1: [{2: 3}]}}}",
	} {
		f.Add([]byte(text))
	}
	path := filepath.Join(f.TempDir(), "fluxgate.yaml")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path, nil, []string{"FLUXGATE_SINKS__A__CONFIG__B__C=1", "FLUXGATE_PLUGINS=/a"})
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Error("refused without a reason")
			}
			return
		}
		if len(c.Inputs) == 0 || len(c.Sinks) == 0 || c.Listen == "" || c.Admin == "" || c.Data == "" ||
			c.Limits.Body <= 0 || c.Limits.Inflight < c.Limits.Body || c.Validate.MaxAge <= 0 || c.Validate.MaxAhead <= 0 {
			t.Errorf("loaded %q as %+v", text, c)
		}
		for i, k := range c.Keys {
			if k.Key == "" {
				t.Errorf("keys[%d] of %q is empty", i, text)
			}
		}
		for name, s := range c.Sinks {
			if s.Plugin == "" {
				t.Errorf("sink %q of %q has no plugin", name, text)
			}
		}
		if broken := unfit(c); broken != "" {
			t.Errorf("%s in %q, loaded as %+v", broken, text, c.Populate)
		}
	})
}

// unfit says which promise about jobs c breaks.
func unfit(c Config) string {
	p := c.Populate
	for _, pattern := range append(p.Patterns, Pattern{"", p.Resampler}) {
		_, err := regexp.Compile(pattern.Pattern)
		if c.Resamplers[pattern.Resampler].Plugin == "" || err != nil {
			return "a resampler that cannot be chosen"
		}
	}
	for _, entry := range p.Allow {
		_, notNetwork := netip.ParsePrefix(entry)
		if _, err := url.Parse("http://" + entry); err != nil && notNetwork != nil && net.ParseIP(entry) == nil {
			return "a host that no URL can have"
		}
	}
	_, sink := c.Sinks[p.Sink]
	switch {
	case !sink && (p.Sink != "" || len(p.Allow) > 0):
		return "no sink for history"
	case p.Step < time.Second || p.Step > 24*time.Hour || p.Patience <= 0 || p.Limits.Time <= 0:
		return "a duration out of range"
	case p.Concurrency < 1 || p.PerHost < 1 || p.Creates < 0 || c.Limits.Backfill < 0 || p.Limits.Answer < 1 || p.Limits.Points < 1 || p.Limits.Windows < 1:
		return "a number out of range"
	case math.IsNaN(p.Schema.XFilesFactor) || math.Abs(p.Schema.XFilesFactor-0.5) > 0.5:
		return "a share out of range"
	}
	return ""
}
