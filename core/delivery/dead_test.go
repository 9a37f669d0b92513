package delivery

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"fluxgate/sdk"
)

// withDead runs test on a delivery whose sink has refused two datapoints.
func withDead(t *testing.T, test func(t *testing.T, d *Delivery, s *shelf)) (folder string) {
	folder = t.TempDir()
	s := &shelf{fault: func(b sdk.Batch) error {
		return errors.Join(has("bad", sdk.Invalidf("bad"))(b), has("worse", sdk.Invalidf("worse"))(b))
	}}
	d := open(t, folder, &book{}, Sink{s, "carbon", true, 0})
	stop := running(t, d)
	b := append(append(point("bad"), point("good")...), point("worse")...)
	if err := keep(t, d.Live, b)(t.Context()); err != nil {
		t.Fatal(err)
	}
	test(t, d, s)
	stop()
	return folder
}

// count returns how many letters of a journal are in the file.
func (d *deadLetters) count(t *testing.T, journal string) (n int) {
	t.Helper()
	letters, _, err := readLetters(d.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range letters {
		if l.Journal == journal {
			n++
		}
	}
	return n
}

func TestDeadLettersAreDeliveredAgain(t *testing.T) {
	withDead(t, func(t *testing.T, d *Delivery, s *shelf) {
		s.set(has("worse", sdk.Invalidf("still")))
		done, err := d.Retry(t.Context(), "carbon")
		if err != nil || done != (Retried{1, 1}) {
			t.Errorf("retried %+v, %v, want one delivered and one refused", done, err)
		}
		if b := d.Live.lane("carbon").reader.Books(); b.Delivered != 2 || b.Dead != 1 || b.Imbalance() != 0 {
			t.Errorf("the books are %+v", b)
		}
		s.set(always(errAway))
		if done, err := d.Retry(t.Context(), "carbon"); !errors.Is(err, sdk.ErrUnavailable) || done != (Retried{}) {
			t.Errorf("retried %+v, %v while the sink is away", done, err)
		}
		if _, err := d.Retry(t.Context(), "other"); !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("told %v of a sink that is none", err)
		}
		s.set(nil)
		if done, err := d.Retry(t.Context(), "carbon"); err != nil || done != (Retried{1, 0}) {
			t.Errorf("retried %+v, %v, want the last delivered", done, err)
		}
		if got := d.targets[0].dead.size(); got != 0 {
			t.Errorf("%d bytes are left", got)
		}
	})
}

func TestDeadLettersAfterAKill(t *testing.T) {
	folder := withDead(t, func(*testing.T, *Delivery, *shelf) {})
	path := filepath.Join(folder, "dead", "carbon.jsonl")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A letter was being written, and one had been delivered but not entered.
	letters, _, err := readLetters(path)
	if err != nil || len(letters) != 2 {
		t.Fatalf("%d letters, %v", len(letters), err)
	}
	first := bytes.IndexByte(text, '\n') + 1
	if err := os.WriteFile(path, append(text[first:], text[:10]...), 0o600); err != nil {
		t.Fatal(err)
	}
	d := open(t, folder, &book{}, Sink{&shelf{}, "carbon", true, 0})
	defer running(t, d)()
	b := d.Live.lane("carbon").reader.Books()
	if b.Delivered != 2 || b.Dead != 1 || b.Imbalance() != 0 {
		t.Errorf("the books are %+v, want the missing letter among the delivered", b)
	}
	if found, err := DeadLetters(folder); err != nil || len(found["carbon"]) != 1 || found["carbon"][0].Metric != "worse" {
		t.Errorf("dead letters are %v, %v", found, err)
	}
}

// The letters behind the cursor come again, and stand for none of the books.
func TestTwoKindsOfLettersAfterAKill(t *testing.T) {
	folder := withDead(t, func(*testing.T, *Delivery, *shelf) {})
	letters, err := openDead(folder, "carbon")
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		letters.settle(map[place]bool{{LiveLog, 0}: true}, nil), // and not entered
		letters.add(Letter{Journal: LiveLog, Number: 3, Metric: "later"}),
		letters.add(Letter{Journal: LiveLog, Number: 4, Metric: "later"}),
		letters.close(),
	)
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, folder, &book{}, Sink{&shelf{}, "carbon", true, 0})
	defer d.Close()
	if b := d.Live.lane("carbon").reader.Books(); b.Delivered != 2 || b.Dead != 1 || b.Imbalance() != 0 {
		t.Errorf("the books are %+v, want the missing letter among the delivered", b)
	}
}

// After a kill between a letter and the cursor the datapoint is refused again.
func TestALetterIsWrittenOnce(t *testing.T) {
	folder := t.TempDir()
	seven := Letter{Journal: "live", Number: 7, Metric: "a"}
	for start, want := range []int{1, 1, 3} {
		d, err := openDead(folder, "carbon")
		if err != nil {
			t.Fatal(err)
		}
		letters := []Letter{seven}
		switch start {
		case 1:
			_, err = d.expect("live", 7)
		case 2: // the journal has begun anew, and so have its numbers
			_, err = d.expect("live", 0)
			letters = []Letter{{Journal: "live", Number: 7, Metric: "b"}, {Journal: "fill", Number: 7, Metric: "a"}}
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range letters {
			if err := d.add(l); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.close(); err != nil {
			t.Fatal(err)
		}
		if found, _, err := readLetters(d.path); err != nil || len(found) != want {
			t.Errorf("start %d: %d letters, %v, want %d", start, len(found), err, want)
		}
	}
}

func TestFailedSyncIsNotTrusted(t *testing.T) {
	d, err := openDead(t.TempDir(), "carbon")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.add(Letter{Journal: "live", Number: 1}); err != nil {
		t.Fatal(err)
	}
	before := d.file
	if err := before.Close(); err != nil { // a sync of a closed file fails
		t.Fatal(err)
	}
	if err := d.sync(); err == nil {
		t.Fatal("the sync of a closed file succeeded")
	}
	if err := d.sync(); !errors.Is(err, os.ErrClosed) && err != nil {
		t.Fatal(err)
	}
	if letters, _, err := readLetters(d.path); d.file == before || err != nil || len(letters) != 1 {
		t.Errorf("after a failed sync the letters are %v, %v, in the same file: %v", letters, err, d.file == before)
	}
}

// Once the letters are replaced their settlement counts, whatever fails behind it. What
// is written later is not on disk before the new file has its name there.
func TestFailureBehindTheSettlement(t *testing.T) {
	d, err := openDead(t.TempDir(), "carbon")
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if err := errors.Join(d.add(Letter{Journal: "live", Number: 1}), d.sync(), d.file.Close()); err != nil {
		t.Fatal(err)
	}
	errFolder, entered := errors.New("no folder"), 0
	d.entered = func(string) error { return errFolder }
	if err := d.settle(map[place]bool{{"live", 1}: true}, nil); err != nil || d.count(t, "live") != 0 {
		t.Errorf("told %v, and %d letters are left", err, d.count(t, "live"))
	}
	if err := errors.Join(d.add(Letter{Journal: "live", Number: 2}), d.sync()); !errors.Is(err, errFolder) {
		t.Errorf("told %v of a letter in a file without a name", err)
	}
	d.entered = func(string) error { entered++; return nil }
	for range 2 {
		if err := d.sync(); err != nil || entered != 1 || d.count(t, "live") != 1 {
			t.Errorf("told %v, the name was entered %d times, and there are %d letters", err, entered, d.count(t, "live"))
		}
	}
}

// A power loss may leave anything where letters were not synced.
func TestWhatIsNoLetterIsSetAside(t *testing.T) {
	folder := t.TempDir()
	if err := os.MkdirAll(filepath.Join(folder, "dead"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "dead", "carbon.jsonl")
	good := `{"journal":"live","number":1,"metric":"a"}` + "\n"
	if err := os.WriteFile(path, []byte(good+"\x00\x00\n"+good+"{\"journal"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := openDead(folder, "carbon")
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	aside, err := os.ReadFile(path + setAside)
	if err != nil || string(aside) != "\x00\x00\n{\"journal" || d.count(t, "live") != 2 {
		t.Errorf("%q, %v is set aside, and %d letters are left", aside, err, d.count(t, "live"))
	}
	if letters, none, err := readLetters(path); len(letters) != 2 || len(none) != 0 || err != nil {
		t.Errorf("the file has %v and %q, %v", letters, none, err)
	}
}

// What is not saved yet may be delivered once more by its lane.
func TestOnlySettledLettersAreDeliveredAgain(t *testing.T) {
	d, err := openDead(t.TempDir(), "carbon")
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	for n := range 3 {
		if err := d.add(Letter{Journal: "live", Number: uint64(n), Metric: "a"}); err != nil {
			t.Fatal(err)
		}
	}
	if settled, err := d.letters(map[string]uint64{"live": 2}); len(settled) != 2 || err != nil {
		t.Errorf("%v, %v are settled, want those before the cursor", settled, err)
	}
}

// A sink that was taken out and put back has letters that its books do not know.
func TestLettersFromBeforeTheBooks(t *testing.T) {
	folder := withDead(t, func(*testing.T, *Delivery, *shelf) {})
	stop := running(t, open(t, folder, &book{}, Sink{&shelf{}, "other", true, 0}))
	stop()
	s := &shelf{}
	d := open(t, folder, &book{}, Sink{s, "carbon", true, 0}, Sink{&shelf{}, "other", true, 0})
	defer running(t, d)()
	keep(t, d.Live, batch("a", 10))
	if err := d.Live.await(t.Context(), d.Live.log.End()); err != nil {
		t.Fatal(err)
	}
	done, err := d.Retry(t.Context(), "carbon")
	if err != nil || done != (Retried{2, 0}) {
		t.Errorf("retried %+v, %v", done, err)
	}
	d.balance(t)
}
