package delivery

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"fluxgate/sdk"
)

// withLetters opens a small delivery to two sinks, the second of which has more
// dead letters than the budget has room.
func withLetters(t *testing.T, required bool) *Delivery {
	folder := t.TempDir()
	letters, err := openDead(folder, "second")
	if err != nil {
		t.Fatal(err)
	}
	for n := range 17 << 10 {
		if err := letters.add(Letter{Journal: "live", Number: uint64(n), Reason: strings.Repeat("never ", 160)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := letters.close(); err != nil {
		t.Fatal(err)
	}
	d, err := Open(Setup{Folder: folder, Command: typed, Budget: 16 << 20, Ledger: &book{}, Sinks: []Sink{
		{&shelf{}, "first", true, 0}, {&shelf{}, "second", required, 0},
	}}, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(running(t, d))
	return d
}

func TestLettersOfAnOptionalSinkHoldNothingBack(t *testing.T) {
	d := withLetters(t, false)
	for range 40 {
		if err := keep(t, d.Live, batch("a", maxBatch))(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFullOfLettersNamesTheRemedy(t *testing.T) {
	d := withLetters(t, true)
	for {
		kept, delivered := d.Live.Append(batch("a", maxBatch))
		if err := kept(); err != nil {
			if !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "fluxgate dead retry") || strings.Contains(err.Error(), "here") {
				t.Errorf("told %v", err)
			}
			return
		}
		if err := delivered(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// Two lanes may write letters at the same time.
func TestChargeIsThatOfAllLetters(t *testing.T) {
	d := open(t, t.TempDir(), &book{}, Sink{&shelf{}, "first", true, 0}, Sink{&shelf{}, "second", true, 0})
	defer d.Close()
	const rounds = 100_000
	for round := range int64(rounds) {
		var both sync.WaitGroup
		for _, target := range d.targets {
			both.Go(func() {
				target.dead.bytes.Add(1)
				d.charge()
			})
		}
		both.Wait()
		if got, want := d.Live.letters.Load(), 2*(round+1); got != want {
			t.Fatalf("round %d: %d bytes are charged, and there are %d", round, got, want)
		}
	}
}
