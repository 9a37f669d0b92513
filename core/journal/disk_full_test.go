package journal

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"fluxgate/sdk"
)

func TestADiskThatIsFullHealsByItself(t *testing.T) {
	d := newDisk()
	clock := time.UnixMilli(1e12)
	full := false
	d.fails = func(call, name string) error {
		if full && (call == "create" || call == "write" && strings.HasSuffix(name, segmentSuffix)) {
			return syscall.ENOSPC
		}
		return nil
	}
	l, err := Open("", Options{Budget: 64 << 10, Segment: 4 << 10, Files: d, quiet: true, now: func() time.Time { return clock }})
	if err != nil {
		t.Fatal(err)
	}
	r := reader(t, l, "carbon", false)
	add(t, l, rec("before", 1))
	full = true
	for range 3 {
		_, err := l.Append([]Record{rec("meanwhile", 1)})()
		if !errors.Is(err, sdk.ErrUnavailable) || !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	calls := d.calls
	for range 100 {
		if _, err := l.Append([]Record{rec("meanwhile", 1)})(); !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	if d.calls != calls {
		t.Errorf("%d calls within a second, and one is enough", d.calls-calls)
	}
	full = false
	clock = clock.Add(pause)
	add(t, l, rec("after", 1))
	if got := fmt.Sprint(drain(t, r)); got != "[before after]" {
		t.Errorf("read %s", got)
	}
	balanced(t, l)
}

// TestOpenDoesNotReadSealedSegments opens a log with 1 GiB waiting.
func TestOpenDoesNotReadSealedSegments(t *testing.T) {
	const size, segments = 1 << 20, 1024
	d := newDisk()
	d.names["carbon"+cursorSuffix] = &inode{}
	zeros := make([]byte, size)
	number := uint64(0)
	for i := range segments {
		h := head{segment: uint64(i + 1), start: number, previous: uint64(i), end: size}
		b := append(h.bytes(), appendRecord(nil, Record{Data: make([]byte, 1000), Count: 1, Time: time.Now(), Number: number}, h.segment, dataStart, dataStart)...)
		if number++; i == 0 {
			h.end = 0
			copy(b, h.bytes())
		}
		if i < segments-1 {
			d.names[numbered(h.segment, segmentSuffix)] = &inode{now: b} // the rest would be zeros
		} else {
			d.names[numbered(h.segment, segmentSuffix)] = &inode{now: append(b, zeros[len(b):]...)}
		}
	}
	slot := state{at: Position{1, 0, dataStart}}.slot(1)
	d.names["carbon"+cursorSuffix].now = append(slot, zeros[:slotStep]...)
	l, err := Open("", Options{Budget: 2 << 30, Segment: size, Files: d, quiet: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(segments*dataStart + 2*size); d.reads > want {
		t.Errorf("%d bytes are read to open, and %d are enough", d.reads, want)
	}
	if b := l.Stored()[0]; b.Waiting != segments || b.Imbalance() != 0 {
		t.Errorf("%+v", b)
	}
}
