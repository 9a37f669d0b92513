//go:build !race

package python_test

import (
	"path/filepath"
	"testing"

	"fluxgate/sdk"
	"fluxgate/sdk/plugintest"
)

func TestExamplesMeetTheContract(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "stored")
	for program, p := range map[string]plugintest.Program{
		exampleSink:      {Kind: "sink", Settings: map[string]any{"path": file}, Stored: func() (sdk.Batch, error) { return plugintest.LinesOf(file) }},
		exampleInput:     {Kind: "input", Cases: "testdata/cases"},
		exampleResampler: {Kind: "resampler"},
	} {
		s, _ := spec(t, program, nil)
		p.Path = s.Path
		err := p.Test(t.Context(), func(r plugintest.Result) {
			if r.Err != nil {
				t.Errorf("%s: %s: %v", program, r.Sentence, r.Err)
			}
		})
		if err != nil {
			t.Error(err)
		}
	}
}
