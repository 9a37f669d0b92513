package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestEveryCallOfAStartFails lets the n-th call of each kind fail when a log with
// data is opened after a kill, from there on alone or some in a row. What is
// appended then must not take the place of anything.
func TestEveryCallOfAStartFails(t *testing.T) {
	for _, call := range []string{"lock", "names", "open", "remove", "syncfolder", "read", "write", "size", "sync", "close"} {
		for _, row := range []int{1, 3, tries + 2} {
			t.Run(fmt.Sprintf("%s, %d in a row", call, row), func(t *testing.T) {
				for crash := 60; crash < 100; crash += 13 {
					for n := 1; ; n++ {
						s := newScript()
						s.crashAt(crash, 2)
						s.d.kill()
						touched := s.startWith(t, call, n, row)
						s.d.kill()
						if s.settle(t, 0); t.Failed() {
							t.Fatalf("after write %d, at call %d", crash, n)
						}
						if !touched {
							break
						}
					}
				}
			})
		}
	}
}

// startWith opens the log and appends, with some calls failing from the n-th on, and
// says whether there were so many.
func (s *script) startWith(t *testing.T, call string, n, row int) (touched bool) {
	t.Helper()
	at := 0
	s.d.choose = rand.New(rand.NewPCG(uint64(n), uint64(row))).IntN
	s.d.fails = func(c, _ string) error {
		if c != call {
			return nil
		}
		if at++; at < n || at >= n+row {
			return nil
		}
		touched = true
		return errDisk
	}
	l, err := Open("", s.o)
	if err == nil {
		s.append(l, 30)
		return touched
	}
	if !errors.Is(err, errDisk) || s.d.open != 0 {
		t.Errorf("%d files are still open after %v", s.d.open, err)
	}
	return touched
}

// A scratched folder does not give some bytes of one file, or does not open it.
type scratched struct {
	Files
	name     string
	from, to int64
	opened   int // how often it still opens
}

type scratchedFile struct {
	File
	from, to int64
}

func (s *scratched) Open(name string) (File, error) {
	file, err := s.Files.Open(name)
	if name != s.name || err != nil {
		return file, err
	}
	if s.opened--; s.opened < 0 {
		return nil, errors.Join(errDisk, file.Close())
	}
	return scratchedFile{file, s.from, s.to}, nil
}

func (f scratchedFile) ReadAt(b []byte, offset int64) (int, error) {
	if offset < f.to && offset+int64(len(b)) > f.from {
		return 0, errDisk
	}
	return f.File.ReadAt(b, offset)
}

const scratchedRecord = 2000 // bytes of each of the ten on a scratched disk

// placeOf returns where the i-th of them begins.
func placeOf(i int64) int64 { return dataStart + i*scratchedRecord }

// tenRecords returns the disk and options of a log of ten records that was killed.
func tenRecords(t *testing.T) (*disk, Options) {
	d := newDisk()
	o := Options{Budget: 1 << 20, Segment: 64 << 10, Files: d, quiet: true, Report: func(error) {}}
	l := open(t, "", o)
	reader(t, l, "carbon", false)
	for i := range 10 {
		add(t, l, filler(fmt.Sprint(i), scratchedRecord))
	}
	d.kill()
	return d, o
}

// TestAnEndThatCannotBeRead opens a log of which the disk does not give the end.
func TestAnEndThatCannotBeRead(t *testing.T) {
	name := numbered(1, segmentSuffix)
	for _, tt := range []struct {
		name     string
		from, to int64
		ends     int64 // behind how many records the segment may be cut off
		opened   int
	}{
		{"the last record", placeOf(10) - 1, placeOf(10), 8, 9}, // a page holds parts of two
		{"free room", placeOf(10) + 20_000, placeOf(10) + 20_001, 10, 9},
		{"all records", dataStart, 64 << 10, 0, 9},
		{"all of it", 0, 64 << 10, 0, 9},
		{"not even opened", 0, 0, 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, o := tenRecords(t)
			before := bytes.Clone(d.names[name].now)
			o.Files = &scratched{d, name, tt.from, tt.to, tt.opened}
			_, err := Open("", o)
			if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "start again") {
				t.Fatalf("opened: %v", err)
			}
			if cut := fmt.Sprintf("(head -c %d)", placeOf(tt.ends)); tt.opened > 1 && !strings.Contains(err.Error(), cut) {
				t.Errorf("no %s in: %v", cut, err)
			}
			if d.open != 0 || !bytes.Equal(before, d.names[name].now) {
				t.Errorf("%d files are open, or the segment is another", d.open)
			}
			o.Files = &scratched{d, name, tt.from, tt.to, tt.opened}
			if f, err := verify(o.Files); !errors.Is(err, errDisk) {
				t.Errorf("verify: %+v, %v", f, err)
			}
			o.Files = d
			afterwards(t, d, o, before[:placeOf(tt.ends)], tt.ends)
		})
	}
}

// afterwards says whether all ten records are there once the disk is healed, and as
// many as are left where the segment was cut off instead.
func afterwards(t *testing.T, d *disk, o Options, cut []byte, left int64) {
	t.Helper()
	l := open(t, "", o)
	if got := drain(t, reader(t, l, "carbon", false)); len(got) != 10 || l.End().Number != 10 {
		t.Errorf("healed, %d records are read", len(got))
	}
	d.kill()
	delete(d.names, "carbon"+cursorSuffix)
	d.names[numbered(1, segmentSuffix)].now = cut
	l = open(t, "", o)
	if l.End().Number != uint64(left) || add(t, l, rec("x", 1)).Number != uint64(left)+1 {
		t.Errorf("cut off behind %d records, it ends at %v", left, l.End())
	}
}

// TestWhatCannotBeReadBeforeTheEnd opens a log of which the disk does not give the
// header, or records amid others, which are counted.
func TestWhatCannotBeReadBeforeTheEnd(t *testing.T) {
	for _, tt := range []struct{ from, lost int64 }{{0, 0}, {placeOf(4) + 100, 3}} {
		d, o := tenRecords(t)
		o.Files = &scratched{d, numbered(1, segmentSuffix), tt.from, tt.from + 1, 9}
		l := open(t, "", o)
		r := reader(t, l, "carbon", false)
		if end := add(t, l, rec("x", 1)); end.Number != 11 {
			t.Errorf("byte %d: the end is %v", tt.from, end)
		}
		if got := readAll(t, r); len(got) != 11-int(tt.lost) || r.Books().Damaged != uint64(tt.lost) {
			t.Errorf("byte %d: %d records are read: %+v", tt.from, len(got), r.Books())
		}
		balanced(t, l)
	}
}

// readAll reads all that waits for r, as often as it takes where the disk fails.
func readAll(t *testing.T, r *Reader) (texts []string) {
	t.Helper()
	for failures := 0; r.Saved().Before(r.log.End()); {
		found, err := r.Next(context.Background(), Limit{Until: r.log.End()})
		if failures++; errors.Is(err, errDisk) && failures <= 2*tries {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			texts = append(texts, string(f.Data))
		}
		if err := r.Save(len(found), 0); err != nil {
			t.Fatal(err)
		}
	}
	return texts
}

// TestTheNumberBehindAnEndThatCannotBeRead has nothing of the newest segment, and
// the disk does not give the end of the one before.
func TestTheNumberBehindAnEndThatCannotBeRead(t *testing.T) {
	d := newDisk()
	l, _ := onDisk(t, d)
	reader(t, l, "carbon", false)
	for i := range 4 {
		add(t, l, filler(fmt.Sprint(i), 500))
	}
	d.kill()
	for i := range d.names[numbered(2, segmentSuffix)].now {
		d.names[numbered(2, segmentSuffix)].now[i] = 'x'
	}
	o := Options{Budget: 8 * 2048, Segment: 2048, quiet: true}
	for _, opened := range []int{1, 9} {
		o.Files = &scratched{d, numbered(1, segmentSuffix), dataStart, 2048, opened}
		if _, err := Open("", o); !errors.Is(err, errDisk) || !strings.Contains(err.Error(), numbered(1, segmentSuffix)) {
			t.Errorf("opened: %v", err)
		}
	}
	l, _ = onDisk(t, d)
	if got := drain(t, reader(t, l, "carbon", false)); len(got) != 2 || l.End().Number != 2 {
		t.Errorf("read %d records, and the end is %v", len(got), l.End())
	}
}
