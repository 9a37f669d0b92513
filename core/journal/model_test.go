package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"

	"pgregory.net/rapid"
)

// A world is a log on a disk that may fail, and what an ideal queue would know.
type world struct {
	t       *rapid.T
	d       *disk
	o       Options
	l       *Log
	clock   time.Time
	reports []error

	next    uint64            // id of the next record
	counts  map[uint64]int    // of every record ever appended, by id
	kept    map[uint64]uint64 // the id of each acknowledged record, by number
	waiting []pending
	readers map[string]*mirror
	flips   int
	torn    int        // acknowledged records that a flip at the very end has cost
	ends    []Position // of the log, since it was opened
}

type pending struct {
	ids  []uint64
	wait func() (Position, error)
}

// A mirror is what must be true of a reader.
type mirror struct {
	name     string
	optional bool
	r        *Reader
	birth    uint64
	at       uint64          // the number behind what Next has returned
	unsaved  int             // datapoints
	lost     uint64          // damaged and expired as of at
	saved    uint64          // the number of the cursor as Save left it
	read     map[uint64]bool // ids that were ever read
	missed   map[uint64]bool // ids that were passed over without a reason but a flip
	dead     int
}

func newWorld(t *rapid.T) *world {
	w := &world{t: t, d: newDisk(), clock: time.UnixMilli(1e12), counts: map[uint64]int{}, kept: map[uint64]uint64{}, readers: map[string]*mirror{}}
	w.d.choose = func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "choice") }
	w.o = Options{
		Budget: 8 * 2048, Segment: 2048, Files: w.d, quiet: true,
		now:    func() time.Time { return w.clock },
		Report: func(err error) { w.reports = append(w.reports, err) },
	}
	return w
}

// data is what the record of an id holds, so that no other can be taken for it.
func (w *world) data(id uint64) []byte {
	b := binary.LittleEndian.AppendUint64(nil, id)
	for n := int(id*2654435761%311) + 1; n > 0; n-- {
		b = append(b, byte(id*7+uint64(n)*13))
	}
	return b
}

func (w *world) openLog() {
	w.reports, w.ends = nil, nil
	l, err := Open("", w.o)
	if errors.Is(err, errDisk) {
		w.heal()
		l, err = Open("", w.o)
	}
	if err != nil {
		w.t.Fatalf("open: %v", err)
	}
	w.l = l
	w.cutOff()
	for name, m := range w.readers {
		if m.r, err = l.Reader(name, m.optional); err != nil {
			w.t.Fatalf("reader %s: %v", name, err)
		}
		m.at, m.unsaved = m.r.Saved().Number, 0
		b := m.r.Books()
		m.lost, m.dead = b.Damaged+b.Expired, int(b.Dead)
		if m.at > m.saved {
			for number, id := range w.kept {
				if number >= m.saved && number < m.at && m.read[id] && w.flips == 0 && !m.optional {
					w.t.Fatalf("%s: the cursor is at %d, and record %d was not saved", name, m.at, id)
				}
			}
			w.missing(m, m.saved, m.at)
		}
	}
}

// cutOff forgets acknowledged records behind the end of the log: only a flip in
// the last one, which cannot be told from a torn commit, may cost one.
func (w *world) cutOff() {
	for number := range w.kept {
		if number >= w.l.End().Number {
			delete(w.kept, number)
			w.torn++
		}
	}
	if w.torn > w.flips {
		w.t.Fatalf("%d acknowledged records are gone from the end, after %d flips: %v", w.torn, w.flips, w.reports)
	}
}

// missing notes what a reader was moved past.
func (w *world) missing(m *mirror, from, to uint64) {
	for number, id := range w.kept {
		if number >= max(from, m.birth) && number < to && !m.read[id] && !m.optional {
			m.missed[id] = true
		}
	}
	if len(m.missed)+w.torn > w.flips {
		w.t.Fatalf("%s has missed the records %v after %d flips: %v", m.name, slices.Collect(maps.Keys(m.missed)), w.flips, w.reports)
	}
}

func (w *world) newReader(name string, optional bool) {
	r, err := w.l.Reader(name, optional)
	if err != nil {
		w.t.Fatal(err)
	}
	n := r.Saved().Number
	w.readers[name] = &mirror{name: name, optional: optional, r: r, birth: n, at: n, saved: n, read: map[uint64]bool{}, missed: map[uint64]bool{}}
}

func (w *world) append(t *rapid.T) {
	var p pending
	var records []Record
	for range rapid.IntRange(0, 4).Draw(t, "records") {
		id := w.next
		w.next++
		w.counts[id] = rapid.IntRange(1, 3).Draw(t, "count")
		p.ids = append(p.ids, id)
		records = append(records, Record{Data: w.data(id), Count: w.counts[id]})
	}
	p.wait = w.l.Append(records)
	w.waiting = append(w.waiting, p)
	if rapid.Bool().Draw(t, "wait") {
		w.settle(t)
	}
}

// settle waits for all that was appended.
func (w *world) settle(*rapid.T) {
	failed := false
	for _, p := range w.waiting {
		end, err := p.wait()
		if err != nil {
			if failed = true; !errors.Is(err, sdk.ErrUnavailable) {
				w.t.Fatalf("append: %v", err)
			}
			continue
		}
		if failed {
			w.t.Fatalf("what was queued behind a failed append is kept")
		}
		number := end.Number
		for _, id := range slices.Backward(p.ids) {
			number -= uint64(w.counts[id])
			if other, found := w.kept[number]; found {
				w.t.Fatalf("number %d of record %d was that of %d", number, id, other)
			}
			w.kept[number] = id
		}
		if w.l.End().Before(end) {
			w.t.Fatalf("acknowledged to %v, and the end is %v", end, w.l.End())
		}
	}
	w.waiting = nil
}

func (w *world) pick(t *rapid.T) *mirror {
	return w.readers[rapid.SampledFrom(slices.Sorted(maps.Keys(w.readers))).Draw(t, "reader")]
}

func (w *world) read(t *rapid.T) { w.readFrom(w.pick(t), rapid.IntRange(1, 1500).Draw(t, "bytes")) }

// readFrom takes the next records of a reader and checks each.
func (w *world) readFrom(m *mirror, bytes int) error {
	if (w.l.End() == Position{}) {
		return nil // nothing was ever appended, and no limit is the zero one
	}
	before, first := m.r.Saved().Number, m.at
	holds := m.unsaved > 0
	found, err := m.r.Next(context.Background(), Limit{Bytes: bytes, Until: w.l.End()})
	if err != nil && !errors.Is(err, errDisk) {
		w.t.Fatalf("next: %v", err)
	}
	gaps := uint64(0)
	pass := func(to uint64) {
		gaps += to - m.at
		w.missing(m, m.at, to)
		m.at = to
	}
	for _, r := range found {
		if len(r.Data) < 9 || r.Number < m.at {
			w.t.Fatalf("%s: phantom or repeated: %+v, at %d", m.name, r, m.at)
		}
		id := binary.LittleEndian.Uint64(r.Data)
		if count, known := w.counts[id]; !known || count != r.Count || string(r.Data) != string(w.data(id)) {
			w.t.Fatalf("%s: phantom: %+v", m.name, r)
		}
		if pass(r.Number); len(found) > 0 && r.Number == found[0].Number {
			first = r.Number
		}
		if kept, ok := w.kept[r.Number]; ok && kept != id {
			w.t.Fatalf("%s: number %d is %d instead of %d", m.name, r.Number, id, kept)
		}
		m.read[id] = true
		m.at += uint64(r.Count)
		m.unsaved += r.Count
	}
	b := m.r.Books()
	if lost := b.Damaged + b.Expired; err == nil && lost-m.lost > gaps {
		pass(m.at + lost - m.lost - gaps)
		m.lost = lost
	} else if err == nil && lost-m.lost != gaps {
		w.t.Fatalf("%s: %d datapoints were passed over and %d counted", m.name, gaps, lost-m.lost)
	} else if err == nil {
		m.lost = lost
	}
	if len(found) == 0 {
		first = m.at
	}
	if now := m.r.Saved().Number; !holds && now <= first { // it may pass over what is damaged
		m.saved = now
	} else if now != before {
		w.t.Fatalf("%s: the cursor moved from %d to %d without a save", m.name, before, now)
	}
	return err
}

func (w *world) save(t *rapid.T) {
	m := w.pick(t)
	dead := rapid.IntRange(0, m.unsaved).Draw(t, "dead")
	senseless := 0
	if rapid.IntRange(0, 9).Draw(t, "sense") == 0 {
		senseless = m.unsaved - dead
	}
	err := m.r.Save(m.unsaved-dead-senseless, dead)
	m.dead, m.unsaved, m.saved = m.dead+dead, 0, m.at
	m.lost += uint64(senseless)
	if err != nil && !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	if m.r.Saved().Number < m.at { // an optional reader that was moved on has more behind it
		t.Fatalf("%s: saved up to %d, and the cursor is at %v", m.name, m.at, m.r.Saved())
	}
}

// pass moves the optional reader on to the end of now or of an earlier time, unread.
func (w *world) pass(t *rapid.T) {
	m, end := w.readers["ledger"], w.l.End()
	to := rapid.SampledFrom(append(w.ends, end)).Draw(t, "end")
	w.ends = append(w.ends, end)
	at, delivered := m.r.Saved().Number, m.r.Books().Delivered
	err := m.r.Pass(to)
	if m.unsaved > 0 {
		if !errors.Is(err, sdk.ErrInvalid) || m.r.Saved().Number != at {
			t.Fatalf("passed %d datapoints that are not saved: %v", m.unsaved, err)
		}
		return
	}
	if err != nil && !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	b := m.r.Books()
	m.at, m.saved, m.lost = m.r.Saved().Number, m.r.Saved().Number, b.Damaged+b.Expired
	if m.at != max(at, to.Number) || b.Delivered-delivered > m.at-at {
		t.Fatalf("passed from %d to %d, and the cursor is at %d: %+v", at, to.Number, m.at, b)
	}
}

// lap appends a record and lets the required readers have all of it.
func (w *world) lap(t *rapid.T) {
	for range 3 {
		w.append(t)
	}
	w.settle(t)
	for _, name := range []string{"carbon", "graphite"} {
		m := w.readers[name]
		for m.at < w.l.End().Number && w.readFrom(m, 4000) == nil {
		}
		err := m.r.Save(m.unsaved, 0)
		if m.unsaved, m.saved = 0, m.at; err != nil && !errors.Is(err, errDisk) {
			t.Fatal(err)
		}
	}
}

func (w *world) revive(t *rapid.T) {
	m := w.pick(t)
	n := rapid.IntRange(0, m.dead).Draw(t, "dead")
	if err := m.r.Revive(n); err != nil && !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	m.dead -= n
}

func (w *world) tidy(t *rapid.T) {
	w.clock = w.clock.Add(rapid.SampledFrom([]time.Duration{0, time.Second, time.Hour, -time.Hour}).Draw(t, "time"))
	w.l.tidy()
}

func (w *world) restart(t *rapid.T) {
	w.settle(t)
	if err := w.l.Close(); err != nil && !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	w.heal()
	w.start(t)
}

// start opens the log, now and then after or on a disk that fails.
func (w *world) start(t *rapid.T) {
	if rapid.Bool().Draw(t, "failing start") {
		w.fail(t)
	}
	w.openLog()
	w.heal()
}

// crash ends the process or the machine. What was appended and not acknowledged
// may be there afterwards, or not.
func (w *world) crash(t *rapid.T) {
	w.waiting = nil
	w.heal()
	if rapid.Bool().Draw(t, "power") {
		w.d.losePower()
	} else {
		w.d.kill()
	}
	w.start(t)
}

func (w *world) heal() { w.d.fails = nil }

// fail lets one call after some others fail, or some calls in a row.
func (w *world) fail(t *rapid.T) {
	from, n := rapid.IntRange(0, 8).Draw(t, "from"), rapid.IntRange(1, 4).Draw(t, "failing")
	call := rapid.SampledFrom([]string{"", "write", "sync", "read", "create", "remove", "syncfolder", "open"}).Draw(t, "call")
	w.d.fails = func(c, name string) error {
		if call != "" && c != call {
			return nil
		}
		if from--; from < 0 && from >= -n {
			return errDisk
		}
		return nil
	}
}

// flip flips a bit of a segment or a cursor, at most one in a run, so that no two
// of them meet.
func (w *world) flip(t *rapid.T) {
	if w.flips > 0 {
		return
	}
	names := slices.Sorted(maps.Keys(w.d.names))
	name := rapid.SampledFrom(names).Draw(t, "file")
	if size := len(w.d.names[name].now); size > 0 {
		w.flips++
		w.d.flip(name, rapid.IntRange(0, 8*size-1).Draw(t, "bit"))
	}
}

// check holds after every action.
func (w *world) check(t *rapid.T) {
	for _, b := range w.l.Stored() {
		if b.Imbalance() != 0 || b.Waiting > b.Accepted {
			t.Fatalf("the books do not balance: %+v", b)
		}
	}
	if w.d.peak > w.o.Budget {
		t.Fatalf("%d bytes of segments, in a budget of %d", w.d.peak, w.o.Budget)
	}
}

// finish heals the disk, restarts, and reads all that waits.
func (w *world) finish(t *rapid.T) {
	w.heal()
	w.settle(t)
	w.clock = w.clock.Add(time.Minute)
	w.restart(t)
	for _, m := range w.readers {
		for m.r.Saved().Before(w.l.End()) {
			if err := w.readFrom(m, 1000); err != nil {
				t.Fatal(err)
			}
			if err := m.r.Save(m.unsaved, 0); err != nil {
				t.Fatal(err)
			}
			m.saved, m.unsaved = m.at, 0
		}
		for number, id := range w.kept {
			if number >= m.birth && !m.optional && !m.read[id] && !m.missed[id] {
				t.Fatalf("%s never got record %d", m.name, id)
			}
		}
		b := m.r.Books()
		if b.Waiting != 0 || len(m.missed) > 0 && b.Damaged == 0 || len(m.missed) > w.flips {
			t.Fatalf("missed %v, in the books: %+v", m.missed, b)
		}
	}
	w.l.tidy()
	w.waiting = []pending{{wait: w.l.Append([]Record{{Data: []byte("alive"), Count: 1}})}}
	if _, err := w.waiting[0].wait(); err != nil {
		t.Fatalf("after all: %v", err)
	}
	f, err := verify(w.d)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range f.Books {
		if b.Imbalance() != 0 {
			t.Fatalf("on disk the books do not balance: %+v", b)
		}
	}
}

// property is the whole of the model, with options changed.
func property(change func(*world)) func(*rapid.T) {
	return func(t *rapid.T) {
		w := newWorld(t)
		change(w)
		w.openLog()
		w.newReader("carbon", false)
		w.newReader("graphite", false)
		w.newReader("ledger", true)
		t.Repeat(map[string]func(*rapid.T){
			"":        w.check,
			"append":  w.append,
			"append2": w.append,
			"wait":    w.settle,
			"read":    w.read,
			"read2":   w.read,
			"save":    w.save,
			"pass":    w.pass,
			"revive":  w.revive,
			"lap":     w.lap,
			"tidy":    w.tidy,
			"restart": w.restart,
			"crash":   w.crash,
			"fail":    w.fail,
			"heal":    func(*rapid.T) { w.heal() },
			"flip":    w.flip,
		})
		w.finish(t)
		if err := w.l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// deeper lets rapid try more than its default, unless a flag asks for less or more.
func deeper(t *testing.T) {
	for name, values := range map[string][2]string{"rapid.checks": {"100", "1000"}, "rapid.steps": {"30", "60"}} {
		if flag.Lookup(name).Value.String() == values[0] {
			set(t, name, values[1])
		}
	}
}

// set sets a flag of rapid's until the test ends.
func set(t *testing.T, name, value string) {
	old := flag.Lookup(name).Value.String()
	if err := flag.Set(name, value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set(name, old) })
}

func TestModel(t *testing.T) {
	deeper(t)
	rapid.Check(t, property(func(*world) {}))
}

// fails says whether a property fails, and with what words.
func fails(t *testing.T, p func(*rapid.T)) (bool, string) {
	t.Helper()
	deeper(t)
	set(t, "rapid.nofailfile", "true")
	set(t, "rapid.shrinktime", "0s")
	rec := &recorder{name: t.Name()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		rapid.Check(rec, p)
	}()
	<-done
	return rec.failed, rec.text.String()
}

// A recorder takes the outcome of a property that is meant to fail.
type recorder struct {
	name   string
	failed bool
	text   strings.Builder
}

func (r *recorder) Helper()                      {}
func (r *recorder) Name() string                 { return r.name }
func (r *recorder) Logf(f string, args ...any)   { fmt.Fprintf(&r.text, f+"\n", args...) }
func (r *recorder) Log(args ...any)              { fmt.Fprintln(&r.text, args...) }
func (r *recorder) Skipf(string, ...any)         { r.SkipNow() }
func (r *recorder) Skip(...any)                  { r.SkipNow() }
func (r *recorder) SkipNow()                     { runtime.Goexit() }
func (r *recorder) Errorf(f string, args ...any) { r.Logf(f, args...); r.Fail() }
func (r *recorder) Error(args ...any)            { r.Log(args...); r.Fail() }
func (r *recorder) Fatalf(f string, args ...any) { r.Logf(f, args...); r.FailNow() }
func (r *recorder) Fatal(args ...any)            { r.Log(args...); r.FailNow() }
func (r *recorder) FailNow()                     { r.Fail(); runtime.Goexit() }
func (r *recorder) Fail()                        { r.failed = true }
func (r *recorder) Failed() bool                 { return r.failed }

func TestTheModelSeesASyncThatDoesNothing(t *testing.T) {
	failed, text := fails(t, property(func(w *world) { w.d.lies = true }))
	if !failed || strings.Contains(text, "panic") {
		t.Errorf("with no sync the model must fail in words, and says: %s", text)
	}
}

func TestTheModelSeesThatSumsAreNotChecked(t *testing.T) {
	failed, text := fails(t, property(func(w *world) { w.o.unchecked = true }))
	if !failed || !strings.Contains(text, "phantom") {
		t.Errorf("with no sums the model must find a phantom, and says: %s", text)
	}
}
