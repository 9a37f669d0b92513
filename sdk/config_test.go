package sdk_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
)

type options struct {
	Address string            `koanf:"address"`
	Port    int               `koanf:"port"`
	Timeout time.Duration     `koanf:"timeout"`
	Sync    bool              `koanf:"sync"`
	Ratio   float64           `koanf:"ratio"`
	Names   []string          `koanf:"names"`
	Rules   []rule            `koanf:"rules"`
	TLS     tls               `koanf:"tls"`
	Proxy   *tls              `koanf:"proxy"`
	Labels  map[string]string `koanf:"labels"`
	Groups  map[string]rule   `koanf:"groups"`
	Listen  netip.AddrPort    `koanf:"listen"`
	NoName  string
}

type rule struct {
	Pattern string        `koanf:"pattern"`
	Every   time.Duration `koanf:"every"`
}

type tls struct {
	CA string `koanf:"ca"`
}

func (o options) Validate() error {
	if o.Port < 0 {
		return fmt.Errorf("port %d: must not be negative", o.Port)
	}
	return nil
}

func defaults() options {
	return options{Address: "127.0.0.1:2004", Port: 2004, Timeout: 5 * time.Second, TLS: tls{CA: "/etc/ca.pem"}}
}

// configure lays settings over the defaults, in the form in which they arrive
// at a plugin.
func configure(t *testing.T, text string) (options, error) {
	t.Helper()
	var settings map[string]any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&settings); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	o := defaults()
	return o, sdk.Configure(settings, &o)
}

func TestConfigure(t *testing.T) {
	tests := []struct {
		settings string
		want     func(*options)
	}{
		{`{}`, func(*options) {}},
		{`{"address": "carbon:2004"}`, func(o *options) { o.Address = "carbon:2004" }},
		{`{"port": 2013}`, func(o *options) { o.Port = 2013 }},
		{`{"port": "2013"}`, func(o *options) { o.Port = 2013 }}, // as a variable of the environment has it
		{`{"timeout": "1m30s"}`, func(o *options) { o.Timeout = 90 * time.Second }},
		{`{"sync": true}`, func(o *options) { o.Sync = true }},
		{`{"ratio": 0.5}`, func(o *options) { o.Ratio = 0.5 }},
		{`{"ratio": 1}`, func(o *options) { o.Ratio = 1 }},
		{`{"names": ["a", "b"]}`, func(o *options) { o.Names = []string{"a", "b"} }},
		{`{"names": "a"}`, func(o *options) { o.Names = []string{"a"} }},
		{`{"rules": [{"pattern": "x", "every": "1s"}, {"pattern": "y"}]}`, func(o *options) { o.Rules = []rule{{"x", time.Second}, {Pattern: "y"}} }},
		{`{"rules": {"pattern": "x"}}`, func(o *options) { o.Rules = []rule{{Pattern: "x"}} }},
		{`{"tls": {"ca": "/ca"}}`, func(o *options) { o.TLS.CA = "/ca" }},
		{`{"tls": {}}`, func(*options) {}},
		{`{"proxy": {"ca": "/ca"}}`, func(o *options) { o.Proxy = &tls{"/ca"} }},
		{`{"labels": {"dotted.name": "x"}}`, func(o *options) { o.Labels = map[string]string{"dotted.name": "x"} }},
		{`{"groups": {"a": {"pattern": "x"}}}`, func(o *options) { o.Groups = map[string]rule{"a": {Pattern: "x"}} }},
		{`{"listen": "127.0.0.1:80"}`, func(o *options) { o.Listen = netip.MustParseAddrPort("127.0.0.1:80") }},
	}
	for _, tt := range tests {
		want := defaults()
		tt.want(&want)
		if got, err := configure(t, tt.settings); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", tt.settings, got, err, want)
		}
	}
}

func TestConfigureRefuses(t *testing.T) {
	tests := []struct {
		settings string
		says     []string
	}{
		{`{"adress": "x"}`, []string{`unknown setting "adress"`, `did you mean "address"?`}},
		{`{"adress": "x", "prot": 1}`, []string{`unknown setting "adress"`, `unknown setting "prot": did you mean "port"?`}},
		{`{"Port": 1}`, []string{`unknown setting "Port": did you mean "port"?`}},
		{`{"NoName": "x"}`, []string{`unknown setting "NoName"`}},
		{`{"tls": {"cca": "x"}}`, []string{`unknown setting "tls.cca": did you mean "tls.ca"?`}},
		{`{"proxy": {"cca": "x"}}`, []string{`unknown setting "proxy.cca": did you mean "proxy.ca"?`}},
		{`{"rules": [{"pattern": "x"}, {"patern": "y"}]}`, []string{`unknown setting "rules[1].patern": did you mean "rules[1].pattern"?`}},
		{`{"rules": {"patern": "y"}}`, []string{`unknown setting "rules.patern": did you mean "rules.pattern"?`}},
		{`{"groups": {"a": {"patern": "y"}}}`, []string{`unknown setting "groups.a.patern": did you mean "groups.a.pattern"?`}},
		{`{"port": "two"}`, []string{`setting "port": "two" is not an integer`}},
		{`{"port": 1.5}`, []string{`setting "port": 1.5 is not an integer`}},
		{`{"port": []}`, []string{"port"}},
		{`{"port": {"x": 1}}`, []string{"port"}},
		{`{"address": {"x": 1}}`, []string{"address"}},
		{`{"sync": "perhaps"}`, []string{`setting "sync": "perhaps" is not a boolean`}},
		{`{"tls": "x"}`, []string{"tls"}},
		{`{"rules": ["x"]}`, []string{"rules"}},
		{`{"timeout": "soon"}`, []string{`setting "timeout": "soon" is not a duration: give it a unit, such as "5s"`}},
		{`{"timeout": 5}`, []string{"timeout", "5", "unit"}},
		{`{"rules": [{"every": 60}]}`, []string{"rules[0].every", "60", "unit"}},
		{`{"listen": "here"}`, []string{"listen"}},
		{`{"port": -1}`, []string{"port -1: must not be negative"}},
		{`{"port": "x", "timeout": "soon"}`, []string{`"port"`, `"timeout"`}},
	}
	for _, tt := range tests {
		_, err := configure(t, tt.settings)
		if !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("%s: error %v does not wrap ErrInvalid", tt.settings, err)
			continue
		}
		for _, words := range tt.says {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%s: error %q does not say %q", tt.settings, err, words)
			}
		}
	}
}

func TestConfigureWithoutSettings(t *testing.T) {
	err := sdk.Configure(map[string]any{"address": "x"}, &sdk.NoConfig{})
	if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), `unknown setting "address": there are no settings here`) {
		t.Errorf("error %v", err)
	}
}
