package journal

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"testing"
)

// overtaken does what saveCursors does, with a Save between its two halves, and
// returns the generation and the state that it takes for durable.
func overtaken(t *testing.T, l *Log, r *Reader) (uint64, state, error) {
	t.Helper()
	l.lock()
	r.state.end = l.end
	r.generation++
	s, generation := r.state, r.generation
	l.unlock()
	next(t, r)
	return generation, s, r.cursor.write(s, generation, true)
}

// next lets r have one record more, and saves it.
func next(t *testing.T, r *Reader) {
	t.Helper()
	found, err := r.Next(context.Background(), Limit{Count: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Save(len(found), 0); err != nil {
		t.Fatal(err)
	}
}

// durableAt returns the number of a cursor as a power loss would leave it, if it
// has a good slot.
func durableAt(d *disk, name string) (number uint64, good bool) {
	file := d.durable[name+cursorSuffix].durable
	newest := uint64(0)
	for i := range 2 {
		if (i+1)*slotStep-slotStep+slotSize > len(file) {
			continue
		}
		if s, generation, ok := parseSlot(file[i*slotStep : i*slotStep+slotSize]); ok && generation >= newest {
			number, newest, good = s.at.Number, generation, true
		}
	}
	return number, good
}

func TestASyncThatIsOvertakenSyncsWhatIsNewer(t *testing.T) {
	d := newDisk()
	l, _ := onDisk(t, d)
	r := reader(t, l, "carbon", false)
	add(t, l, rec("first", 1), rec("second", 1))
	next(t, r)
	syncs, slot := d.syncs, r.cursor.slot
	if _, _, err := overtaken(t, l, r); err != nil {
		t.Fatal(err)
	}
	if at, good := durableAt(d, "carbon"); d.syncs != syncs+1 || r.cursor.slot == slot || at != 2 || !good {
		t.Errorf("%d syncs, the slot was %d and is %d, on disk it is at %d", d.syncs-syncs, slot, r.cursor.slot, at)
	}
}

// TestASyncThatIsOvertakenHoldsNothingLostForDurable lets the newer state be lost
// by a sync that failed, or torn by a write that failed.
func TestASyncThatIsOvertakenHoldsNothingLostForDurable(t *testing.T) {
	for _, fails := range []string{"sync", "write"} {
		d := newDisk()
		l, _ := onDisk(t, d)
		r := reader(t, l, "carbon", false)
		add(t, l, rec("first", 1), rec("second", 1), rec("third", 1))
		next(t, r)
		l.lock()
		s, generation := r.state, r.generation
		r.generation++ // of what next saves
		l.unlock()
		next(t, r)
		d.choose = func(n int) int { return n / 2 } // a write that fails is torn
		if fails == "sync" {
			d.choose = func(int) int { return 0 } // a sync that fails loses all
		}
		d.fails = func(call, _ string) error {
			if call == fails {
				return errDisk
			}
			return nil
		}
		l.lock()
		if err := r.sync(); !errors.Is(err, errDisk) {
			t.Fatal(err)
		}
		l.unlock()
		d.fails = nil
		if err := r.cursor.write(s, generation, true); err != nil {
			t.Fatal(err)
		}
		if at, good := durableAt(d, "carbon"); at != 2 || !good {
			t.Errorf("after a failed %s the cursor on disk is at %d, %v", fails, at, good)
		}
	}
}

func TestAnOvertakenSyncFreesNothingThatAPowerLossBringsBack(t *testing.T) {
	d := newDisk()
	l, _ := onDisk(t, d)
	r := reader(t, l, "carbon", false)
	for range 6 {
		add(t, l, filler("x", 500)) // two in each segment
	}
	next(t, r)
	next(t, r)
	generation, s, err := overtaken(t, l, r)
	if err != nil {
		t.Fatal(err)
	}
	l.lock()
	r.saved, r.durable = generation, s.at
	l.unlock()
	l.reclaim()
	l.report(l.sweep())
	d.durable = maps.Clone(d.names) // the names are durable, the rest only where it was synced
	d.losePower()
	l, reports := onDisk(t, d)
	if b := reader(t, l, "carbon", false).Books(); b.Damaged != 0 || b.Imbalance() != 0 || len(reports()) > 0 {
		t.Errorf("%+v, reported %v", b, reports())
	}
}

func TestAWriteToAClosedCursorDoesNothing(t *testing.T) {
	d := newDisk()
	l, _ := onDisk(t, d)
	r := reader(t, l, "carbon", false)
	if err := r.cursor.close(); err != nil {
		t.Fatal(err)
	}
	calls := d.calls
	for _, sync := range []bool{false, true} {
		for _, generation := range []uint64{1, 100} {
			if err := r.cursor.write(r.state, generation, sync); err != nil || d.calls != calls {
				t.Errorf("sync %v: %v, %d calls", sync, err, d.calls-calls)
			}
		}
	}
	if err := r.cursor.close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("closed twice: %v", err)
	}
}

// TestACursorThatWasNotSyncedFreesNothing opens a log after a kill, on a disk that
// does not sync.
func TestACursorThatWasNotSyncedFreesNothing(t *testing.T) {
	d := newDisk()
	l, _ := onDisk(t, d)
	r := reader(t, l, "carbon", false)
	for range 3 {
		add(t, l, filler("x", 1000))
	}
	drain(t, r)
	d.kill()
	d.fails = func(call, name string) error {
		if call == "sync" && name == "carbon"+cursorSuffix {
			return errDisk
		}
		return nil
	}
	l, _ = onDisk(t, d)
	if l.reclaim(); len(l.segments) != 3 {
		t.Errorf("%d segments are left, and the cursor on disk is nowhere", len(l.segments))
	}
	d.fails = nil
	l.tidy()
	if at, good := durableAt(d, "carbon"); at != 3 || !good || len(l.segments) != 1 {
		t.Errorf("%d segments are left, and the cursor on disk is at %d", len(l.segments), at)
	}
}
