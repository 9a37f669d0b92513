// Package plugintest is the contract of Fluxgate's plugins as tests. They test the
// program that ships: in a process of its own, through its real main, over the
// real socket. The test binary becomes that program when a host starts it:
//
//	func TestMain(m *testing.M) { plugintest.Main(m, main) }
//
//	func TestSink(t *testing.T) {
//		path := filepath.Join(t.TempDir(), "out")
//		plugintest.Sink(t, map[string]any{"path": path}, func() sdk.Batch { return readBack(path) })
//	}
//
// A [Program] in any other language is tested by the same sentences. Those about the
// plugin's own method are judged over its data socket, if it offers one, and over
// gRPC.
//
// Every sentence has a liar in the kit's own tests, a plugin that breaks it and no
// other. The kit gives no false alarm: what it fails breaks the contract. It cannot
// see everything. These pass:
//
//   - a sink that loses datapoints under more load, or with the power
//   - a sink that reads its batch when Write has returned, for what it finds there is
//     most often what it was; or a resampler that keeps its series
//   - an input that misunderstands what no case shows
//   - a plugin that touches the network, or creates something, when it is opened
//   - one that judges its settings wrongly, but for one that nobody knows
package plugintest

import (
	"log/slog"
	"os"
	"sync"
	"testing"

	"fluxgate/sdk"
)

// Main runs the tests, which are a [testing.M], or the plugin's own main when
// this process was started as a plugin.
func Main(tests interface{ Run() int }, main func()) {
	if os.Getenv(cookieName) != "" {
		main()
		return
	}
	os.Exit(tests.Run())
}

// Sink tests the sink that this test binary becomes (see [Main]), each sentence of
// the contract of [sdk.Sink] as a subtest. The function stored returns all that is
// stored by now, in any order; of several datapoints of a metric with the same
// timestamp the last one counts. It is asked again until what should be there is,
// for ten seconds, also while the sink writes, and in goroutines of the kit. What the
// plugin logs is shown when a sentence is broken.
//
// The datapoints of the kit have names below fluxgate.kit, timestamps that are
// full minutes of the last hour, and the same values in single precision, so that
// most stores can keep them as they are.
func Sink(t *testing.T, settings map[string]any, stored func() sdk.Batch) {
	t.Helper()
	test(t, Program{Kind: "sink", Settings: settings, Stored: func() (sdk.Batch, error) { return stored(), nil }})
}

// Input tests the input that this test binary becomes (see [Main]), each sentence
// of the contract of [sdk.Input] as a subtest. The folder cases has a folder for
// each request that the input understands or refuses: request.http, which is the
// request as it travels, and submission.json, a [Case].
func Input(t *testing.T, settings map[string]any, cases string) {
	t.Helper()
	test(t, Program{Kind: "input", Settings: settings, Cases: cases})
}

// Resampler tests the resampler that this test binary becomes (see [Main]), each
// sentence of the contract of [sdk.Resampler] as a subtest, on generated series,
// the same ones every time. It does not know which value is the right one.
func Resampler(t *testing.T, settings map[string]any) {
	t.Helper()
	test(t, Program{Kind: "resampler", Settings: settings})
}

// Tally is [Resampler] for one whose values are not of the points' own kind, such
// as their number: resampled again they need not stay.
func Tally(t *testing.T, settings map[string]any) {
	t.Helper()
	test(t, Program{Kind: "resampler", Settings: settings, Tally: true})
}

// A diary is the beginning of what is logged.
type diary struct {
	mu   sync.Mutex
	text []byte
}

const maxDiary = 64 << 10 // bytes

func (d *diary) Write(line []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.text)+len(line) <= maxDiary {
		d.text = append(d.text, line...)
	}
	return len(line), nil
}

// show tells what was logged, if anything, to whoever looks for what failed.
func (d *diary) show(t *testing.T) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t.Failed() && len(d.text) > 0 {
		t.Logf("the plugin's log:\n%s", d.text)
	}
}

// test holds the program that this test binary becomes to every sentence.
func test(t *testing.T, p Program) {
	t.Helper()
	var log diary
	p.Path, p.Log = os.Args[0], slog.New(slog.NewTextHandler(&log, nil))
	kit, err := p.kit()
	if err != nil {
		t.Fatal(err)
	}
	for result := range kit.judge(t.Context()) {
		t.Run(result.Sentence, func(t *testing.T) {
			if result.Err != nil {
				t.Errorf("after %v: %v", result.Took, result.Err)
			}
		})
	}
	log.show(t)
}
