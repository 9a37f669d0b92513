package delivery

import (
	"iter"
	"slices"
	"testing"
	"testing/synctest"

	"fluxgate/core/journal"
	"fluxgate/sdk"
)

// A sieve is a ledger that keeps nothing of what it is told.
type sieve struct {
	*book
	told int
}

func (s *sieve) Restore(b sdk.Batch) { s.told += len(b) }

// A start copies nothing of a record for the ledger.
func TestRestoreMakesNothingForEachRecord(t *testing.T) {
	const records = 300
	d := open(t, t.TempDir(), &book{}, Sink{&shelf{}, "carbon", true, 0})
	for range records {
		keep(t, d.Live, batch("some.metric", 100))
	}
	l := &sieve{}
	made := testing.AllocsPerRun(1, func() {
		l.told = 0
		if err := restore(d.Live, d.record.reader.Saved(), l); err != nil || l.told != 100*records {
			t.Errorf("the ledger is told of %d datapoints, want %d; %v", l.told, 100*records, err)
		}
	})
	if made > 1.5*records { // the journal makes one thing
		t.Errorf("to restore %d records something is made %v times", records, made)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// foreign is a record that another version may have written.
var foreign = journal.Record{Data: []byte("later version"), Count: 1}

// withJournal has fill append to the live journal of a folder, in which the ledger has
// recorded nothing yet.
func withJournal(t *testing.T, folder string, o journal.Options, fill func(*journal.Log)) {
	t.Helper()
	o.Report = func(err error) { t.Error(err) }
	log, err := journal.Open(Folder(folder, LiveLog), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Reader(recorderName, true); err != nil {
		t.Fatal(err)
	}
	fill(log)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStartPassesOverWhatIsNoBatch(t *testing.T) {
	folder := t.TempDir()
	wrong := new(room).hold(batch("b", 3))
	wrong[0].Count = 2
	withJournal(t, folder, journal.Options{Budget: budget}, func(log *journal.Log) {
		for _, records := range [][]journal.Record{{foreign}, new(room).hold(batch("a", 3)), wrong} {
			if _, err := log.Append(records)(); err != nil {
				t.Fatal(err)
			}
		}
	})
	l := &book{}
	d := open(t, folder, l, Sink{&shelf{}, "carbon", true, 0})
	defer d.Close()
	if !slices.Equal(l.restored, batch("a", 3)) {
		t.Errorf("the ledger is told of %v, want what the sinks get", l.restored)
	}
}

// A summary of another version is passed over too.
func TestStartPassesOverWhatIsNoSummary(t *testing.T) {
	folder := t.TempDir()
	const records = 6
	summaries := 0
	synctest.Test(t, func(t *testing.T) {
		o := journal.Options{Budget: 2 << 20, Segment: 128 << 10, Summarize: func(records iter.Seq[journal.Record]) []byte {
			for range records {
				summaries++
			}
			return foreign.Data
		}}
		withJournal(t, folder, o, func(log *journal.Log) {
			for range records {
				if _, err := log.Append(new(room).hold(batch("a", maxBatch)))(); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		})
	})
	l := &book{}
	d := open(t, folder, l, Sink{&shelf{}, "carbon", true, 0})
	defer d.Close()
	if want := (records - summaries + 1) * maxBatch; summaries < 2 || len(l.restored) != want {
		t.Errorf("the ledger is told of %d datapoints, want %d beside %d summaries", len(l.restored), want, summaries)
	}
}
