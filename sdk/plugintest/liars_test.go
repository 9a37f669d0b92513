package plugintest_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/plugintest"
)

// The lies of each kind, and the one sentence that each breaks.
var broken = map[string]map[string]string{
	"any": {
		"describing vaguely":               "describes its kind, its version and each of its settings",
		"taking any setting":               "refuses a setting that it does not know, by name",
		"complaining":                      "answers a check",
		"dawdling":                         "finishes a call whose context has ended",
		"speaking":                         "writes nothing to standard output but the handshake",
		"speaking behind go-plugin's back": "writes nothing to standard output but the handshake",
		"outliving its host":               "leaves when its host has died",
		"staying":                          "leaves within its time when it is asked to",
	},
	"sink": {
		"forgetting":                      "stores what it acknowledges",
		"forgetting over gRPC":            "stores what it acknowledges",
		"forgetting over the data socket": "stores what it acknowledges",
		"shuffling several batches":       "stores several batches at once in their order, or says that it has not",
		"losing one of several":           "stores several batches at once in their order, or says that it has not",
		"hushing up a bad batch":          "stores a bad datapoint or refuses it as invalid, and goes on",
		"hurrying":                        "stores what it acknowledges, however short the time",
		"refusing nothing":                "accepts an empty batch",
		"keeping the first":               "accepts the same batch twice, and the last value of an interval stays",
		"losing under load":               "stores what several calls bring at once",
		"cutting":                         "stores a batch of 5,000 datapoints",
		"hoping":                          "stores a bad datapoint or refuses it as invalid, and goes on",
		"dying of it":                     "stores a bad datapoint or refuses it as invalid, and goes on",
		"forgetting when stopped":         "keeps what it has acknowledged when it is stopped",
		"storing later":                   "keeps what it has acknowledged when it is killed",
	},
	"input": {
		"misreading":              "decodes its cases",
		"showing what was before": "decodes alike whatever else it decodes, also in memory that it uses again",
		"wavering":                "decodes the same request to the same submission, also at once",
		"hoping":                  "answers whatever comes with a submission or a refusal",
		"dying of it":             "answers whatever comes with a submission or a refusal",
		"choking":                 "answers whatever comes with a submission or a refusal",
		"letting infinity pass":   "submits finite values only",
		"replying with no status": "replies, where it does so by itself, with a status from 200 to 599, and JSON or nothing",
		"replying in prose":       "replies, where it does so by itself, with a status from 200 to 599, and JSON or nothing",
	},
	"resampler": {
		"renaming":                    "the metric stays",
		"disordering":                 "one finite value for each timestamp, in ascending order",
		"repeating":                   "one finite value for each timestamp, in ascending order",
		"exaggerating":                "one finite value for each timestamp, in ascending order",
		"being askew":                 "every timestamp is a multiple of step",
		"inventing":                   "no interval that had no points",
		"making something of nothing": "no interval that had no points",
		"wavering":                    "the same answer for the same input, also to several calls at once",
		"drifting":                    "resampling again at the same step changes nothing",
		"choking":                     "resamples an interval of 500,000 points",
	},
}

// withoutSDK are lies that the sdk does not let a plugin tell. These liars are sinks.
var withoutSDK = map[string]string{
	"opening for everybody":         "opens once, and as its own kind",
	"opening twice":                 "opens once, and as its own kind",
	"working unopened":              "is unavailable before it is opened and after it has drained",
	"working when drained":          "is unavailable before it is opened and after it has drained",
	"refusing when drained":         "is unavailable before it is opened and after it has drained",
	"babbling on its data socket":   "keeps its data socket, if it offers one, whatever it is asked",
	"listening at no data socket":   "keeps its data socket, if it offers one, whatever it is asked",
	"hanging up on its data socket": "keeps its data socket, if it offers one, whatever it is asked",
}

// program is this test binary under the name of a liar.
func program(t *testing.T, kind, lie string) plugintest.Program {
	t.Helper()
	name := kind
	if lie != "" {
		name += lies + lie
	}
	folder := t.TempDir()
	path := filepath.Join(folder, name)
	if err := os.Symlink(os.Args[0], path); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "stored")
	p := plugintest.Program{Path: path, Kind: kind, Settings: map[string]any{"path": file}, Wait: time.Second}
	switch kind {
	case "sink":
		p.Stored = func() (sdk.Batch, error) { return plugintest.LinesOf(file) }
	case "input":
		p.Cases = "testdata/cases"
	}
	return p
}

// findings returns the sentences that a program breaks.
func findings(t *testing.T, p plugintest.Program) (names []string) {
	t.Helper()
	count := 0
	err := p.Test(t.Context(), func(r plugintest.Result) {
		count++
		if r.Err != nil {
			t.Logf("%s: %v", r.Sentence, r.Err)
			names = append(names, r.Sentence)
		}
	})
	if (err != nil) != (names != nil) || count < 12 {
		t.Errorf("%d sentences were judged, %d are broken, and the error is %v", count, len(names), err)
	}
	return names
}

// What Close says is told as such.
func TestABadCloseIsTold(t *testing.T) {
	t.Parallel()
	var told []string
	_ = program(t, "sink", "closing badly").Test(t.Context(), func(r plugintest.Result) {
		if r.Err != nil {
			told = append(told, r.Err.Error())
		}
	})
	if all := strings.Join(told, "\n"); !strings.Contains(all, "which closes the plugin, it says: ") || !strings.Contains(all, "half a batch is unwritten") {
		t.Errorf("of a Close that fails the kit tells %q", told)
	}
}

// An author whose function gives up by t.Fatal is told so.
func TestAReaderMayEndItsGoroutine(t *testing.T) {
	t.Parallel()
	p := program(t, "sink", "")
	p.Stored = func() (sdk.Batch, error) {
		runtime.Goexit()
		return nil, nil
	}
	told := make(chan string, 1)
	go func() {
		var all strings.Builder
		_ = p.Test(t.Context(), func(r plugintest.Result) {
			if errors.Is(r.Err, plugintest.ErrNotJudged) {
				fmt.Fprintln(&all, r.Err)
			}
		})
		told <- all.String()
	}()
	select {
	case all := <-told:
		if !strings.Contains(all, "has ended its goroutine, as t.Fatal does") {
			t.Errorf("the kit tells %q", all)
		}
	case <-time.After(time.Minute):
		t.Error("the kit waits for who has ended")
	}
}

func TestTheHonestPass(t *testing.T) {
	for _, kind := range []string{"sink", "input", "resampler"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			if names := findings(t, program(t, kind, "")); names != nil {
				t.Errorf("of an honest %s the kit says that it breaks %q", kind, names)
			}
		})
	}
}

func TestEachLieBreaksItsSentence(t *testing.T) {
	for kind, own := range broken {
		if kind == "any" {
			continue
		}
		all := maps.Clone(own)
		maps.Copy(all, broken["any"])
		if kind == "sink" {
			maps.Copy(all, withoutSDK)
		}
		for lie, sentence := range all {
			t.Run(kind+lies+lie, func(t *testing.T) {
				t.Parallel()
				if names := findings(t, program(t, kind, lie)); !slices.Equal(names, []string{sentence}) {
					t.Errorf("it breaks %q, want %q", names, sentence)
				}
			})
		}
	}
}

// No sentence stands without a liar by which it is known to find something.
func TestEverySentenceHasItsLiar(t *testing.T) {
	for kind, own := range broken {
		if kind == "any" {
			continue
		}
		found := []string{firstSentence}
		for _, lies := range []map[string]string{own, broken["any"], withoutSDK} {
			found = slices.AppendSeq(found, maps.Values(lies))
		}
		_ = program(t, kind, "").Test(t.Context(), func(r plugintest.Result) {
			if !slices.Contains(found, r.Sentence) {
				t.Errorf("%s: no lie breaks %q", kind, r.Sentence)
			}
		})
	}
}

// firstSentence is the one that all others need.
const firstSentence = "opens with its settings"

func TestOfWhatDoesNotOpenNothingElseIsJudged(t *testing.T) {
	for _, kind := range []string{"sink", "input", "resampler"} {
		var results []plugintest.Result
		err := program(t, kind, "staying shut").Test(t.Context(), func(r plugintest.Result) { results = append(results, r) })
		if err == nil || results[0].Sentence != firstSentence || !strings.Contains(fmt.Sprint(results[0].Err), "not today") {
			t.Fatalf("%v, %+v", err, results)
		}
		for _, r := range results[1:] {
			if !errors.Is(r.Err, plugintest.ErrNotJudged) {
				t.Errorf("%s: %v", r.Sentence, r.Err)
			}
		}
	}
}

// A sink may leave it to its host to come with fewer batches.
func TestASinkMayRefuseSeveralBatches(t *testing.T) {
	if names := findings(t, program(t, "sink", "refusing several")); names != nil {
		t.Errorf("it breaks %q", names)
	}
}

// What is wrong on one plane alone is told of that plane.
func TestBothPlanesAreJudged(t *testing.T) {
	for kind, lie := range map[string]string{"sink": "forgetting", "input": "misreading"} {
		for _, plane := range []string{"over gRPC", "over the data socket"} {
			t.Run(kind+" "+plane, func(t *testing.T) {
				t.Parallel()
				broken := 0
				_ = program(t, kind, lie+" "+plane).Test(t.Context(), func(r plugintest.Result) {
					if r.Err == nil {
						return
					}
					broken++
					if text := r.Err.Error(); strings.Contains(text, "over gRPC: ") != (plane == "over gRPC") ||
						strings.Contains(text, "over its data socket: ") == (plane == "over gRPC") {
						t.Errorf("%s: %s", r.Sentence, text)
					}
				})
				if broken == 0 {
					t.Error("it breaks nothing")
				}
			})
		}
	}
}

func TestATallyMayDrift(t *testing.T) {
	p := program(t, "resampler", "drifting")
	p.Tally = true
	if names := findings(t, p); names != nil {
		t.Errorf("it breaks %q", names)
	}
}

func TestWhatCannotBeJudgedIsNoPass(t *testing.T) {
	for kind, forget := range map[string]func(*plugintest.Program){
		"sink":  func(p *plugintest.Program) { p.Stored = nil },
		"input": func(p *plugintest.Program) { p.Cases = "" },
	} {
		p := program(t, kind, "")
		forget(&p)
		unjudged := 0
		err := p.Test(t.Context(), func(r plugintest.Result) {
			if errors.Is(r.Err, plugintest.ErrNotJudged) {
				unjudged++
			} else if r.Err != nil {
				t.Errorf("%s: %v", r.Sentence, r.Err)
			}
		})
		if err == nil || unjudged < 3 {
			t.Errorf("%s: %d sentences were not judged, and the error is %v", kind, unjudged, err)
		}
	}
	if err := (plugintest.Program{Path: "x", Kind: "drain"}).Test(t.Context(), nil); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("an unknown kind: %v", err)
	}
}
