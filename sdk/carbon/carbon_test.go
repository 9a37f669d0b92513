package carbon

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
)

func TestSettings(t *testing.T) {
	tests := []struct {
		name     string
		settings map[string]any
		err      string // part of the error; empty: none
	}{
		{"one address", map[string]any{"address": "10.0.0.5:2003"}, ""},
		{"a list", map[string]any{"address": []any{"carbon-1.example.org:2003", "[::1]:2003"}, "timeout": "2s"}, ""},
		{"no port", map[string]any{"address": "10.0.0.5"}, `address "10.0.0.5": missing port in address; it must be host:port`},
		{"no host", map[string]any{"address": ":2003"}, `address ":2003": no host`},
		{"IPv6 without brackets", map[string]any{"address": "::1:2003"}, "too many colons"},
		{"port by name", map[string]any{"address": "localhost:carbon"}, `port "carbon"`},
		{"port 0", map[string]any{"address": "localhost:0"}, `port "0"`},
		{"port too high", map[string]any{"address": "localhost:65536"}, `port "65536"`},
		{"one of a list is bad", map[string]any{"address": []any{"a:1", "b"}}, `address "b"`},
		{"an empty list", map[string]any{"address": []any{}}, "address: none is given"},
		{"no time at all", map[string]any{"timeout": "0s"}, "timeout 0s: must be positive"},
		{"a misspelt setting", map[string]any{"adress": "a:1"}, `unknown setting "adress": did you mean "address"?`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Config{Address: []string{"127.0.0.1:2003"}, Timeout: DefaultTimeout}
			err := sdk.Configure(tt.settings, &c)
			if tt.err == "" && err != nil {
				t.Fatal(err)
			}
			if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Fatalf("error %v, want %q in it", err, tt.err)
			}
		})
	}
}

func TestSettingsReplaceTheDefaults(t *testing.T) {
	c := Config{Address: []string{"127.0.0.1:2003"}, Timeout: DefaultTimeout}
	if err := sdk.Configure(map[string]any{"address": []any{"a:1", "b:2"}, "timeout": "2s"}, &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Address) != 2 || c.Address[0] != "a:1" || c.Address[1] != "b:2" || c.Timeout != 2*time.Second {
		t.Errorf("settings %+v", c)
	}
}

func TestValid(t *testing.T) {
	const now = 1478021700
	long := strings.Repeat("x", MaxMetric)
	tests := []struct {
		name string
		in   sdk.Datapoint
		err  string // part of the error; empty: none
	}{
		{"a datapoint", sdk.Datapoint{Metric: "vista.nodes.skyline-1.cpu.user", Timestamp: now, Value: 1}, ""},
		{"every sign that is no blank", sdk.Datapoint{Metric: `!"#$%&'()*+,-./09:;<=>?@AZ[\]^_az{|}~`, Timestamp: now}, ""},
		{"UTF-8", sdk.Datapoint{Metric: "température", Timestamp: now}, ""},
		{"the longest name", sdk.Datapoint{Metric: long, Timestamp: now}, ""},
		{"the first and the last second", sdk.Datapoint{Metric: "m", Timestamp: math.MaxUint32}, ""},
		{"empty name", sdk.Datapoint{Timestamp: now}, `metric "": the name is empty`},
		{"name too long", sdk.Datapoint{Metric: long + "x", Timestamp: now}, "4097 bytes long"},
		{"blank", sdk.Datapoint{Metric: "a b", Timestamp: now}, `metric "a b": the name has a blank`},
		{"line end", sdk.Datapoint{Metric: "a 1 2\nb", Timestamp: now}, `metric "a 1 2\nb"`},
		{"NUL", sdk.Datapoint{Metric: "a\x00", Timestamp: now}, `metric "a\x00"`},
		{"DEL", sdk.Datapoint{Metric: "a\x7f", Timestamp: now}, `metric "a\x7f"`},
		{"not UTF-8", sdk.Datapoint{Metric: "a\xff", Timestamp: now}, `metric "a\xff": the name is not UTF-8`},
		{"NaN", sdk.Datapoint{Metric: "m", Timestamp: now, Value: math.NaN()}, `metric "m": the value is NaN`},
		{"infinite", sdk.Datapoint{Metric: "m", Timestamp: now, Value: math.Inf(-1)}, `metric "m": the value is -Inf`},
		{"the timestamp that means now", sdk.Datapoint{Metric: "m", Timestamp: -1}, `metric "m": the timestamp is -1`},
		{"more than 32 bits", sdk.Datapoint{Metric: "m", Timestamp: 1 << 32}, `metric "m": the timestamp is 4294967296`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Valid(tt.in)
			if tt.err == "" && err != nil {
				t.Fatal(err)
			}
			if tt.err != "" && (!errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), tt.err)) {
				t.Fatalf("error %v, want an invalid one with %q in it", err, tt.err)
			}
		})
	}
}
