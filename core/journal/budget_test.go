package journal

import (
	"errors"
	"iter"
	"strings"
	"testing"
)

// summed are the options of a log of eight small segments, with summaries of 700
// bytes.
func summed(d *disk) Options {
	return Options{Budget: 8 * 2048, Segment: 2048, Files: d, quiet: true, Report: func(error) {},
		Summarize: func(records iter.Seq[Record]) []byte {
			for range records { // as those who sum up do
			}
			return make([]byte, 700-summarySize)
		}}
}

// bytesOn returns the bytes of the segments and summaries on a disk, and how many
// summaries there are.
func bytesOn(d *disk) (bytes int64, summaries int) {
	for name, n := range d.names {
		if strings.Contains(name, segmentSuffix) || strings.Contains(name, summarySuffix) {
			bytes += int64(len(n.now))
		}
		if strings.HasSuffix(name, summarySuffix) {
			summaries++
		}
	}
	return bytes, summaries
}

// TestSummariesAreOfTheBudget lets a reader lag until the log is full: summaries
// have the room that is left, and give way.
func TestSummariesAreOfTheBudget(t *testing.T) {
	d := newDisk()
	o := summed(d)
	peak, most := int64(0), 0
	d.after = func(string, string, int) {
		bytes, summaries := bytesOn(d)
		peak, most = max(peak, bytes), max(most, summaries)
	}
	l := open(t, "", o)
	r := reader(t, l, "carbon", false)
	kept := 0
	for ; kept < 100; kept++ {
		if _, err := l.Append([]Record{filler("x", 1000)})(); err != nil {
			if !errors.Is(err, ErrFull) {
				t.Error(err)
			}
			break
		}
		l.summarize()
		if kept == 4 { // what was there counts after a start, too
			d.kill()
			l = open(t, "", o)
			r = reader(t, l, "carbon", false)
			if bytes, _ := bytesOn(d); l.used() != bytes {
				t.Errorf("after a start %d bytes are used of %d", l.used(), bytes)
			}
		}
	}
	if kept != 8 || most < 3 || peak > o.Budget {
		t.Errorf("%d segments of 8, up to %d summaries, and %d bytes in a budget of %d", kept, most, peak, o.Budget)
	}
	drain(t, r)
	l.tidy()
	if bytes, summaries := bytesOn(d); summaries > 0 || l.used() != bytes {
		t.Errorf("%d bytes are used of %d, with %d summaries", l.used(), bytes, summaries)
	}
}

// TestSummariesThatNoBudgetHadRoomFor opens a log with a smaller budget, on a disk that
// does not remove them at first.
func TestSummariesThatNoBudgetHadRoomFor(t *testing.T) {
	d := newDisk()
	o := summed(d)
	o.Budget *= 2
	l := open(t, "", o)
	reader(t, l, "carbon", false)
	for range 7 {
		add(t, l, filler("x", 1000))
		l.summarize()
	}
	if _, summaries := bytesOn(d); summaries != 5 {
		t.Fatalf("%d summaries", summaries)
	}
	d.kill()
	o.Budget /= 2
	l = open(t, "", o)
	r := reader(t, l, "carbon", false)
	d.fails = func(call, _ string) error {
		if call == "remove" {
			return errDisk
		}
		return nil
	}
	if _, err := l.Append([]Record{filler("x", 1000)})(); !errors.Is(err, errDisk) {
		t.Errorf("the summaries cannot be removed: %v", err)
	}
	d.fails = nil
	add(t, l, filler("x", 1000))
	if bytes, _ := bytesOn(d); l.used() != bytes || bytes > o.Budget {
		t.Errorf("%d bytes are used of %d, in a budget of %d", l.used(), bytes, o.Budget)
	}
	if got := drain(t, r); len(got) != 8 {
		t.Errorf("%d records are read", len(got))
	}
}

// TestASummaryOfWhatIsGone has a segment freed while it is summed up.
func TestASummaryOfWhatIsGone(t *testing.T) {
	d := newDisk()
	l := open(t, "", summed(d))
	r := reader(t, l, "carbon", false)
	for range 3 {
		add(t, l, filler("x", 1000))
	}
	d.after = func(call, name string, _ int) {
		if call == "rename" {
			d.after = nil
			d.mu.Unlock()
			drain(t, r)
			l.tidy()
			d.mu.Lock()
		}
	}
	l.summarize()
	if bytes, summaries := bytesOn(d); summaries > 0 || l.used() != bytes {
		t.Errorf("%d bytes are used of %d, with %d summaries", l.used(), bytes, summaries)
	}
}
