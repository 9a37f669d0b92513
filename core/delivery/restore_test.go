package delivery

import (
	"testing"

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
		if err := restore(d.Live.log, d.record.reader.Saved(), l); err != nil || l.told != 100*records {
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
