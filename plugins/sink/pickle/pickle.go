package main

import (
	"encoding/binary"
	"math"
	"slices"

	"fluxgate/sdk"
)

// Carbon reads frames: the length of a pickle in four bytes, the highest first,
// and the pickle of a list of (metric, (timestamp, value)). A pickle of more than
// 1 MiB, unless Carbon's PICKLE_RECEIVER_MAX_LENGTH says otherwise, ends the
// connection. The limits of a frame are well below that.
const (
	maxFrame           = 512 << 10 // bytes, length included
	maxFrameDatapoints = 480
)

// The opcodes of pickle protocol 2 that a batch needs.
const (
	opProto      = 0x80
	opEmptyList  = ']'
	opMark       = '('
	opBinUnicode = 'X' // length in 4 bytes, lowest first; UTF-8
	opBinInt     = 'J' // 4 bytes, lowest first, signed
	opLong1      = 0x8a
	opBinFloat   = 'G' // 8 bytes, highest first
	opTuple2     = 0x86
	opAppends    = 'e'
	opStop       = '.'
)

const (
	frameHead     = 4 + 4     // length; protocol, list and mark
	frameTail     = 2         // appends and stop
	datapointHead = 1 + 4     // the name's opcode and length
	datapointTail = 5 + 9 + 2 // timestamp, value, and two tuples
	longTimestamp = 5         // bytes more of a timestamp that is no int32
)

// appendFrames appends b to dst as frames, each as full as its limits allow. Names
// must be UTF-8, and fit into a frame.
func appendFrames(dst []byte, b sdk.Batch) []byte {
	for len(b) > 0 {
		datapoints, size := fit(b)
		dst = slices.Grow(dst, size)
		end := len(dst) + size
		putFrame(dst[len(dst):end], b[:datapoints])
		dst = dst[:end]
		b = b[datapoints:]
	}
	return dst
}

// fit returns how many datapoints of b, which has some, the next frame takes, and
// the length of that frame.
func fit(b sdk.Batch) (datapoints, size int) {
	b = b[:min(len(b), maxFrameDatapoints)]
	size = frameHead + frameTail
	for i := range b {
		more := datapointSize(&b[i])
		if size+more > maxFrame && i > 0 {
			return i, size
		}
		size += more
	}
	return len(b), size
}

func datapointSize(d *sdk.Datapoint) int {
	size := datapointHead + len(d.Metric) + datapointTail
	if !isInt32(d.Timestamp) {
		size += longTimestamp
	}
	return size
}

// putFrame writes b into the frame dst, whose length is what fit says.
func putFrame(dst []byte, b sdk.Batch) {
	binary.BigEndian.PutUint32(dst, uint32(len(dst)-4))
	copy(dst[4:], []byte{opProto, 2, opEmptyList, opMark})
	dst[len(dst)-2], dst[len(dst)-1] = opAppends, opStop
	n := frameHead
	for i := range b {
		d := &b[i]
		if !isInt32(d.Timestamp) {
			n += putLong(dst[n:], d)
			continue
		}
		to := dst[n : n+datapointHead+len(d.Metric)+datapointTail]
		n += len(to)
		to[0] = opBinUnicode
		binary.LittleEndian.PutUint32(to[1:], uint32(len(d.Metric)))
		copy(to[datapointHead:], d.Metric)
		tail := to[len(to)-datapointTail:]
		tail[0] = opBinInt
		binary.LittleEndian.PutUint32(tail[1:], uint32(d.Timestamp))
		tail[5] = opBinFloat
		binary.BigEndian.PutUint64(tail[6:], math.Float64bits(d.Value))
		tail[14], tail[15] = opTuple2, opTuple2
	}
}

// putLong writes a datapoint whose timestamp is no int32, and returns its length.
// It is rare, and made part of putFrame it would slow down the others.
//
//go:noinline
func putLong(dst []byte, d *sdk.Datapoint) int {
	to := append(dst[:0], opBinUnicode)
	to = binary.LittleEndian.AppendUint32(to, uint32(len(d.Metric)))
	to = append(to, d.Metric...)
	to = append(to, opLong1, 8)
	to = binary.LittleEndian.AppendUint64(to, uint64(d.Timestamp))
	to = append(to, opBinFloat)
	to = binary.BigEndian.AppendUint64(to, math.Float64bits(d.Value))
	return len(append(to, opTuple2, opTuple2))
}

func isInt32(n int64) bool { return n == int64(int32(n)) }
