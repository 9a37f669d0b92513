package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"fluxgate/sdk"
)

const maxFrame = 1 << 20 // bytes; Carbon refuses a longer one

// readFrames reads Carbon's pickle frames and gives the datapoints of each to
// take, until r ends between two frames.
func readFrames(r io.Reader, take func(sdk.Batch)) error {
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		size := binary.BigEndian.Uint32(head[:])
		if size > maxFrame {
			return garbled{fmt.Sprintf("a frame of %d bytes", size)}
		}
		frame := make([]byte, size)
		if _, err := io.ReadFull(r, frame); err != nil {
			return err
		}
		b, err := unpickle(frame)
		if err != nil {
			return err
		}
		take(b)
	}
}

// garbled is what a receiver cannot read, other than because the connection
// broke.
type garbled struct{ what string }

func (g garbled) Error() string { return "garbled: " + g.what }

// unpickle reads a list of (metric, (timestamp, value)), in the opcodes that
// Fluxgate's sink uses.
func unpickle(frame []byte) (sdk.Batch, error) {
	u := unpickler{rest: frame}
	if string(u.next(4)) != "\x80\x02](" {
		return nil, garbled{fmt.Sprintf("a pickle begins %.8q", frame)}
	}
	var b sdk.Batch
	for len(u.rest) > 0 && u.rest[0] == 'X' {
		b = append(b, u.datapoint())
	}
	if string(u.next(2)) != "e." || len(u.rest) > 0 || u.bad {
		return nil, garbled{fmt.Sprintf("a pickle has another form at byte %d", len(frame)-len(u.rest))}
	}
	return b, nil
}

type unpickler struct {
	rest []byte
	bad  bool
}

// next returns the next n bytes; fewer, and bad, where there are not as many.
func (u *unpickler) next(n int) []byte {
	if n < 0 || n > len(u.rest) {
		u.bad, n = true, len(u.rest)
	}
	taken := u.rest[:n]
	u.rest = u.rest[n:]
	return taken
}

// number returns the next n bytes as they are, filled up to eight.
func (u *unpickler) number(n int) []byte {
	var eight [8]byte
	copy(eight[:], u.next(n))
	return eight[:]
}

func (u *unpickler) expect(opcodes string) {
	if string(u.next(len(opcodes))) != opcodes {
		u.bad = true
	}
}

func (u *unpickler) datapoint() (d sdk.Datapoint) {
	u.expect("X")
	d.Metric = string(u.next(int(binary.LittleEndian.Uint32(u.number(4)))))
	if len(u.rest) > 0 && u.rest[0] == 'J' {
		u.expect("J")
		d.Timestamp = int64(int32(binary.LittleEndian.Uint32(u.number(4))))
	} else {
		u.expect("\x8a\x08")
		d.Timestamp = int64(binary.LittleEndian.Uint64(u.number(8)))
	}
	u.expect("G")
	d.Value = math.Float64frombits(binary.BigEndian.Uint64(u.number(8)))
	u.expect("\x86\x86")
	return d
}
