package ledger

import (
	"slices"

	"fluxgate/sdk"
)

// A claim is a request at the ledger: looked up, judged, and settled in the end.
type claim struct {
	ledger *Ledger
	batch  sdk.Batch
	hashes []uint32   // of its metrics
	at     []uint32   // the numbers of their entries
	asked  []uint32   // which of them the store was asked for
	last   []Recorded // its answers; nil: it gave none
	round  int        // of the lookup
	doubts int        // of the ledger before it
	fresh  []uint32   // which of them are fresh
	number uint32     // among those under way
	epoch  int        // of those
	relies []*claim   // earlier ones on whose outcome the judgement relied

	done   chan struct{} // closed at the end; nil: nobody relies on this one
	failed bool          // to be read when done

	judgement  func() (sdk.Batch, func(error) error) // is judge
	settlement func(error) error                     // is settle
}

func newClaim(l *Ledger) *claim {
	c := &claim{ledger: l}
	c.judgement, c.settlement = c.judge, c.settle
	return c
}

// rely notes that c was judged by what other brings. It is called with the lock
// held.
func (c *claim) rely(other *claim) {
	if other == c || slices.Contains(c.relies, other) {
		return
	}
	if other.done == nil {
		other.done = make(chan struct{})
	}
	c.relies = append(c.relies, other)
}

// await waits for the claims that c relied on. They are all older, so nobody
// waits in a circle. When one failed then what c was compared with is not
// there, and c has failed too.
func (c *claim) await() (err error) {
	for _, other := range c.relies {
		<-other.done
		if other.failed {
			err = sdk.Unavailablef("an earlier request with the same metrics was not stored")
		}
	}
	clear(c.relies)
	c.relies = c.relies[:0]
	return err
}

// maxSpare bounds the requests whose claims are used again, in datapoints.
const maxSpare = 1 << 16

// free has c used again, unless others may still look at it.
func (c *claim) free() {
	if c.done != nil || cap(c.at) > maxSpare {
		return
	}
	c.batch, c.last = nil, nil
	c.ledger.spare.Put(c)
}

// Rounds number spans of time, and count those that began in each and have not
// ended.
type rounds struct {
	first  int   // the oldest with anybody in it, or else the current one
	counts []int // from the first to the current one
}

func (r *rounds) enter() int {
	r.counts[len(r.counts)-1]++
	return r.current()
}

func (r *rounds) current() int { return r.first + len(r.counts) - 1 }

func (r *rounds) leave(round int) {
	r.counts[round-r.first]--
	r.tidy()
}

// next ends the current round and returns its number.
func (r *rounds) next() int {
	ended := r.current()
	r.counts = append(r.counts, 0)
	r.tidy()
	return ended
}

func (r *rounds) tidy() {
	for len(r.counts) > 1 && r.counts[0] == 0 {
		r.counts = r.counts[1:]
		r.first++
	}
}
