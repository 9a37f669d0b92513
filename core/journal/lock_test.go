package journal

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
)

// watched is a log on a disk, of which each call but closing is looked at: mu must
// be free meanwhile, since Append waits for it. It is watched once watch was called.
// seen counts the calls, by what they do.
func watched(t *testing.T) (d *disk, l *Log, seen map[string]int, watch func(fails func(call, name string) bool)) {
	t.Helper()
	d, seen = newDisk(), map[string]int{}
	l, err := Open("", Options{Budget: 8 * 2048, Segment: 2048, Files: d, quiet: true,
		Summarize: func(iter.Seq[Record]) []byte { return []byte("all") }})
	if err != nil {
		t.Fatal(err)
	}
	watch = func(fails func(call, name string) bool) {
		d.fails = func(call, name string) error {
			for _, suffix := range []string{segmentSuffix, summarySuffix, cursorSuffix} {
				if strings.Contains(name, suffix) {
					seen[call+suffix]++
				}
			}
			if call != "close" && !l.mu.TryLock() {
				t.Errorf("mu is held over %s of %s", call, name)
			} else if call != "close" {
				l.mu.Unlock()
			}
			if fails != nil && fails(call, name) {
				return errDisk
			}
			return nil
		}
	}
	return d, l, seen, watch
}

func TestTheDiskIsWaitedForWithoutTheLock(t *testing.T) {
	_, l, seen, watch := watched(t)
	r, other := reader(t, l, "carbon", false), reader(t, l, "ledger", true)
	watch(nil)
	for range 4 {
		add(t, l, filler("x", 1000))
	}
	l.summarize()
	drain(t, r)
	drain(t, other)
	l.tidy()
	if seen["remove.seg"] != 3 || seen["remove.sum"] != 3 || seen["sync.cursor"] != 2 {
		t.Errorf("freed by the way: %v", seen)
	}
	for range 40 { // the other is moved on
		add(t, l, filler("x", 1000))
		drain(t, r)
	}
	if b := other.Books(); b.Expired == 0 || seen["remove.seg"] < 30 {
		t.Errorf("%+v, %v", b, seen)
	}
	balanced(t, l)
}

func TestAFailingDiskIsWaitedForWithoutTheLock(t *testing.T) {
	d, l, seen, watch := watched(t)
	reader(t, l, "carbon", false)
	add(t, l, filler("x", 800))
	if err := l.prepare(2, false, nil); err != nil {
		t.Fatal(err)
	}
	for _, failing := range []string{"sync", "create"} {
		watch(func(call, _ string) bool { return call == failing })
		if _, err := l.Append([]Record{filler("x", 1000), filler("y", 1000), filler("z", 1000)})(); !errors.Is(err, errDisk) {
			t.Fatal(err)
		}
	}
	if seen["remove.seg"] == 0 {
		t.Errorf("nothing was removed: %v", seen)
	}
	d.fails = nil
	l.tidy()
	if len(l.doomed) > 0 || len(l.segments) != 1 {
		t.Errorf("%d segments, %d doomed", len(l.segments), len(l.doomed))
	}
}

// TestASaveWhileRoomIsMade lets an optional reader save what it held, when it was
// moved on and perhaps had its turn among the cursors that are made durable.
func TestASaveWhileRoomIsMade(t *testing.T) {
	for range 20 {
		d, l, _, watch := watched(t)
		r, other := reader(t, l, "carbon", false), reader(t, l, "ledger", true)
		reader(t, l, "idle", true)
		add(t, l, filler("held", 1000))
		if found, err := other.Next(context.Background(), Limit{}); err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		for range 7 {
			add(t, l, filler("x", 1000))
		}
		drain(t, r)
		saved := false
		watch(func(call, name string) bool {
			if call == "sync" && strings.HasPrefix(name, "idle") && other.floor.Number > 0 && !saved {
				saved = true
				l.lock() // what Save does before it writes
				other.held = 0
				other.state.delivered++
				other.settle()
				l.unlock()
			}
			return false
		})
		d.after = func(call, name string, _ int) {
			if at, _ := durableAt(d, "ledger"); call == "remove" && strings.HasSuffix(name, segmentSuffix) && at < other.state.at.Number {
				t.Errorf("%s is removed, and the cursor on disk is at %d", name, at)
			}
		}
		if add(t, l, filler("x", 1000)); !saved {
			t.Fatal("nothing was saved meanwhile")
		}
		balanced(t, l)
	}
}

// TestWhatCannotBeSavedIsNotFreed lets the sync of a cursor fail.
func TestWhatCannotBeSavedIsNotFreed(t *testing.T) {
	d, l, seen, watch := watched(t)
	r := reader(t, l, "carbon", false)
	for range 8 {
		add(t, l, filler("x", 1000))
	}
	drain(t, r)
	watch(func(call, name string) bool { return call == "sync" && strings.Contains(name, cursorSuffix) })
	l.tidy()
	if _, err := l.Append([]Record{filler("x", 1000)})(); !errors.Is(err, errDisk) || errors.Is(err, ErrFull) {
		t.Error(err)
	}
	if seen["remove.seg"] > 0 || len(l.segments) != 8 {
		t.Errorf("%d segments are left: %v", len(l.segments), seen)
	}
	d.fails = nil
	add(t, l, filler("x", 1000))
	balanced(t, l)
}
