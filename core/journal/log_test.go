package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fluxgate/sdk"
)

// small are options for a log of segments of 4 KiB.
func small() Options { return Options{Budget: 64 << 10, Segment: 4 << 10} }

func open(t testing.TB, dir string, o Options) *Log {
	t.Helper()
	if o.Report == nil {
		o.Report = func(err error) { t.Errorf("reported: %v", err) }
	}
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func reader(t testing.TB, l *Log, name string, optional bool) *Reader {
	t.Helper()
	r, err := l.Reader(name, optional)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func rec(text string, count int) Record { return Record{Data: []byte(text), Count: count} }

func add(t testing.TB, l *Log, records ...Record) Position {
	t.Helper()
	p, err := l.Append(records)()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// drain reads all that waits for r and saves it.
func drain(t testing.TB, r *Reader) (texts []string) {
	t.Helper()
	for r.Saved().Before(r.log.End()) {
		found, err := r.Next(context.Background(), Limit{Until: r.log.End()})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, f := range found {
			texts, n = append(texts, string(f.Data)), n+f.Count
		}
		if err := r.Save(n, 0); err != nil {
			t.Fatal(err)
		}
	}
	return texts
}

func balanced(t testing.TB, l *Log) {
	t.Helper()
	for _, b := range l.Stored() {
		if b.Imbalance() != 0 {
			t.Errorf("the books do not balance: %+v", b)
		}
	}
}

func TestWhatIsAppendedIsRead(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, small())
	r := reader(t, l, "carbon", false)
	var want []string
	for i := range 200 {
		text := fmt.Sprintf("record %d %s", i, bytes.Repeat([]byte{'x'}, i))
		want = append(want, text)
		before := l.End().Number
		if p := add(t, l, rec(text, 1+i%3)); p.Number != before+1+uint64(i%3) || p != l.End() {
			t.Fatalf("after %d at %v, the end is %v", before, p, l.End())
		}
		if i == 100 {
			if got := drain(t, r); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("read %d of %d records", len(got), len(want))
			}
			want = nil
		}
	}
	end := l.End()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, small())
	defer l.Close()
	if l.End() != end {
		t.Errorf("the end was %v and is %v", end, l.End())
	}
	b := l.Stored()[0]
	if b.Waiting == 0 || b.Oldest.IsZero() || time.Since(b.Oldest) > time.Minute {
		t.Errorf("%+v", b)
	}
	r = reader(t, l, "carbon", false)
	if got := drain(t, r); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("read %d of %d records", len(got), len(want))
	}
	balanced(t, l)
	if b := r.Books(); b.Waiting != 0 || b.Delivered != end.Number || !b.Oldest.IsZero() {
		t.Errorf("%+v", b)
	}
}

func TestFullAndFreed(t *testing.T) {
	l := open(t, t.TempDir(), small())
	defer l.Close()
	r := reader(t, l, "carbon", false)
	text := string(bytes.Repeat([]byte{'x'}, 1000))
	var n int
	for {
		if _, err := l.Append([]Record{rec(text, 1)})(); err != nil {
			if !errors.Is(err, ErrFull) || !errors.Is(err, sdk.ErrUnavailable) {
				t.Fatal(err)
			}
			t.Log(err)
			break
		}
		n++
	}
	if n != 32 || uint64(n) != l.End().Number {
		t.Errorf("%d fit, at the end %v", n, l.End())
	}
	if got := len(drain(t, r)); got != n {
		t.Errorf("read %d of %d", got, n)
	}
	add(t, l, rec(text, 1))
	if got := len(drain(t, r)); got != 1 {
		t.Errorf("read %d", got)
	}
	balanced(t, l)
}

func TestAnOptionalReaderIsMovedOn(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, small())
	r, other := reader(t, l, "carbon", false), reader(t, l, "ledger", true)
	text := string(bytes.Repeat([]byte{'x'}, 1000))
	add(t, l, rec(text, 1))
	held, err := other.Next(context.Background(), Limit{Count: 1})
	if err != nil || len(held) != 1 {
		t.Fatal(held, err)
	}
	for range 200 {
		add(t, l, rec(text, 1))
		drain(t, r)
	}
	b := other.Books()
	if b.Expired == 0 || b.Imbalance() != 0 || b.Accepted != 201 {
		t.Errorf("%+v", b)
	}
	if err := other.Save(1, 0); err != nil {
		t.Fatal(err)
	}
	n := len(drain(t, other))
	if b := other.Books(); b.Imbalance() != 0 || b.Delivered != uint64(n+1) || b.Waiting != 0 || b.Expired != uint64(200-n) {
		t.Errorf("%+v", b)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil || len(files) > 16 {
		t.Errorf("%d segments, %v", len(files), err)
	}
	l = open(t, dir, small())
	defer l.Close()
	balanced(t, l)
}

func TestAFolderIsOpenedOnce(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, small())
	if _, err := Open(dir, small()); err == nil {
		t.Error("a second log in the same folder")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, small())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
