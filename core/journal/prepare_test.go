package journal

import (
	"errors"
	"testing"
	"time"
)

func TestASegmentReachesTheDiskInPieces(t *testing.T) {
	d := newDisk()
	unsynced := map[string]int{}
	most := 0
	d.after = func(call, name string, size int) {
		switch call {
		case "write":
			unsynced[name] += size
			most = max(most, unsynced[name])
		case "sync":
			unsynced[name] = 0
		}
	}
	l, err := Open("", Options{Files: d, Budget: 32 << 20, Segment: 5<<20 + 4096, quiet: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	add(t, l, rec("a", 1))
	if most != zeroed {
		t.Errorf("%d bytes reached the disk at once, want %d", most, zeroed)
	}
	for name, n := range unsynced {
		if n > 0 {
			t.Errorf("%d bytes of %s are left to chance", n, name)
		}
	}
}

// BenchmarkAppendWhileASegmentIsMade reports the longest commit in that time.
func BenchmarkAppendWhileASegmentIsMade(b *testing.B) {
	l := open(b, b.TempDir(), Options{Budget: 1 << 30})
	data := []Record{{Data: make([]byte, 4000), Count: 1}}
	if _, err := l.Append(data)(); err != nil {
		b.Fatal(err)
	}
	if err := l.prepare(1, false, nil); err != nil { // so that it makes none by itself
		b.Fatal(err)
	}
	var longest time.Duration
	for number := uint64(1 << 20); b.Loop(); number++ {
		var s *segment
		made := make(chan error, 1)
		go func() {
			var err error
			s, err = l.makeSegment(number)
			made <- err
		}()
		for len(made) == 0 {
			began := time.Now()
			if _, err := l.Append(data)(); err != nil {
				b.Fatal(err)
			}
			longest = max(longest, time.Since(began))
		}
		if err := errors.Join(<-made, s.file.Close(), l.Files.Remove(s.name())); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(longest.Seconds()*1e3, "ms/longest")
	_ = l.Close()
}
