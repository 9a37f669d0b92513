package fleet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWhatAPersonMustMendIsToldOnce(t *testing.T) {
	log := keepLog(t)
	folder := t.TempDir()
	f, _ := newFleet(t, folder)
	sink := f.Sink(Spec{Name: "lost", Program: "fluxgate-sink-lost", Optional: true})
	line, deaths := sink.line.Load(), newDeaths(false)
	tell := func(times int, says string) {
		t.Helper()
		before := len(log.String())
		for range times {
			deaths.add(time.Now())
			line.report(line.open(t.Context()), deaths)
		}
		said := log.String()[before:]
		if strings.Count(said, "\n") != 1 || !strings.Contains(said, "level=WARN") || !strings.Contains(said, says) {
			t.Errorf("%d attempts are told as\n%s, want one line with %q", times, said, says)
		}
		if s := told(t, f, "lost"); s.State != Refused || !strings.Contains(s.Trouble, strings.ReplaceAll(says, `\`, "")) {
			t.Errorf("it is %s: %s", s.State, s.Trouble)
		}
	}
	program := filepath.Join(folder, "fluxgate-sink-lost")
	tell(crashLimit+2, `no program \"fluxgate-sink-lost\"`)
	if err := os.WriteFile(program, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tell(2, "is not executable")
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	tell(2, `no program \"fluxgate-sink-lost\"`)
}
