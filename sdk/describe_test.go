package sdk_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"fluxgate/sdk"
)

func TestDescribe(t *testing.T) {
	d, err := sdk.Describe(t.Context(), sdk.Spec{Name: "it", Path: trapNamed(t, "demanding"), SocketDir: socketDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	want := []sdk.Setting{
		{Name: "path", Type: "text", Help: "where it is"},
		{Name: "depth", Type: "integer", Unit: "bytes", Help: "how deep", Default: []byte("3")},
		{Name: "names", Type: "list of text", Help: "how it is called", Default: []byte(`["a"]`)},
		{Name: "waits", Type: "list of duration", Default: []byte(`["1s"]`)},
		{Name: "tls.ca", Type: "text"},
		{Name: "rules[].pattern", Type: "text", Default: []byte(`""`)},
		{Name: "rules[].every", Type: "duration", Default: []byte(`"0s"`)},
		{Name: "labels.*", Type: "any", Default: []byte("null")},
	}
	if d.Kind != "sink" || d.Protocol != 2 || d.Version == "" || !reflect.DeepEqual(d.Settings, want) {
		t.Errorf("it is described as %+v, want %+v", d, want)
	}
}

func TestAPluginWithoutSettingsSaysSo(t *testing.T) {
	d, err := sdk.Describe(t.Context(), sdk.Spec{Name: "it", Path: trapNamed(t, "resampler"), SocketDir: socketDir(t)})
	if err != nil || d.Kind != "resampler" || d.Settings == nil || len(d.Settings) != 0 {
		t.Errorf("it is described as %+v, %v", d, err)
	}
	if d.Markdown() != "There are no settings.\n" {
		t.Errorf("in a README: %q", d.Markdown())
	}
}

func TestSettingsInAReadme(t *testing.T) {
	d, err := sdk.Describe(t.Context(), sdk.Spec{Name: "it", Path: executable(t), SocketDir: socketDir(t)})
	const want = "| setting | type | default | |\n|---|---|---|---|\n" +
		"| `act` | text | `\"\"` | what the sink does |\n" +
		"| `text` | text | `\"\"` | what it says \\| or writes |\n" +
		"| `path` | text | `\"\"` | where it leaves a mark |\n" +
		"| `wait` | duration | `\"1s\"` | how long it takes |\n"
	if err != nil || d.Markdown() != want {
		t.Errorf("got\n%s, %v, want\n%s", d.Markdown(), err, want)
	}
}

// The host judges by the description, so that a plugin in another language need
// not.
func TestSettingsAgainstADescription(t *testing.T) {
	path := trapNamed(t, "demanding")
	ca := map[string]any{"ca": "x"}
	for _, tt := range []struct {
		name   string
		config map[string]any
		says   string // nothing: it opens
	}{
		{"all that must be", map[string]any{"path": "x", "tls": ca}, ""},
		{"all that may be", map[string]any{
			"path": "x", "tls": ca, "depth": "4", "names": "b", "waits": []any{"1s", "0"},
			"rules": []map[string]any{{"pattern": "a", "every": "5s"}}, "labels": map[string]any{"a": []any{1, "x", map[string]any{"b": nil}}},
		}, ""},
		{"nothing", nil, `setting "path" must be given (text: where it is)`},
		{"a section is missing", map[string]any{"path": "x"}, `setting "tls.ca" must be given`},
		{"empty", map[string]any{"path": nil, "tls": ca}, `setting "path" must be given`},
		{"unknown", map[string]any{"path": "x", "tls": ca, "dept": 1}, `unknown setting "dept": did you mean "depth"? (integer of bytes, by default 3: how deep)`},
		{"unknown within", map[string]any{"path": "x", "tls": ca, "rules": map[string]any{"patern": 1}}, `unknown setting "rules.patern": did you mean "rules.pattern"?`},
		{"no number", map[string]any{"path": "x", "tls": ca, "depth": "deep"}, `setting "depth": "deep" is not an integer (integer of bytes, by default 3: how deep)`},
		{"a list", map[string]any{"path": []any{"x", "y"}, "tls": ca}, `setting "path": ["x","y"] is not a text`},
		{"one of a list", map[string]any{"path": "x", "tls": ca, "waits": []any{"1s", 5}}, `setting "waits": ["1s",5] is not a list of duration: give it a unit`},
		{"a section", map[string]any{"path": ca, "tls": ca}, `setting "path": a section is not a text`},
		{"no section", map[string]any{"path": "x", "tls": "x"}, `setting "tls": x must be a section of settings`},
		{"no list of sections", map[string]any{"path": "x", "tls": ca, "rules": []any{"x"}}, `setting "rules": must be a list of sections`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := sdk.StartSink(t.Context(), sdk.Spec{Name: "it", Path: path, SocketDir: socketDir(t), Config: tt.config})
			if err == nil {
				_ = p.Stop(t.Context())
			}
			if tt.says == "" && err != nil || tt.says != "" && (!errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("error %v, want %q", err, tt.says)
			}
		})
	}
}

// What is configured must not show as a default: it may be a password.
func TestADescriptionIsOfTheDefaultsWhateverIsConfigured(t *testing.T) {
	p, _ := startSink(t, sdk.Spec{Path: trapNamed(t, "demanding"), Config: map[string]any{
		"path": "x", "tls": map[string]any{"ca": "x"}, "names": []any{"secret"}, "waits": []any{"7s"}, "labels": map[string]any{"a": "secret"},
	}})
	before := p.Described()
	after, err := p.Describe(t.Context())
	if err != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("once it is open it says %+v, %v, and before %+v", after, err, before)
	}
	if p.Outdated() {
		t.Error("it is said to speak an old protocol")
	}
}
