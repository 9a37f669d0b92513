package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
)

// A cursor file has two slots, of which the one that is not written to is always
// durable. A slot, little endian, is a generation, the fields of a state in order,
// and their CRC32C.
const (
	cursorMagic = "fluxcur1"
	slotSize    = 8 + 8 + 12*8 + 4
	slotStep    = 4096 // from one slot to the other
)

// state is what a cursor keeps of a reader.
type state struct {
	at                                Position
	birth                             uint64 // the number it began at
	delivered, dead, expired, damaged uint64
	optional                          bool
	end                               Position // of the log, which is known to have been on disk
}

// slot returns the bytes of s in a generation.
func (s state) slot(generation uint64) []byte {
	b := append(make([]byte, 0, slotSize), cursorMagic...)
	optional := uint64(0)
	if s.optional {
		optional = 1
	}
	for _, v := range [...]uint64{generation, s.at.Segment, s.at.Number, uint64(s.at.Offset), s.birth,
		s.delivered, s.dead, s.expired, s.damaged, optional, s.end.Segment, s.end.Number, uint64(s.end.Offset)} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// parseSlot reads a slot, if it is good.
func parseSlot(b []byte) (s state, generation uint64, good bool) {
	sum := binary.LittleEndian.Uint32(b[slotSize-4:])
	if string(b[:8]) != cursorMagic || sum != crc32.Checksum(b[:slotSize-4], castagnoli) {
		return state{}, 0, false
	}
	v := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8+8*i:]) }
	s = state{
		at:    Position{v(1), v(2), int64(v(3))},
		birth: v(4), delivered: v(5), dead: v(6), expired: v(7), damaged: v(8),
		optional: v(9) == 1,
		end:      Position{v(10), v(11), int64(v(12))},
	}
	return s, v(0), s.birth <= s.at.Number && s.at.Offset >= 0 && s.end.Offset >= 0
}

// A cursor is the file of one reader.
type cursor struct {
	mu         sync.Mutex
	file       File
	slot       int    // that is written to next
	newest     state  // of all that was written
	generation uint64 // of newest
	synced     bool   // newest is durable
	closed     bool
}

// errNoSlot says that neither slot of a cursor is good.
var errNoSlot = errors.New("no good slot")

// write writes s, or what is newer where that was written already. With sync it
// makes that durable, by writing it once more, since a sync that failed before may
// have lost it. After a sync the other slot is the next.
func (c *cursor) write(s state, generation uint64, sync bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	stale := generation < c.generation
	if c.closed || stale && !sync {
		return nil
	}
	if stale {
		s, generation = c.newest, c.generation
	}
	if _, err := c.file.WriteAt(s.slot(generation), int64(c.slot)*slotStep); err != nil {
		return err
	}
	c.newest, c.generation, c.synced = s, generation, false
	if !sync {
		return nil
	}
	if err := c.file.Sync(); err != nil {
		return err
	}
	c.slot, c.synced = 1-c.slot, true
	return nil
}

// close closes the file. A write that comes later does nothing.
func (c *cursor) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return c.file.Close()
}

// readSlots returns the newer good slot of a cursor file, its index, its
// generation, and whether the other is good too.
func readSlots(f File) (s state, slot int, generation uint64, both bool, err error) {
	good := 0
	for i := range 2 {
		b := make([]byte, slotSize)
		if _, err := f.ReadAt(b, int64(i)*slotStep); err != nil && !errors.Is(err, io.EOF) {
			return s, slot, generation, false, err
		}
		if found, g, ok := parseSlot(b); ok {
			if good++; good == 1 || g > generation {
				s, slot, generation = found, i, g
			}
		}
	}
	if good == 0 {
		err = errNoSlot
	}
	return s, slot, generation, good == 2, err
}

// makeCursor makes the file of a reader, durably.
func (l *Log) makeCursor(name string, s state) (*cursor, error) {
	file, err := l.Files.Create(name + cursorSuffix + newSuffix)
	if err != nil {
		return nil, err
	}
	c := &cursor{file: file}
	err = errors.Join(c.write(s, 1, true), c.write(s, 2, true)) // both slots
	if err == nil {
		err = l.Files.Rename(name+cursorSuffix+newSuffix, name+cursorSuffix)
	}
	if err == nil {
		err = l.Files.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return c, nil
}

// openCursor opens the file of a reader and makes its newer slot durable, if the
// disk lets it. With no good slot it returns a cursor and an error that is
// errNoSlot.
func openCursor(f Files, name string) (*cursor, state, error) {
	file, err := f.Open(name + cursorSuffix)
	if err != nil {
		return nil, state{}, err
	}
	c := &cursor{file: file}
	s, slot, generation, both, err := readSlots(file)
	if errors.Is(err, errNoSlot) {
		return c, s, err
	}
	if err != nil {
		return nil, s, errors.Join(fmt.Errorf("cursor %s: %w", name, err), file.Close())
	}
	c.slot, c.newest, c.generation = slot, s, generation
	if err := c.write(s, generation, true); err != nil && !both {
		c.slot = 1 - slot
	}
	return c, s, nil
}
