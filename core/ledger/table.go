package ledger

import "hash/maphash"

// A table is what the ledger knows of metrics, about 100 bytes for each: an index
// with open addressing, entries, and names. An entry keeps its number until it is
// removed.
type table struct {
	seed  maphash.Seed
	cells []uint64 // the hash of a metric, and the number of its entry plus one; 0: free
	pages []*[entriesPage]entry
	made  uint32   // numbers that were ever given
	gone  []uint32 // of them, those that are free
	count int      // entries
	names names
	hand  uint32 // where the search for entries to remove goes on
}

const (
	entriesPage = 1 << 10
	leastCells  = 1 << 4

	// absent is the number of no entry.
	absent = ^uint32(0)
)

// An entry is what is known of a metric.
type entry struct {
	newest  int64   // the newest timestamp that was accepted or, as far as is known, recorded; 0: none
	value   float64 // of newest, while that is not recorded
	claimed int64   // the newest timestamp that is under way, if one is
	by      uint32  // the number of the claim that brought that one; 0: nothing is under way
	round   uint32  // of the lookup that last found it, or in which it was last accepted or recorded
	place   uint32  // of the name
	slot    uint32  // that the store has told; 0: unknown
	length  uint16
	state   state
}

// A state is what holds of an entry.
type state uint8

const (
	taken   state = 1 << iota // the entry is that of a metric
	known                     // the store has nothing newer, as long as nobody else records
	dirty                     // newest is not recorded, and no flush has taken it
	flushed                   // a flush has taken what was newest then
	seen                      // a request has named the metric lately
	absurd                    // the store may have something newer that was not believed
	listed                    // the number is among those of entries to be recorded; it stays when the entry is removed
)

func newTable() *table {
	return &table{seed: maphash.MakeSeed(), cells: make([]uint64, leastCells)}
}

func (t *table) hash(metric string) uint32 { return uint32(maphash.String(t.seed, metric)) }

func (t *table) entry(number uint32) *entry {
	return &t.pages[number/entriesPage][number%entriesPage]
}

// is reports whether an entry is that of metric.
func (t *table) is(number uint32, metric string) bool {
	e := t.entry(number)
	return t.names.is(e.place, e.length, metric)
}

// find returns the number of the entry of a metric with that hash, or absent.
func (t *table) find(metric string, hash uint32) uint32 {
	mask := uint32(len(t.cells) - 1)
	for i := hash & mask; t.cells[i] != 0; i = (i + 1) & mask {
		if s := t.cells[i]; uint32(s>>32) == hash && t.is(uint32(s)-1, metric) {
			return uint32(s) - 1
		}
	}
	return absent
}

// guess is find by the hash alone: nearly always right, and quicker for many in a
// row, since they do not wait for each other's memory.
func (t *table) guess(hash uint32) uint32 {
	mask := uint32(len(t.cells) - 1)
	for i := hash & mask; t.cells[i] != 0; i = (i + 1) & mask {
		if s := t.cells[i]; uint32(s>>32) == hash {
			return uint32(s) - 1
		}
	}
	return absent
}

// add makes an entry for a metric that has none.
func (t *table) add(metric string, hash uint32) uint32 {
	if 4*(t.count+1) > 3*len(t.cells) {
		t.grow()
	}
	number := t.made
	if last := len(t.gone) - 1; last >= 0 {
		number, t.gone = t.gone[last], t.gone[:last]
	} else {
		if t.made++; number%entriesPage == 0 {
			t.pages = append(t.pages, new([entriesPage]entry))
		}
	}
	place, length := t.names.add(metric)
	e := t.entry(number)
	*e = entry{place: place, length: length, state: e.state&listed | taken | seen}
	t.count++
	t.enter(uint64(hash)<<32 | uint64(number+1))
	return number
}

// enter puts a cell where it is found.
func (t *table) enter(cell uint64) {
	mask := uint32(len(t.cells) - 1)
	i := uint32(cell>>32) & mask
	for t.cells[i] != 0 {
		i = (i + 1) & mask
	}
	t.cells[i] = cell
}

func (t *table) grow() {
	old := t.cells
	t.cells = make([]uint64, 2*len(old))
	for _, cell := range old {
		if cell != 0 {
			t.enter(cell)
		}
	}
}

// remove forgets an entry.
func (t *table) remove(number uint32) {
	e := t.entry(number)
	mask := uint32(len(t.cells) - 1)
	i := t.hash(t.name(number)) & mask
	for uint32(t.cells[i]) != number+1 {
		i = (i + 1) & mask
	}
	t.close(i)
	t.names.remove(e.place, e.length)
	*e = entry{state: e.state & listed}
	t.gone = append(t.gone, number)
	t.count--
}

// close frees the i-th cell, and moves up those behind it that would not be found
// any more.
func (t *table) close(i uint32) {
	mask := uint32(len(t.cells) - 1)
	for j := (i + 1) & mask; t.cells[j] != 0; j = (j + 1) & mask {
		home := uint32(t.cells[j]>>32) & mask
		if (j-home)&mask >= (j-i)&mask {
			t.cells[i], i = t.cells[j], j
		}
	}
	t.cells[i] = 0
}

func (t *table) name(number uint32) string {
	e := t.entry(number)
	return string(t.names.appendTo(nil, e.place, e.length))
}

// length returns that of an entry's name.
func (t *table) length(number uint32) int {
	e := t.entry(number)
	if e.length == longName {
		return len(t.names.long[e.place])
	}
	return int(e.length)
}

// trim removes entries of metrics that were not seen for long, until most are left,
// or limit are removed: none that is claimed or not recorded, nor one of the round
// oldest or later. Of those it may leave more than most.
func (t *table) trim(most int, oldest uint32, limit int) {
	excess := min(t.count-most, limit)
	// For each to be removed so many are looked at that the search costs little, also
	// where few may go.
	for steps := trimLeast + trimSteps*excess; excess > 0 && steps > 0; steps-- {
		if t.hand++; t.hand >= t.made {
			t.hand = 0
		}
		e := t.entry(t.hand)
		switch {
		case e.state&(dirty|flushed) != 0 || e.by != 0 || e.state&taken == 0 || int32(e.round-oldest) >= 0:
		case e.state&seen != 0:
			e.state &^= seen
		default:
			t.remove(t.hand)
			excess--
		}
	}
}

// Of the entries trimLeast are looked at in any search, and trimSteps for each that is
// to go.
const (
	trimLeast = 64
	trimSteps = 16
)
