package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzLoad: whatever the file holds, it is refused with a reason, or what was
// loaded satisfies the promises that others build on.
func FuzzLoad(f *testing.F) {
	for _, text := range []string{
		"", operator, "sinks: {a: &a {plugin: x}, b: *a}", "keys: [{key: a}, null]", "inputs: {a: {plugin: x, routes: GET /a}}",
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
	})
}
