package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"fluxgate/sdk"
)

// onDisk opens a log of segments of 2 KiB on d, without goroutines. What it reports
// is returned by the function.
func onDisk(t *testing.T, d *disk) (*Log, func() []error) {
	t.Helper()
	var reports []error
	l, err := Open("", Options{Budget: 8 * 2048, Segment: 2048, Files: d, quiet: true, Report: func(err error) { reports = append(reports, err) }})
	if err != nil {
		t.Fatal(err)
	}
	return l, func() []error { return reports }
}

// filler is a record of so many bytes on disk.
func filler(name string, size int) Record {
	return rec(name+strings.Repeat("x", size-recordSize-len(name)), 1)
}

func TestCursorsAreDurableBeforeASegmentGoes(t *testing.T) {
	d := newDisk()
	l, _ := onDisk(t, d)
	r := reader(t, l, "carbon", false)
	removed := 0
	d.after = func(call, name string, _ int) {
		number, ok := numberOf(name, segmentSuffix)
		if call != "remove" || !ok {
			return
		}
		removed++
		var saved uint64
		for i := range 2 {
			if s, _, good := parseSlot(d.durable["carbon"+cursorSuffix].durable[i*slotStep:]); good {
				saved = max(saved, s.at.Number)
			}
		}
		if saved < number { // one record in each segment
			t.Errorf("segment %d is removed, and the cursor on disk is at %d", number, saved)
		}
	}
	for i := range 6 {
		add(t, l, filler(fmt.Sprint(i), 1000))
	}
	drain(t, r)
	if l.tidy(); removed < 5 {
		t.Errorf("%d segments are removed", removed)
	}
}

// TestWhatAFailedCommitLeft lets a commit fail that goes to the next segment, which
// is removed, and comes back after a power loss.
func TestWhatAFailedCommitLeft(t *testing.T) {
	for _, restart := range []bool{false, true} {
		d := newDisk()
		d.choose = func(n int) int { return n / 5 } // a failed sync did its work, a removal not
		l, _ := onDisk(t, d)
		reader(t, l, "carbon", false)
		add(t, l, filler("first", 800))
		if err := l.prepare(2, false, nil); err != nil {
			t.Fatal(err)
		}
		d.fails = func(call, _ string) error {
			if call == "sync" {
				return errDisk
			}
			return nil
		}
		if _, err := l.Append([]Record{filler("large", 800)})(); !errors.Is(err, errDisk) || !errors.Is(err, sdk.ErrUnavailable) {
			t.Fatal(err)
		}
		d.fails = nil
		if restart {
			d.kill()
			l, _ = onDisk(t, d)
			reader(t, l, "carbon", false)
		}
		add(t, l, filler("small", 80))
		d.losePower()
		l, _ = onDisk(t, d)
		if got := fmt.Sprintf("%.5s", drain(t, reader(t, l, "carbon", false))); got != "[first small]" {
			t.Errorf("restarted %v: read %s", restart, got)
		}
	}
}

func TestWhatIsQueuedBehindAFailureFails(t *testing.T) {
	d := newDisk()
	l, _ := onDisk(t, d)
	add(t, l, rec("first", 1))
	var late func() (Position, error)
	d.fails = func(call, _ string) error {
		if call != "sync" {
			return nil
		}
		if late == nil {
			late = l.Append(nil) // judged by what fails now
		}
		return errDisk
	}
	var waits []func() (Position, error)
	for range 3 {
		waits = append(waits, l.Append([]Record{rec("second", 1)}))
	}
	for i, wait := range append(waits, func() (Position, error) { return late() }) {
		if _, err := wait(); !errors.Is(err, errDisk) {
			t.Errorf("%d: %v", i, err)
		}
	}
	d.fails = nil
	if p := add(t, l, rec("third", 1)); p.Number != 2 {
		t.Errorf("the position is %v", p)
	}
}

func TestWhatWasSeenAfterAKillIsDurable(t *testing.T) {
	d := newDisk()
	l, _ := onDisk(t, d)
	add(t, l, rec("first", 1))
	d.fails = func(call, _ string) error {
		if call == "sync" {
			return errDisk
		}
		return nil
	}
	if _, err := l.Append([]Record{rec("second", 1)})(); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	d.fails = nil
	d.kill()
	l, _ = onDisk(t, d)
	end := l.End()
	d.losePower()
	if l, _ = onDisk(t, d); l.End() != end {
		t.Errorf("the end was %v and is %v", end, l.End())
	}
}

func TestARecordIsGoodInItsPlaceOnly(t *testing.T) {
	b := appendRecord(nil, rec("data", 1), 7, 2048, dataStart)
	for _, tt := range []struct {
		segment uint64
		offset  int64
		good    bool
	}{{7, 2048, true}, {7, 2056, false}, {8, 2048, false}} {
		if _, good := parseHeader(b, tt.segment, tt.offset, false); good != tt.good {
			t.Errorf("in segment %d at %d: %v", tt.segment, tt.offset, good)
		}
	}
}

func TestCursorsSurviveAPowerLoss(t *testing.T) {
	for seed := range uint64(300) {
		d := newDisk()
		d.choose = rand.New(rand.NewPCG(seed, 2)).IntN
		l, _ := onDisk(t, d)
		r := reader(t, l, "carbon", false)
		at := uint64(0)
		for i := range 9 {
			add(t, l, rec(fmt.Sprint(i), 1))
			if drain(t, r); i == 4 {
				l.tidy()
				at = r.Saved().Number
			}
		}
		d.losePower()
		l, reports := onDisk(t, d)
		if r = reader(t, l, "carbon", false); r.Saved().Number < at || len(reports()) > 0 {
			t.Fatalf("seed %d: at %v, after a sync at %d: %v", seed, r.Saved(), at, reports())
		}
		balanced(t, l)
	}
}

// TestOneFlipAnywhere flips one bit in each byte of a log in turn.
func TestOneFlipAnywhere(t *testing.T) {
	d := newDisk()
	l, _ := onDisk(t, d)
	r := reader(t, l, "carbon", false)
	var want []string
	for i := range 12 {
		want = append(want, fmt.Sprintf("%02d%s", i, strings.Repeat("x", 160)))
		add(t, l, rec(want[i], 1))
	}
	first, err := r.Next(context.Background(), Limit{Count: 1})
	if err != nil || len(first) != 1 {
		t.Fatal(first, err)
	}
	if err := errors.Join(r.Save(1, 0), l.Close()); err != nil {
		t.Fatal(err)
	}
	names, _ := d.Names()
	for _, name := range names {
		for at := range d.names[name].now {
			again := newDisk()
			for n, i := range d.names {
				again.names[n] = &inode{now: bytes.Clone(i.now)}
			}
			again.flip(name, 8*at+at%8)
			l, reports := onDisk(t, again)
			r := reader(t, l, "carbon", false)
			got := drain(t, r)
			if len(got) == 12 {
				got = got[1:] // the cursor's other slot
			}
			lost := slices.DeleteFunc(slices.Clone(want[1:]), func(s string) bool { return slices.Contains(got, s) })
			damages := 0
			for _, err := range reports() {
				var damage Damage
				if errors.As(err, &damage) {
					damages += int(damage.Count)
				}
			}
			if at < dataStart && strings.HasSuffix(name, segmentSuffix) && len(reports()) > 0 {
				t.Fatalf("%s, byte %d of the header: %v", name, at, reports())
			}
			b := r.Books()
			if len(lost) > 1 || len(got)+len(lost) != 11 || int(b.Damaged) != len(lost) || damages != len(lost) || b.Imbalance() != 0 || b.Accepted != 12 {
				t.Fatalf("%s, byte %d: lost %v of %d, in the books: %+v, reported: %v", name, at, lost, len(got), b, reports())
			}
		}
	}
}

func TestStaleRecordsAreNotRead(t *testing.T) {
	d := newDisk()
	l, _ := onDisk(t, d)
	reader(t, l, "carbon", false)
	add(t, l, rec("first", 1))
	if err := l.prepare(1, false, nil); err != nil {
		t.Fatal(err)
	}
	d.fails = func(call, _ string) error {
		if call == "sync" {
			return errDisk
		}
		return nil
	}
	if _, err := l.Append([]Record{rec("stale", 1)})(); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	d.fails = nil
	add(t, l, rec("second", 1))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	clear(d.names[numbered(2, segmentSuffix)].now[1:dataStart]) // where it says how far the first goes
	l, _ = onDisk(t, d)
	if got := fmt.Sprint(drain(t, reader(t, l, "carbon", false))); got != "[first second]" {
		t.Errorf("read %s", got)
	}
}

func TestAnOptionalReaderIsMovedOnAndKilled(t *testing.T) {
	d := newDisk()
	l, _ := onDisk(t, d)
	r := reader(t, l, "ledger", true)
	add(t, l, filler("held", 80))
	if _, err := r.Next(context.Background(), Limit{}); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		add(t, l, filler("x", 1000))
	}
	before := r.Books()
	d.kill()
	l, reports := onDisk(t, d)
	if b := l.Stored()[0]; b.Expired != before.Expired+1 || b.Imbalance() != 0 || b.Accepted != 21 || len(reports()) > 0 {
		t.Errorf("%+v, before: %+v, reported %v", b, before, reports())
	}
}

// TestManyThingsAtOnce lets an optional reader be moved on while it reads, with all
// goroutines at work in a small budget.
func TestManyThingsAtOnce(t *testing.T) {
	d := newDisk()
	l := open(t, "", Options{Budget: 6 * 2048, Segment: 2048, Files: d})
	r, other := reader(t, l, "carbon", false), reader(t, l, "ledger", true)
	const n = 3000
	ended := make(chan error, 1)
	go func() {
		ended <- func() error {
			for at := uint64(0); ; {
				found, err := other.Next(context.Background(), Limit{Bytes: 600})
				for _, f := range found {
					if f.Number < at || string(f.Data[:6]) != fmt.Sprintf("%06d", f.Number) {
						return fmt.Errorf("number %d, at %d: %.6s", f.Number, at, f.Data)
					}
					at = f.Number + 1
				}
				if err = errors.Join(err, other.Save(len(found), 0)); err != nil {
					return err
				}
				if b := other.Books(); b.Accepted == n && b.Waiting == 0 {
					return nil
				}
			}
		}()
	}()
	for i := 0; i < n; {
		_, err := l.Append([]Record{filler(fmt.Sprintf("%06d", i), 400)})()
		if err == nil {
			i++
			continue
		}
		if !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		drain(t, r)
	}
	drain(t, r)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	b := other.Books()
	if balanced(t, l); b.Delivered+b.Expired != n || b.Damaged != 0 {
		t.Errorf("%+v", b)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if d.peak > l.Budget {
		t.Errorf("%d bytes of segments in a budget of %d", d.peak, l.Budget)
	}
}
