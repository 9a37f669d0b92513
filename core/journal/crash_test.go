package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"fluxgate/sdk"
)

// A script is a fixed sequence of what a server does with a log, which notes what
// was promised meanwhile.
type script struct {
	d       *disk
	o       Options
	clock   time.Time
	reports []error
	acked   []string
	tried   map[string]bool
	saved   int // how many of acked a cursor was saved behind
	number  uint64
}

func newScript() *script {
	s := &script{d: newDisk(), clock: time.UnixMilli(1e12), tried: map[string]bool{}}
	s.o = Options{Budget: 6 * 2048, Segment: 2048, Files: s.d, quiet: true,
		now:    func() time.Time { return s.clock },
		Report: func(err error) { s.reports = append(s.reports, err) },
		Summarize: func(records iter.Seq[Record]) (b []byte) {
			for r := range records {
				b = append(b, r.Data[:8]...)
			}
			return b
		},
	}
	return s
}

// run plays the script. Failures are part of it: the caller retries nothing.
func (s *script) run() {
	l, err := Open("", s.o)
	if err != nil {
		return
	}
	r, err := l.Reader("carbon", false)
	if err != nil {
		return
	}
	other, err := l.Reader("ledger", true)
	if err != nil {
		return
	}
	for i := range 24 {
		s.clock = s.clock.Add(time.Second)
		s.append(l, i)
		if i%3 == 2 {
			s.read(l, r)
		}
		if i == 7 && l.End().Number > 0 {
			if found, err := other.Next(context.Background(), Limit{Bytes: 1, Until: l.End()}); err == nil {
				_ = other.Save(len(found), 0)
			}
		}
		if i%5 == 4 {
			l.tidy()
			l.summarize()
		}
	}
	_ = l.Close()
}

// append appends two requests, the one of two records.
func (s *script) append(l *Log, i int) {
	var waits []func() (Position, error)
	var all [][]string
	for j := range 2 {
		var records []Record
		var texts []string
		for k := range 1 + j {
			text := fmt.Sprintf("%02d.%d.%d.%0*d", i, j, k, 20+i*11%130, i)
			s.tried[text] = true
			texts, records = append(texts, text), append(records, rec(text, 1))
		}
		waits, all = append(waits, l.Append(records)), append(all, texts)
	}
	for j, wait := range waits {
		if end, err := wait(); err == nil {
			s.acked = append(s.acked, all[j]...)
			s.number = max(s.number, end.Number)
		} else if !errors.Is(err, sdk.ErrUnavailable) {
			panic(err)
		}
	}
}

func (s *script) read(l *Log, r *Reader) {
	if l.End().Number == 0 {
		return
	}
	for {
		found, err := r.Next(context.Background(), Limit{Bytes: 500, Until: l.End()})
		if err != nil || len(found) == 0 {
			return
		}
		last := string(found[len(found)-1].Data)
		_ = r.Save(len(found), 0)
		s.saved = max(s.saved, slices.Index(s.acked, last)+1)
	}
}

// settle opens what is left of the log and compares it with what was promised.
// kill says that the cursor must be where Save left it or behind; lost how many
// acknowledged records may be missing.
func (s *script) settle(t *testing.T, lost int) {
	t.Helper()
	s.clock = s.clock.Add(time.Minute)
	s.d.after, s.d.fails, s.reports = nil, nil, nil
	l, err := Open("", s.o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	r, err := l.Reader("carbon", false)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r.Saved().Before(l.End()) {
		found, err := r.Next(context.Background(), Limit{Bytes: 500, Until: l.End()})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if !s.tried[string(f.Data)] {
				t.Fatalf("phantom %q", f.Data)
			}
			got = append(got, string(f.Data))
		}
		if err := r.Save(len(found), 0); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Fatalf("out of order: %q", got)
	}
	missing := 0
	for _, text := range s.acked[min(s.saved, len(s.acked)):] {
		if !slices.Contains(got, text) {
			missing++
		}
	}
	if missing > lost || missing > 0 && len(s.reports) == 0 {
		t.Fatalf("%d acknowledged records are missing: reported %v, read %q, saved %d of %q, books %+v", missing, s.reports, got, s.saved, s.acked, l.Stored())
	}
	if lost == 0 && l.End().Number < s.number {
		t.Fatalf("number %d comes again, after %d", l.End().Number, s.number)
	}
	balanced(t, l)
	if _, err := l.Append([]Record{rec("99", 1)})(); err != nil {
		t.Fatalf("after all: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(context.Background(), Limit{}); !errors.Is(err, ErrClosed) {
		t.Errorf("next after the end: %v", err)
	}
	if s.d.open != 0 {
		t.Errorf("%d files are still open", s.d.open)
	}
	if f, err := verify(s.d); err != nil || slices.ContainsFunc(f.Books, func(b Books) bool { return b.Imbalance() != 0 }) {
		t.Errorf("%+v, %v", f, err)
	}
}

// crashAt plays the script until the n-th change of the disk, of which so many
// bytes of 2 (none, half, all) are done, and says whether it came so far.
func (s *script) crashAt(n, half int) bool {
	at, crashed := 0, false
	s.d.choose = func(n int) int { return (n - 1) * half / 2 }
	s.d.fails = func(call, _ string) error {
		if crashed {
			return errCrash
		}
		switch call {
		case "write", "create", "rename", "remove":
			if at++; at == n {
				if call == "write" || half < 2 {
					crashed = true
					return errDisk
				}
			}
			if at > n && half == 2 {
				crashed = true
				return errCrash
			}
		}
		return nil
	}
	s.run()
	return at >= n
}

func TestACrashAtEveryWrite(t *testing.T) {
	for _, power := range []bool{false, true} {
		for half, name := range []string{"none", "half", "all"} {
			t.Run(fmt.Sprintf("%s, power loss %v", name, power), func(t *testing.T) {
				n := 1
				for ; ; n++ {
					s := newScript()
					came := s.crashAt(n, half)
					if power {
						rnd := rand.New(rand.NewPCG(uint64(n), uint64(half)))
						s.d.choose = rnd.IntN
						s.d.losePower()
						s.saved = 0
						s.forgiveCursor()
					} else {
						s.d.kill()
					}
					if s.settle(t, 0); t.Failed() {
						t.Fatalf("at write %d", n)
					}
					if !came {
						break
					}
				}
				if n < 100 {
					t.Errorf("the script has only %d writes", n)
				}
			})
		}
	}
}

// forgiveCursor leaves only what cannot have been read before the crash to be
// missed: a cursor may be as far as it was saved.
func (s *script) forgiveCursor() {
	s.d.fails = nil
	file, err := s.d.Open("carbon" + cursorSuffix)
	if err != nil {
		return
	}
	if st, _, _, _, err := readSlots(file); err == nil {
		s.saved = min(int(st.at.Number), len(s.acked))
	}
	_ = file.Close()
}

func TestABitFlipAfterEveryWrite(t *testing.T) {
	for n := 1; ; n++ {
		s := newScript()
		came := s.crashAt(n, 2)
		s.d.kill()
		rnd := rand.New(rand.NewPCG(uint64(n), 1))
		names, _ := s.d.Names()
		slices.Sort(names)
		if len(names) > 0 {
			name := names[rnd.IntN(len(names))]
			if size := len(s.d.names[name].now); size > 0 {
				s.d.flip(name, rnd.IntN(8*size))
			}
		}
		if s.settle(t, 1); t.Failed() {
			t.Fatalf("at write %d", n)
		}
		if !came {
			return
		}
	}
}

// TestEveryCallFails lets the n-th call of each kind fail, and from the n-th on
// three in a row, until the script runs untouched.
func TestEveryCallFails(t *testing.T) {
	for _, call := range []string{"lock", "names", "create", "open", "rename", "remove", "syncfolder", "read", "write", "size", "sync", "close"} {
		for _, row := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, %d in a row", call, row), func(t *testing.T) {
				for n := 1; ; n++ {
					at, touched := 0, false
					s := newScript()
					rnd := rand.New(rand.NewPCG(uint64(n), uint64(row)))
					s.d.choose = rnd.IntN
					s.d.fails = func(c, _ string) error {
						if c != call {
							return nil
						}
						if at++; at >= n && at < n+row {
							touched = true
							return errDisk
						}
						return nil
					}
					s.run()
					s.d.kill()
					if s.settle(t, 0); t.Failed() {
						t.Fatalf("at call %d", n)
					}
					if !touched {
						return
					}
				}
			})
		}
	}
}
