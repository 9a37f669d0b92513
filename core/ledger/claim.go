package ledger

import (
	"slices"

	"fluxgate/sdk"
)

// A claim is a request whose fresh datapoints are under way.
type claim struct {
	fresh  sdk.Batch
	relies []*claim // earlier ones on whose outcome the judgement relied

	done   chan struct{} // closed at the end
	failed bool          // to be read when done
}

// rely notes that c was judged by what other brought.
func (c *claim) rely(other *claim) {
	if other != nil && other != c && !slices.Contains(c.relies, other) {
		c.relies = append(c.relies, other)
	}
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
	c.relies = nil
	return err
}

func (c *claim) end(err error) {
	c.failed = err != nil
	close(c.done)
}

// rounds numbers the flushes, and counts the lookups that began in each.
type rounds struct {
	current  int
	underway map[int]int
}

func (r *rounds) enter() int {
	r.underway[r.current]++
	return r.current
}

func (r *rounds) leave(round int) {
	if r.underway[round]--; r.underway[round] == 0 {
		delete(r.underway, round)
	}
}

// next ends the current round and returns its number.
func (r *rounds) next() int {
	r.current++
	return r.current - 1
}

// oldest returns the round of the oldest lookup under way.
func (r *rounds) oldest() int {
	oldest := r.current
	for round := range r.underway {
		oldest = min(oldest, round)
	}
	return oldest
}

// A departure is metrics that may be forgotten when every lookup of its round
// has been judged.
type departure struct {
	round    int
	batch    sdk.Batch
	recorded bool // the store has batch
}
