package plugintest

import (
	"os"
	"path/filepath"
	"testing"
)

// What one sentence does to the process that they share does not break the others.
func TestAProcessThatASentenceHasKilledIsStartedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resampler") // as which this test binary is an honest one
	if err := os.Symlink(os.Args[0], path); err != nil {
		t.Fatal(err)
	}
	k, err := Program{Path: path, Kind: "resampler"}.kit()
	if err != nil {
		t.Fatal(err)
	}
	defer k.end()
	killed, err := k.one(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	killed.Kill()
	<-killed.Done()
	for range 2 {
		p, err := k.one(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.work(t.Context()); err != nil || p == killed {
			t.Errorf("the next sentence has a process that says: %v", err)
		}
	}
}
