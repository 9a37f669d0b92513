package main

import (
	"encoding/binary"
	"math"

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
	frameOverhead     = 4 + 4 + 2     // length; protocol, list and mark; appends and stop
	datapointOverhead = 5 + 9 + 1 + 1 // the name's opcode and length; value; two tuples
)

// appendFrames appends b to dst as frames, each as full as its limits allow. Names
// must be UTF-8, and fit into a frame.
func appendFrames(dst []byte, b sdk.Batch) []byte {
	for len(b) > 0 {
		n := fit(b)
		dst = appendFrame(dst, b[:n])
		b = b[n:]
	}
	return dst
}

// framesSize returns the length of what appendFrames appends, or a little more.
func framesSize(b sdk.Batch) int {
	size := 0
	for _, d := range b {
		size += datapointSize(d)
	}
	return size + frameOverhead*(1+len(b)/maxFrameDatapoints+2*size/maxFrame)
}

// fit returns how many datapoints of b, which has some, the next frame takes.
func fit(b sdk.Batch) int {
	size := frameOverhead + datapointSize(b[0])
	for n := 1; n < min(len(b), maxFrameDatapoints); n++ {
		size += datapointSize(b[n])
		if size > maxFrame {
			return n
		}
	}
	return min(len(b), maxFrameDatapoints)
}

func datapointSize(d sdk.Datapoint) int {
	if isInt32(d.Timestamp) {
		return datapointOverhead + len(d.Metric) + 1 + 4
	}
	return datapointOverhead + len(d.Metric) + 2 + 8
}

func appendFrame(dst []byte, b sdk.Batch) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, opProto, 2, opEmptyList, opMark)
	for _, d := range b {
		dst = appendDatapoint(dst, d)
	}
	dst = append(dst, opAppends, opStop)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

func appendDatapoint(dst []byte, d sdk.Datapoint) []byte {
	dst = append(dst, opBinUnicode)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(d.Metric)))
	dst = append(dst, d.Metric...)
	if isInt32(d.Timestamp) {
		dst = append(dst, opBinInt)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(d.Timestamp))
	} else {
		dst = append(dst, opLong1, 8)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(d.Timestamp))
	}
	dst = append(dst, opBinFloat)
	dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(d.Value))
	return append(dst, opTuple2, opTuple2)
}

func isInt32(n int64) bool { return n == int64(int32(n)) }
