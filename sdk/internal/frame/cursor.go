package frame

import (
	"encoding/binary"
	"errors"
	"unsafe"
)

// AppendUint32 appends a number.
func AppendUint32(dst []byte, n uint32) []byte { return binary.LittleEndian.AppendUint32(dst, n) }

// PutUint32 sets a number that was appended.
func PutUint32(at []byte, n uint32) { binary.LittleEndian.PutUint32(at, n) }

// AppendUint64 appends a number.
func AppendUint64(dst []byte, n uint64) []byte { return binary.LittleEndian.AppendUint64(dst, n) }

// AppendText appends text behind its length.
func AppendText[T string | []byte](dst []byte, text T) []byte {
	return append(AppendUint32(dst, uint32(len(text))), text...)
}

var errShort = errors.New("a frame is not as long as it says")

// A Cursor reads the parts of a frame, which it shares. After the first part that is
// not there all are empty, which Err tells.
type Cursor struct {
	rest []byte
	bad  bool
}

// Parts returns a cursor at the beginning of data.
func Parts(data []byte) Cursor { return Cursor{rest: data} }

// take returns the next n bytes.
func (c *Cursor) take(n int) []byte {
	if c.bad || n > len(c.rest) {
		c.bad = true
		return nil
	}
	part := c.rest[:n:n]
	c.rest = c.rest[n:]
	return part
}

// Uint32 returns the next number.
func (c *Cursor) Uint32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// Uint64 returns the next number.
func (c *Cursor) Uint64() uint64 {
	if b := c.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// Count returns the next number, which counts parts that follow, of at least size
// bytes each.
func (c *Cursor) Count(size int) int {
	n := int64(c.Uint32())
	if n*int64(size) > int64(len(c.rest)) {
		c.bad = true
		return 0
	}
	return int(n)
}

// Bytes returns the next bytes that have their length before them; nil for none.
func (c *Cursor) Bytes() []byte {
	n := c.Uint32()
	if n == 0 || int64(n) > int64(len(c.rest)) {
		c.bad = c.bad || n != 0
		return nil
	}
	return c.take(int(n))
}

// Text is Bytes as a string that shares them.
func (c *Cursor) Text() string {
	b := c.Bytes()
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// Err returns an error when a part was not there, or when some bytes are left.
func (c *Cursor) Err() error {
	if c.bad || len(c.rest) > 0 {
		return errShort
	}
	return nil
}
