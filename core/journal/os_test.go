package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// counted are the operating system's files, with their syncs counted, or left out.
type counted struct {
	folder
	syncs *atomic.Int64
	none  bool
}

type countedFile struct {
	File
	c counted
}

func (c counted) wrap(f File, err error) (File, error) { return countedFile{f, c}, err }

func (c counted) Create(name string) (File, error) { return c.wrap(c.folder.Create(name)) }
func (c counted) Open(name string) (File, error) {
	f, err := c.folder.Open(name)
	if err != nil {
		return nil, err
	}
	return c.wrap(f, nil)
}

func (f countedFile) Sync() error {
	if f.c.syncs.Add(1); f.c.none {
		return nil
	}
	return f.File.Sync()
}

func TestManyAppendAtOnce(t *testing.T) {
	dir := t.TempDir()
	c := counted{folder: folder(dir), syncs: new(atomic.Int64)}
	l := open(t, dir, Options{Budget: 64 << 20, Files: c})
	r := reader(t, l, "carbon", false)
	var all sync.WaitGroup
	const writers, each = 32, 50
	for w := range writers {
		all.Go(func() {
			for i := range each {
				if _, err := l.Append([]Record{rec(fmt.Sprintf("%02d %03d", w, i), 1)})(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var got []string
	next := map[string]int{}
	for len(got) < writers*each {
		found, err := r.Next(context.Background(), Limit{Bytes: 2000})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			writer, number := string(f.Data[:2]), string(f.Data[3:])
			if want := fmt.Sprintf("%03d", next[writer]); number != want {
				t.Fatalf("writer %s: %s instead of %s", writer, number, want)
			}
			next[writer]++
			got = append(got, string(f.Data))
		}
		if err := r.Save(len(found), 0); err != nil {
			t.Fatal(err)
		}
		if b := r.Books(); b.Imbalance() != 0 {
			t.Fatalf("%+v", b)
		}
	}
	all.Wait()
	if n := c.syncs.Load(); n > writers*each/4 {
		t.Errorf("%d syncs for %d appends: they are not grouped", n, writers*each)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// waiting makes a log with so many records of 1,000 bytes that wait for carbon, 3
// in each segment, and returns its segment files.
func waiting(t *testing.T, dir string, n int) []string {
	t.Helper()
	l := open(t, dir, small())
	reader(t, l, "carbon", false)
	for i := range n {
		add(t, l, rec(fmt.Sprintf("%03d %s", i, strings.Repeat("x", 950)), 1))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var used []string
	files, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && !blank(b[:dataStart]) {
			used = append(used, f)
		}
	}
	return used
}

func TestDamageByHand(t *testing.T) {
	rewrite := func(t *testing.T, path string, change func([]byte) []byte) {
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, change(b), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	garbage := func(b []byte) []byte { return []byte(strings.Repeat("garbage ", len(b)/8)) }
	cut := func(b []byte) []byte { return b[:dataStart+1500] }
	tests := []struct {
		name    string
		segment int // of 4
		change  func([]byte) []byte
		lost    []int
	}{
		{"first removed", 0, nil, []int{0, 1, 2}},
		{"middle removed", 1, nil, []int{3, 4, 5}},
		{"newest removed", 3, nil, []int{9, 10}},
		{"first garbage", 0, garbage, []int{0, 1, 2}},
		{"middle garbage", 2, garbage, []int{6, 7, 8}},
		{"newest garbage", 3, garbage, []int{9, 10}},
		{"middle cut short", 1, cut, []int{4, 5}},
		{"newest cut short", 3, cut, []int{10}},
		{"middle empty", 1, func([]byte) []byte { return nil }, []int{3, 4, 5}},
		{"newest empty", 3, func([]byte) []byte { return nil }, []int{9, 10}},
		{"header gone", 1, func(b []byte) []byte { b[3] = 'X'; b[headCopy+3] = 'X'; return b }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			files := waiting(t, dir, 11)
			if len(files) != 4 {
				t.Fatalf("%d segments", len(files))
			}
			if tt.change != nil {
				rewrite(t, files[tt.segment], tt.change)
			} else if err := os.Remove(files[tt.segment]); err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			var reports []error
			o := small()
			o.Report = func(err error) { mu.Lock(); defer mu.Unlock(); reports = append(reports, err) }
			if f, err := Verify(dir); err != nil || f.Books[0].Damaged != uint64(len(tt.lost)) || f.Books[0].Imbalance() != 0 || f.Books[0].Waiting != uint64(11-len(tt.lost)) {
				t.Errorf("verify: %+v, %v", f, err)
			}
			l := open(t, dir, o)
			r := reader(t, l, "carbon", false)
			add(t, l, rec("011", 1))
			var lost []int
			got := drain(t, r)
			for i := range 12 {
				if !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, fmt.Sprintf("%03d", i)) }) {
					lost = append(lost, i)
				}
			}
			if b := r.Books(); fmt.Sprint(lost) != fmt.Sprint(tt.lost) || b.Damaged != uint64(len(lost)) || b.Imbalance() != 0 || b.Accepted != 12 {
				t.Errorf("lost %v, in the books: %+v", lost, b)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			damages := 0
			for _, err := range reports {
				var d Damage
				if errors.As(err, &d) {
					damages += int(d.Count)
				}
			}
			if damages != len(tt.lost) {
				t.Errorf("reported: %v", reports)
			}
		})
	}
}

func TestReplayWithSummaries(t *testing.T) {
	dir := t.TempDir()
	o := small()
	made := make(chan int, 100)
	o.Summarize = func(records iter.Seq[Record]) (b []byte) {
		n := 0
		for r := range records {
			b, n = append(append(b, r.Data[:3]...), ' '), n+1
		}
		made <- n
		return b
	}
	l := open(t, dir, o)
	reader(t, l, "carbon", false)
	for i := range 17 {
		add(t, l, rec(fmt.Sprintf("%03d %s", i, strings.Repeat("x", 950)), 1))
	}
	for range 4 { // of the five segments that are sealed the newest has none
		if n := <-made; n != 3 {
			t.Fatalf("a summary of %d records", n)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, numbered(3, summarySuffix))
	files, err := filepath.Glob(filepath.Join(dir, "*"+summarySuffix))
	if err != nil || len(files) != 4 {
		t.Fatal(files, err)
	}
	b, err := os.ReadFile(bad)
	if err == nil {
		b[len(b)-1] ^= 1
		err = os.WriteFile(bad, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, o)
	defer l.Close()
	var got []string
	err = l.Replay(Position{1, 1, dataStart}, func(b []byte) error {
		got = append(got, "("+string(b)+")")
		return nil
	}, func(r Record) error {
		got = append(got, string(r.Data[:3]))
		return nil
	})
	if want := "[001 002 (003 004 005 ) 006 007 008 (009 010 011 ) 012 013 014 015 016]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, %v, want %s", got, err, want)
	}
	if n := <-made; n != 3 {
		t.Errorf("the damaged summary is made again of %d records", n)
	}
	if n := len(drain(t, reader(t, l, "carbon", false))); n != 17 {
		t.Errorf("read %d", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{100, 16 << 10} {
		for _, writers := range []int{1, 64} {
			for _, none := range []bool{false, true} {
				name := map[bool]string{false: "fdatasync", true: "nosync"}[none]
				b.Run(fmt.Sprintf("%d/%d/%s", size, writers, name), func(b *testing.B) {
					dir := b.TempDir()
					l := open(b, dir, Options{Budget: 1 << 30, Files: counted{folder(dir), new(atomic.Int64), none}})
					data := []Record{{Data: make([]byte, size), Count: 1}}
					b.SetBytes(int64(size))
					var left atomic.Int64
					left.Store(int64(b.N))
					b.ResetTimer()
					var all sync.WaitGroup
					for range writers {
						all.Go(func() {
							for left.Add(-1) >= 0 {
								if _, err := l.Append(data)(); err != nil {
									b.Error(err)
								}
							}
						})
					}
					all.Wait()
					b.StopTimer()
					_ = l.Close()
				})
			}
		}
	}
}

func BenchmarkNext(b *testing.B) {
	dir := b.TempDir()
	l := open(b, dir, Options{Budget: 1 << 30})
	r := reader(b, l, "carbon", false)
	records := make([]Record, 1000)
	for i := range records {
		records[i] = Record{Data: make([]byte, 16<<10), Count: 450}
	}
	add(b, l, records...)
	begin := r.Saved()
	b.SetBytes(16 << 10)
	b.ResetTimer()
	for n := 0; n < b.N; {
		found, err := r.Next(context.Background(), Limit{Bytes: 1 << 20, Until: l.End()})
		if err != nil {
			b.Fatal(err)
		}
		if n += len(found); len(found) == 0 {
			r.next = begin
		}
	}
	b.StopTimer()
	_ = l.Close()
}
