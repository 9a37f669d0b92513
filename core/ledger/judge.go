package ledger

import (
	"strings"

	"fluxgate/sdk"
)

// look finds what is known of b, and asks the store for the rest.
func (c *claim) look(b sdk.Batch) {
	l := c.ledger
	c.batch, c.hashes, c.asked, c.last = b, c.hashes[:0], c.asked[:0], nil
	for i := range b {
		c.hashes = append(c.hashes, l.table.hash(b[i].Metric))
	}
	l.mu.Lock()
	c.round, c.doubts = l.looks.enter(), l.doubts
	c.find()
	l.mu.Unlock()
	if len(c.asked) == 0 {
		return
	}
	last, err := l.lookups.last(c.unknown())
	if err != nil {
		l.unchecked.Add(float64(len(c.asked)))
		return
	}
	c.last = last
}

// unknown returns the metrics that the store is asked for. They are copies, since a
// lookup that was given up may still read them when b is no more.
func (c *claim) unknown() []string {
	size := 0
	for _, i := range c.asked {
		size += len(c.batch[i].Metric)
	}
	var text strings.Builder
	text.Grow(size)
	metrics := make([]string, len(c.asked))
	for j, i := range c.asked {
		metric := c.batch[i].Metric
		text.WriteString(metric)
		metrics[j] = text.String()[text.Len()-len(metric):]
	}
	return metrics
}

// find finds the entries, which from then on are not forgotten before c is judged,
// and those that the store is to be asked for. It is called with the lock held.
func (c *claim) find() {
	t, round := c.ledger.table, uint32(c.round)
	c.at = c.at[:0]
	for _, hash := range c.hashes {
		c.at = append(c.at, t.guess(hash))
	}
	for i, number := range c.at {
		d := &c.batch[i]
		if number != absent && !t.is(number, d.Metric) {
			number = t.find(d.Metric, c.hashes[i])
			c.at[i] = number
		}
		if number == absent {
			c.asked = append(c.asked, uint32(i))
			continue
		}
		e := t.entry(number)
		e.round = round
		if c.ledger.asks(e, d.Timestamp) {
			c.asked = append(c.asked, uint32(i))
		}
	}
}

// asks reports whether the store is to be asked about a metric before a datapoint
// is judged. Others may have recorded something newer than e, and nothing older.
func (l *Ledger) asks(e *entry, timestamp int64) bool {
	if l.options.Shared {
		return timestamp > e.newest || e.newest > l.believed()
	}
	return e.state&known == 0
}

// judge finds what is fresh, and claims it.
func (c *claim) judge() (sdk.Batch, func(error) error) {
	l := c.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	believed := l.believed()
	c.enter()
	c.learn(believed)
	c.begin()
	c.fresh = c.fresh[:0]
	for i, number := range c.at {
		e, timestamp := l.table.entry(number), c.batch[i].Timestamp
		e.state |= seen
		if e.newest > believed {
			l.disbelieve(e)
		}
		newest := e.newest
		if e.by != 0 {
			newest = max(newest, e.claimed)
			c.rely(l.claims[e.by])
		}
		if timestamp <= newest {
			continue
		}
		e.claimed, e.by = timestamp, c.number
		c.fresh = append(c.fresh, uint32(i))
	}
	if len(c.fresh) == 0 {
		c.end(nil)
	}
	l.looks.leave(c.round)
	l.trim(len(c.at))
	return c.picked(), c.settlement
}

// enter makes the entries that are still missing.
func (c *claim) enter() {
	t := c.ledger.table
	for _, i := range c.asked {
		if c.at[i] != absent {
			continue
		}
		metric, hash := c.batch[i].Metric, c.hashes[i]
		if c.at[i] = t.find(metric, hash); c.at[i] == absent {
			c.at[i] = t.add(metric, hash)
		}
	}
}

// learn notes what the store has answered. After a call of Record that failed meanwhile
// the answer is no more than a timestamp that the store had.
func (c *claim) learn(believed int64) {
	l := c.ledger
	for j, recorded := range c.last {
		e := l.table.entry(c.at[c.asked[j]])
		e.slot = max(e.slot, recorded.Slot) // that may have been told meanwhile
		if recorded.Timestamp > believed {
			e.state |= absurd
		}
		if last := l.believe(recorded.Timestamp, believed); last > e.newest {
			l.overtake(e)
			e.newest = last
			e.state &^= dirty
		}
		if c.doubts == l.doubts {
			e.state |= known
		}
	}
}

// overtake notes that the store may have something newer than what a flush has taken of
// an entry. It is called with the lock held.
func (l *Ledger) overtake(e *entry) {
	if e.state&flushed != 0 {
		l.overtook++
	}
}

// believe returns a timestamp, or 0 for one newer than believed.
func (l *Ledger) believe(timestamp, believed int64) int64 {
	if timestamp > believed {
		l.absurd.Inc()
		return 0
	}
	return timestamp
}

// disbelieve has an entry count as none.
func (l *Ledger) disbelieve(e *entry) {
	l.absurd.Inc()
	e.newest = 0
	e.state = e.state&^dirty | absurd
}

// picked returns the fresh ones.
func (c *claim) picked() sdk.Batch {
	switch len(c.fresh) {
	case 0:
		return nil
	case len(c.batch):
		return c.batch
	}
	picked := make(sdk.Batch, len(c.fresh))
	for j, i := range c.fresh {
		picked[j] = c.batch[i]
	}
	return picked
}

// begin and end say when c is under way. They are called with the lock held.
func (c *claim) begin() {
	l := c.ledger
	if last := len(l.numbers) - 1; last >= 0 {
		c.number, l.numbers = l.numbers[last], l.numbers[:last]
		l.claims[c.number] = c
	} else {
		c.number = uint32(len(l.claims))
		l.claims = append(l.claims, c)
	}
	c.epoch = l.underway.enter()
}

func (c *claim) end(err error) {
	l := c.ledger
	l.claims[c.number] = nil
	l.numbers = append(l.numbers, c.number)
	l.underway.leave(c.epoch)
	if c.failed = err != nil; c.done != nil {
		close(c.done)
	}
}

// believed returns the newest timestamp that an entry may have.
func (l *Ledger) believed() int64 { return l.now().Add(l.options.MaxAhead).Unix() }

// settle is the end of a claim, in one of two ways.
func (c *claim) settle(err error) error {
	if relied := c.await(); err == nil {
		err = relied
	}
	defer c.free()
	if len(c.fresh) == 0 {
		return err
	}
	l := c.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, i := range c.fresh {
		number := c.at[i] // that of the metric as long as a claim is on it
		if e := l.table.entry(number); e.by == c.number {
			e.by = 0
		}
		if err == nil {
			l.accept(number, c.batch[i])
		}
	}
	c.end(err)
	l.trim(len(c.fresh))
	return err
}

// accept notes that d was accepted. It is called with the lock held.
func (l *Ledger) accept(number uint32, d sdk.Datapoint) {
	e := l.table.entry(number)
	if d.Timestamp <= e.newest {
		return
	}
	e.newest, e.value, e.round = d.Timestamp, d.Value, uint32(l.looks.current())
	if e.state&listed == 0 {
		l.dirty = append(l.dirty, number)
	}
	e.state |= dirty | listed
}

// Restore notes, before anything is judged, that b was accepted earlier and is
// not recorded yet.
func (l *Ledger) Restore(b sdk.Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range b {
		l.accept(l.number(d.Metric), d)
	}
}

// number returns that of a metric's entry, which it makes if there is none.
func (l *Ledger) number(metric string) uint32 {
	hash := l.table.hash(metric)
	if number := l.table.find(metric, hash); number != absent {
		return number
	}
	return l.table.add(metric, hash)
}

// trim forgets some of the metrics that are too many: more than n, which is how many
// the caller had at hand, and not so many that others wait. It is called with the
// lock held.
func (l *Ledger) trim(n int) {
	if l.table.count > l.options.Metrics {
		l.looks.next()
		l.table.trim(l.options.Metrics, uint32(l.looks.first), trimLimit+2*n)
	}
}

// trimLimit is how many may be forgotten at any time.
const trimLimit = 16
