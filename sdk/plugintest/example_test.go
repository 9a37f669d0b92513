package plugintest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"fluxgate/sdk"
	"fluxgate/sdk/plugintest"
)

// The tests of a plugin whose main is in the same package.

func main() {} // the plugin's own: sdk.ServeSink(...), sdk.ServeInput(...) or sdk.ServeResampler(...)

func ExampleMain() {
	var TestMain = func(m *testing.M) { plugintest.Main(m, main) }

	_ = TestMain // go test finds it as a function of the package
}

func ExampleSink() {
	var TestSink = func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "lines")
		plugintest.Sink(t, map[string]any{"path": path}, func() sdk.Batch {
			stored, err := plugintest.LinesOf(path)
			if err != nil {
				t.Error(err)
			}
			return stored
		})
	}

	_ = TestSink // go test finds it as a function of the package
}

func ExampleInput() {
	// testdata/cases/two-lines/request.http     POST /lines HTTP/1.1 ...
	// testdata/cases/two-lines/submission.json  {"key": "k", "batch": [["vista.a", 1478021700, 1.5]]}
	var TestInput = func(t *testing.T) { plugintest.Input(t, nil, "testdata/cases") }

	_ = TestInput // go test finds it as a function of the package
}

func ExampleResampler() {
	var TestResampler = func(t *testing.T) {
		plugintest.Resampler(t, map[string]any{"method": "mean"})
		plugintest.Tally(t, map[string]any{"method": "count"})
	}

	_ = TestResampler // go test finds it as a function of the package
}

func ExampleLines() {
	for _, d := range plugintest.Lines("vista.a 1.5 1478021700\nvista.b 2 14780") { // the second is half written
		fmt.Println(d.Metric, d.Timestamp, d.Value)
	}
	// Output: vista.a 1478021700 1.5
}

// A program in whatever language is told of what it breaks without package testing.
func ExampleProgram_Test() {
	folder, err := os.MkdirTemp("", "kit")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "sink lies by opening twice") // this test binary, which is a sink by such a name
	if err := os.Symlink(os.Args[0], path); err != nil {
		fmt.Println(err)
		return
	}
	file := filepath.Join(folder, "lines")
	p := plugintest.Program{
		Path:     path,
		Kind:     "sink",
		Settings: map[string]any{"path": file},
		Stored:   func() (sdk.Batch, error) { return plugintest.LinesOf(file) },
	}
	err = p.Test(context.Background(), func(r plugintest.Result) {
		if r.Err != nil {
			fmt.Printf("%s: %v\n", r.Sentence, r.Err)
		}
	})
	fmt.Println(err != nil)
	// Output:
	// opens once, and as its own kind: opened a second time it must refuse with INVALID_ARGUMENT, and says: <nil>
	// true
}
