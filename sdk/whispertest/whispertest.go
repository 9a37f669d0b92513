// Package whispertest is a whole Fluxgate inside a test, for whoever sends
// metrics and wants to see what becomes of them in whisper files. It needs
// neither Graphite nor Redis, no port and no folder:
//
//	func TestReport(t *testing.T) {
//		gate := whispertest.Start(t)
//		now := time.Now().Unix()
//		if err := report(gate.URL, gate.Key, now); err != nil { // the code under test
//			t.Fatal(err)
//		}
//		gate.Want("vista.nodes.one.cpu", sdk.Point{Timestamp: now, Value: 1.5})
//	}
//
// # The program
//
// It is the fluxgate that the environment variable WHISPERTEST_FLUXGATE names,
// else the one on the PATH, else the one beside the folder of the sdk's sources,
// always with its plugins in the folder plugins beside it, or in
// /usr/lib/fluxgate/plugins. In Fluxgate's own repository it is built from the
// sources instead of being looked for on the PATH.
//
// Linux only.
package whispertest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"testing"

	"fluxgate/sdk"
)

// A Gate is a Fluxgate of one test, with the whisper sink and nothing else. Its
// methods end the test that it was made for, or the one given to [Gate.For], when
// they cannot do what they say.
type Gate struct {
	URL    string // where metrics are sent to, such as http://127.0.0.1:40001, to which the paths of requests are added
	Key    string // the API key that is admitted
	Folder string // of the whisper files

	t       testing.TB
	config  Config
	process *process
}

// Start starts a Fluxgate with the settings of [Default].
func Start(t testing.TB) *Gate {
	t.Helper()
	return Default().Start(t)
}

// Start starts a Fluxgate of the test's own, and returns when requests can come.
// At the end of the test it is stopped, and all that it kept is removed; if the
// test has failed, its log is shown. It ends with the test's process, however
// that ends.
func (c Config) Start(t testing.TB) *Gate {
	t.Helper()
	folder := t.TempDir()
	g := &Gate{Folder: filepath.Join(folder, "whisper"), t: t, config: c}
	if err := c.write(configFile(folder), g.Folder); err != nil {
		t.Fatalf("settings of fluxgate: %v", err)
	}
	program, err := findProgram()
	if err != nil {
		t.Fatal(err)
	}
	g.process, err = program.start(folder)
	if err != nil {
		t.Fatalf("start %s: %v", program.path, err)
	}
	g.URL, g.Key, err = g.process.address()
	if err != nil {
		_ = g.process.stop() // what it did until now is in its log
		t.Fatalf("start %s: %v\n%s", program.path, err, g.process.tail())
	}
	t.Cleanup(func() { g.process.end(t) })
	return g
}

// For returns the same gate for another test, such as a subtest, which is then
// the one that fails.
func (g *Gate) For(t testing.TB) *Gate {
	other := *g
	other.t = t
	return &other
}

// Send sends the points of one metric in one request, and returns when they are
// in the metric's file. As with every request a point is dropped unless it is
// newer than what the metric has already, so they go in ascending order of time.
func (g *Gate) Send(metric string, points ...sdk.Point) {
	g.t.Helper()
	body, err := json.Marshal(body(g.Key, metric, points))
	if err != nil {
		g.t.Fatalf("send %s: %v", metric, err)
	}
	request, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, g.URL+"/flux/metric_data_post", bytes.NewReader(body))
	if err != nil {
		g.t.Fatalf("send %s: %v", metric, err)
	}
	request.Header.Set("X-Fluxgate-Ack", "delivered")
	request.Close = true // nothing of it is left when the test ends
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		g.t.Fatalf("send %s: %v%s", metric, err, g.process.obituary())
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		text, _ := io.ReadAll(answer.Body)
		g.t.Fatalf("send %s: got %s: %s\nsent %s\nwant 204 No Content", metric, answer.Status, bytes.TrimSpace(text), body)
	}
}

// body returns what a request with the points of a metric says.
func body(key, metric string, points []sdk.Point) any {
	items := make([]map[string]any, len(points))
	for i, p := range points {
		items[i] = map[string]any{"metric": metric, "timestamp": p.Timestamp, "value": p.Value}
	}
	return map[string]any{"key": key, "metrics": items}
}
