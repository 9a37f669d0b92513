package ledger

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A check is a table and what must be in it.
type check struct {
	*table
	want map[string]uint32 // the number of each metric
	mark map[string]int64  // newest of each
}

// names in which hashes, sizes and the longest one meet.
func someName(t *rapid.T) string {
	n := rapid.IntRange(0, 199).Draw(t, "name")
	switch n {
	case 0:
		return ""
	case 1, 2:
		return strings.Repeat(fmt.Sprint(n), longName-2+n)
	}
	return fmt.Sprint("m", n, strings.Repeat("x", n%50))
}

func (c *check) add(t *rapid.T) {
	metric := someName(t)
	hash := c.hash(metric)
	number := c.find(metric, hash)
	if want, ok := c.want[metric]; ok != (number != absent) || ok && number != want {
		t.Fatalf("%.20q has the entry %d, want %d, %v", metric, number, want, ok)
	}
	if number == absent {
		number = c.table.add(metric, hash)
	}
	c.want[metric] = number
	c.mark[metric] = rapid.Int64().Draw(t, "newest")
	c.entry(number).newest = c.mark[metric]
}

func (c *check) drop(t *rapid.T) {
	metric := someName(t)
	if number, ok := c.want[metric]; ok {
		c.remove(number)
		delete(c.want, metric)
	}
}

// set has an entry be in the way of trim, or no more.
func (c *check) set(t *rapid.T) {
	if len(c.want) == 0 {
		return
	}
	e := c.entry(c.want[rapid.SampledFrom(slices.Sorted(maps.Keys(c.want))).Draw(t, "metric")])
	e.state = taken | rapid.SampledFrom([]state{0, known, dirty, flushed, seen}).Draw(t, "state")
	e.by = rapid.SampledFrom([]uint32{0, 0, 0, 1}).Draw(t, "by")
	e.round = rapid.Uint32Range(0, 20).Draw(t, "round")
}

func (c *check) shorten(t *rapid.T) {
	most, oldest := rapid.IntRange(0, 40).Draw(t, "most"), rapid.Uint32Range(0, 20).Draw(t, "oldest")
	may := func(number uint32) bool {
		e := c.entry(number)
		return e.state&(dirty|flushed) == 0 && e.by == 0 && e.round < oldest
	}
	before, free := c.count, 0
	var kept, unseen []string
	for metric, number := range c.want {
		switch {
		case !may(number):
			kept = append(kept, metric)
		case c.entry(number).state&seen == 0:
			unseen = append(unseen, metric)
			fallthrough
		default:
			free++
		}
	}
	limit := rapid.SampledFrom([]int{0, 3, plenty}).Draw(t, "limit")
	c.trim(most, oldest, limit)
	enough := trimLeast+trimSteps*min(before-most, limit) >= 2*int(c.made)
	if want := max(most, before-free, before-limit); before > most && (c.count < want || enough && c.count > want) {
		t.Fatalf("%d of %d entries are left, want %d: %d may go", c.count, before, want, free)
	}
	gone := 0
	for metric := range c.want {
		if c.find(metric, c.hash(metric)) == absent {
			if slices.Contains(kept, metric) {
				t.Fatalf("%.20q is forgotten", metric)
			}
			if !slices.Contains(unseen, metric) {
				gone++
			}
			delete(c.want, metric)
		}
	}
	if left := slices.DeleteFunc(unseen, func(metric string) bool { _, ok := c.want[metric]; return !ok }); gone > 0 && len(left) > 0 {
		t.Fatalf("%d metrics that were seen are forgotten before %d that were not", gone, len(left))
	}
}

func (c *check) whole(t *rapid.T) {
	if c.count != len(c.want) {
		t.Fatalf("%d entries, want %d", c.count, len(c.want))
	}
	for metric, number := range c.want {
		if got := c.find(metric, c.hash(metric)); got != number || c.name(number) != metric || c.length(number) != len(metric) {
			t.Fatalf("%.20q is entry %d, want %d, with the name %.20q", metric, got, number, c.name(number))
		}
		if got := c.entry(number).newest; got != c.mark[metric] {
			t.Fatalf("%.20q has %d, want %d", metric, got, c.mark[metric])
		}
	}
}

func TestTableIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &check{newTable(), map[string]uint32{}, map[string]int64{}}
		t.Repeat(map[string]func(*rapid.T){
			"": c.whole, "add": c.add, "add2": c.add, "add3": c.add, "drop": c.drop, "set": c.set, "set2": c.set, "set3": c.set, "trim": c.shorten,
		})
	})
}

// Names that have the same hash are told apart, and one that goes leaves the others
// where they are found.
func TestMetricsOfOneHash(t *testing.T) {
	table := newTable()
	const hash = ^uint32(0) // of the last cell, so that they go on at the first
	var numbers []uint32
	for i := range 50 {
		numbers = append(numbers, table.add(fmt.Sprint("m", i), hash))
	}
	for i, number := range numbers {
		if got := table.find(fmt.Sprint("m", i), hash); got != number {
			t.Errorf("m%d is entry %d, want %d", i, got, number)
		}
	}
	if got := table.find("m50", hash); got != absent {
		t.Errorf("what is not there is entry %d", got)
	}
}

func TestTableGrowsAndIsUsedAgain(t *testing.T) {
	table := newTable()
	const metrics = 20_000
	for life := range 3 {
		for i := range metrics {
			metric := fmt.Sprintf("life%d.m%d", life, i)
			table.add(metric, table.hash(metric))
		}
		if table.count != metrics || table.made != metrics || len(table.names.pages) > 10 {
			t.Fatalf("%d entries, %d numbers, %d pages of names", table.count, table.made, len(table.names.pages))
		}
		for i := range metrics {
			metric := fmt.Sprintf("life%d.m%d", life, i)
			table.remove(table.find(metric, table.hash(metric)))
		}
	}
	if slices.ContainsFunc(table.cells, func(cell uint64) bool { return cell != 0 }) {
		t.Error("cells of nobody are left")
	}
}
