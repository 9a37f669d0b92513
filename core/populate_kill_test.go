package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// TestKilledJobGoesOn kills fluxgate while a job fetches, and while it delivers. Started
// again it finishes the job: the sink has each minute, as if nothing had been.
func TestKilledJobGoesOn(t *testing.T) {
	const n = 3000
	answer := ninetyDays(n)
	for state, hang := range map[string]bool{"fetching": true, "delivering": false} {
		t.Run(state, func(t *testing.T) {
			var asked atomic.Int32
			remote := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1) == 1 && hang {
					_, _ = w.Write(answer[:len(answer)/2]) // half of it, and no more
					_ = http.NewResponseController(w).Flush()
					<-r.Context().Done()
					return
				}
				_, _ = w.Write(answer)
			}))
			t.Cleanup(remote.Close)
			stored := filepath.Join(t.TempDir(), "stored.txt")
			yaml := pluginsYAML("act: wait, path: "+stored, fmt.Sprintf("populate: {allow: [%q], sink: actor}\n", strings.TrimPrefix(remote.URL, "http://")))
			p := launch(t, yaml)
			p.postVista(t, "graphite", "a.b", "vista.m", remote.URL+"/render/?from=-90days&format=json&target=a.b")
			await(t, "the job is "+state, func() bool { return p.jobIs(t, state) && (!hang || asked.Load() > 0) })
			p.kill()
			if err := os.WriteFile(stored, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			p = launch(t, yaml, "--data", p.data)
			p.awaitJob(t, "vista.m")
			lines, err := readLines(stored)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(lines)
			if got := len(slices.Compact(lines)); got != n {
				t.Errorf("%d datapoints are stored, want %d", got, n)
			}
		})
	}
}

// jobIs reports whether the only job is in a state.
func (p *process) jobIs(t *testing.T, state string) bool {
	t.Helper()
	_, text := fetch(t, "http://"+p.listen+"/populate_metric/jobs?key="+aKey)
	return strings.Contains(text, fmt.Sprintf(`"state":%q`, state))
}
