package ledger

import "strings"

const (
	// namesPage is the size of a page of names, in bytes.
	namesPage = 64 << 10

	// placeSize is what the room for a name is a multiple of.
	placeSize = 8

	// longName is from which length on a name is kept by itself. No metric that a
	// request brings is as long.
	longName = 8 << 10
)

// Names are the names of metrics, in pages that hold no pointers. The room of one
// that is gone is for others of about its length.
type names struct {
	pages [][]byte
	used  int                              // bytes of the last page
	free  [longName/placeSize + 1][]uint32 // places, by their size
	long  map[uint32]string                // by place
	gone  []uint32                         // places of long names that are free
}

// A place is where a name is, in units of placeSize; for a long one it is a mere
// number.
func (n *names) add(name string) (place uint32, length uint16) {
	if len(name) >= longName {
		return n.addLong(name), longName
	}
	size := units(len(name))
	if free := n.free[size]; len(free) > 0 {
		place, n.free[size] = free[len(free)-1], free[:len(free)-1]
	} else {
		place = n.room(size)
	}
	copy(n.at(place, len(name)), name)
	return place, uint16(len(name))
}

// units returns how many units of placeSize a name takes, at least one.
func units(length int) int { return max(1, (length+placeSize-1)/placeSize) }

// room returns a new place for size units.
func (n *names) room(size int) uint32 {
	if len(n.pages) == 0 || n.used+size*placeSize > namesPage {
		n.pages, n.used = append(n.pages, make([]byte, namesPage)), 0
	}
	place := (len(n.pages)-1)*(namesPage/placeSize) + n.used/placeSize
	n.used += size * placeSize
	return uint32(place)
}

func (n *names) addLong(name string) (place uint32) {
	if n.long == nil {
		n.long = make(map[uint32]string)
	}
	place = uint32(len(n.long))
	if last := len(n.gone) - 1; last >= 0 {
		place, n.gone = n.gone[last], n.gone[:last]
	}
	n.long[place] = strings.Clone(name)
	return place
}

// at returns the bytes at a place.
func (n *names) at(place uint32, length int) []byte {
	const perPage = namesPage / placeSize
	from := int(place%perPage) * placeSize
	return n.pages[place/perPage][from : from+length]
}

// is reports whether the name at a place is the one given.
func (n *names) is(place uint32, length uint16, name string) bool {
	if length == longName {
		return n.long[place] == name
	}
	return int(length) == len(name) && string(n.at(place, len(name))) == name
}

// appendTo adds the name at a place to b.
func (n *names) appendTo(b []byte, place uint32, length uint16) []byte {
	if length == longName {
		return append(b, n.long[place]...)
	}
	return append(b, n.at(place, int(length))...)
}

// remove gives the place of a name to others.
func (n *names) remove(place uint32, length uint16) {
	if length == longName {
		delete(n.long, place)
		n.gone = append(n.gone, place)
		return
	}
	size := units(int(length))
	n.free[size] = append(n.free[size], place)
}
