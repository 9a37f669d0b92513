package journal

import (
	"bytes"
	"context"
	"testing"
)

// seedDisk returns a disk with a closed log of some records and a reader that has
// had two of them.
func seedDisk(t testing.TB) (*disk, Options) {
	d := newDisk()
	o := Options{Budget: 16 << 10, Segment: 4 << 10, Files: d, quiet: true}
	l := open(t, "", o)
	r := reader(t, l, "carbon", false)
	for _, text := range []string{"one", "two", "three"} {
		add(t, l, rec(text, 2))
	}
	found, err := r.Next(context.Background(), Limit{Count: 4})
	if err != nil || len(found) != 2 {
		t.Fatal(found, err)
	}
	if err := r.Save(4, 0); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return d, o
}

// alive says whether a log on d opens, balances, and still takes and gives
// records.
func alive(t *testing.T, d *disk, o Options) (got []string) {
	o.Report = func(error) {}
	l := open(t, "", o)
	for _, name := range []string{"carbon", "new"} {
		r := reader(t, l, name, false)
		if name == "new" {
			add(t, l, rec("alive", 1))
		}
		if got = append(got, drain(t, r)...); name == "new" && got[len(got)-1] != "alive" {
			t.Errorf("read %q", got)
		}
	}
	balanced(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := verify(d); err != nil {
		t.Fatal(err)
	}
	return got
}

// FuzzSegment opens a log whose segment is anything: it opens, and what stands
// whole at the beginning of the segment is read.
func FuzzSegment(f *testing.F) {
	d, _ := seedDisk(f)
	good := d.names[numbered(1, segmentSuffix)].now
	f.Add(good)
	f.Add(good[:1100])
	f.Add(good[:dataStart])
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte("rec"), 2000))
	f.Add(append(bytes.Clone(good[:1060]), bytes.Repeat([]byte{0xff}, 3000)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= 2*dataStart {
			if h, ok, err := parseHead(b, 1); err != nil || ok && (h.start != 0 || h.previous != 0) {
				return // of another version, or of another log
			}
		}
		d, o := seedDisk(t)
		d.names[numbered(1, segmentSuffix)].now = b
		delete(d.names, "carbon"+cursorSuffix) // which knows better
		kept := 0
		for end := dataStart; kept < 3 && len(b) >= end && bytes.Equal(b[:end], good[:end]); kept++ {
			if end += int(sizeOf(len([]string{"one", "two", "three"}[kept]))); len(b) < end || !bytes.Equal(b[:end], good[:end]) {
				break
			}
		}
		o.Report = func(error) {}
		l := open(t, "", o)
		var n int
		err := l.Replay(Position{}, nil, func(r Record) error {
			n++
			return nil
		})
		if err != nil || n < kept {
			t.Errorf("%d of %d records are read, %v", n, kept, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		alive(t, d, o)
	})
}

// FuzzCursor opens a log with a cursor that is anything.
func FuzzCursor(f *testing.F) {
	d, _ := seedDisk(f)
	good := d.names["carbon"+cursorSuffix].now
	f.Add(good)
	f.Add(good[:slotSize])
	f.Add(good[slotSize:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, o := seedDisk(t)
		d.names["carbon"+cursorSuffix].now = b
		s, _, _, _, err := readSlots(&memory{d: d, n: d.names["carbon"+cursorSuffix]})
		if err == nil && s.end != (Position{1, 6, s.end.Offset}) {
			return // of another log
		}
		got := alive(t, d, o)
		if err != nil && len(got) != 4 { // three from the beginning, and one for the new reader
			t.Errorf("with no good slot %q is read", got)
		}
	})
}
