package frame

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"runtime"
	"testing"
)

const testLimit = 1 << 16

// FuzzRead reads whatever bytes as frames: as many as there are, none above the
// limit, and each as it was written.
func FuzzRead(f *testing.F) {
	one := Begin(nil, Call, 7)
	one = append(one, "abc"...)
	End(one, 0)
	f.Add(one)
	f.Add(append(one, one[:HeaderSize-1]...))
	f.Add(one[:HeaderSize+1])
	f.Add(binary.LittleEndian.AppendUint32(nil, 1<<32-1))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReader(bytes.NewReader(data))
		rest := data
		for {
			kind, call, part, err := Read(r, testLimit)
			if err != nil {
				if (err == io.EOF) != (len(rest) == 0) {
					t.Fatalf("%v with %d bytes left", err, len(rest))
				}
				return
			}
			again := append(Begin(nil, kind, call), part...)
			End(again, 0)
			if len(part) > testLimit || kind < Call || kind > Cancel || !bytes.HasPrefix(rest, again) {
				t.Fatalf("frame of kind %d with %d bytes of %x", kind, len(part), rest)
			}
			rest = rest[len(again):]
		}
	})
}

// FuzzCursor takes parts by a script: no part is longer than what is there, all are
// in their order, and after the first that is not there all are empty.
func FuzzCursor(f *testing.F) {
	f.Add([]byte{3, 0, 0, 0, 'a', 'b', 'c', 1, 2, 3, 4}, []byte{2, 0})
	f.Add([]byte{255, 255, 255, 255, 1}, []byte{2, 3, 4, 1})
	f.Fuzz(func(t *testing.T, data, script []byte) {
		c, at := Parts(data), 0
		for _, step := range script {
			bad := c.bad
			var part []byte
			var number uint64
			switch step % 5 {
			case 0:
				number = uint64(c.Uint32())
			case 1:
				number = c.Uint64()
			case 2:
				part = c.Bytes()
			case 3:
				part = []byte(c.Text())
			case 4:
				size := int(step) + 1
				n := c.Count(size)
				if number = uint64(n); n*size > len(data) {
					t.Fatalf("%d parts of %d bytes of %d", n, size, len(data))
				}
			}
			if bad && (len(part) > 0 || number != 0 || !c.bad) {
				t.Fatalf("a part of %d bytes, and the number %d, where something was missing", len(part), number)
			}
			after := len(data) - len(c.rest)
			if after < at || len(part) > after-at || !bytes.Equal(part, data[after-len(part):after]) {
				t.Fatalf("a part of %d bytes between %d and %d", len(part), at, after)
			}
			at = after
		}
		if (c.Err() == nil) != (!c.bad && at == len(data)) {
			t.Fatalf("%v at %d of %d", c.Err(), at, len(data))
		}
	})
}

// A length alone takes no more memory than a frame may have, and one above the limit
// none.
func TestALyingLengthTakesLittleMemory(t *testing.T) {
	const limit, buffer = 1 << 20, 64 << 10
	for length, most := range map[uint32]uint64{limit: limit + 2*buffer, limit + 1: 2 * buffer, 1<<32 - 1: 2 * buffer} {
		b := Begin(nil, Answer, 1)
		binary.LittleEndian.PutUint32(b, length)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, data, err := Read(bufio.NewReaderSize(bytes.NewReader(b), buffer), limit)
		runtime.ReadMemStats(&after)
		if err == nil || uint64(len(data)) > uint64(limit) {
			t.Errorf("a length of %d is taken for true: %d bytes", length, len(data))
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > most {
			t.Errorf("a length of %d takes %d bytes, want at most %d", length, took, most)
		}
	}
}
