package sdk

import (
	"errors"
	"strings"
	"testing"
)

// A plugin in another language need not judge its settings itself.
func TestHostJudgesByTheDescription(t *testing.T) {
	told := Description{Kind: "sink", Protocol: 2, Settings: []Setting{{Name: "path", Type: "text"}}}
	for _, tt := range []struct {
		name     string
		is       Description
		kind     string
		settings string
		says     string // nothing: it is admitted
	}{
		{"as told", told, "sink", `{"path": "x"}`, ""},
		{"another kind", told, "input", `{"path": "x"}`, "plugin of kind sink, and is configured as input"},
		{"an unknown setting", told, "sink", `{"path": "x", "pat": 1}`, `unknown setting "pat"`},
		{"a missing one", told, "sink", `{}`, `"path" must be given`},
		{"one that says nothing of itself", Description{Protocol: 1}, "sink", `{"pat": 1}`, ""},
		{"one without settings", Description{Kind: "sink", Settings: []Setting{}}, "sink", `{"pat": 1}`, "there are no settings here"},
	} {
		err := tt.is.admit(tt.kind, []byte(tt.settings))
		if tt.says == "" && err != nil || tt.says != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.says)
		}
	}
}
