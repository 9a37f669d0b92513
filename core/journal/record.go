package journal

import (
	"encoding/binary"
	"hash/crc32"
	"time"
)

// A Record is what a log keeps: bytes, and how many datapoints they hold.
type Record struct {
	Data   []byte
	Count  int       // datapoints in it, at least 1
	Time   time.Time // when it was appended, to the millisecond; set by Append
	Number uint64    // of its first datapoint; set by Append
}

// A record on disk begins at a multiple of 8 with a header of recordSize bytes,
// little endian:
//
//	magic    uint32
//	length   uint32  of the data
//	count    uint32
//	commit   uint32  where the commit that wrote it began, divided by 8
//	number   uint64
//	time     int64   in milliseconds
//	data sum uint32  CRC32C
//	sum      uint32  CRC32C of segment, offset and the fields above
//
// Since the place is part of the sum, nothing stale or moved is taken for a record.
const (
	recordMagic = 0x6a636572
	recordSize  = 40
	align       = 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is what stands before the data of a record.
type header struct {
	length, count, commit uint32
	number                uint64
	time                  int64
	sum                   uint32 // of the data
}

// aligned returns the next multiple of 8 from n on.
func aligned(n int64) int64 { return (n + align - 1) &^ (align - 1) }

// sizeOf returns the bytes on disk of a record with so much data.
func sizeOf(data int) int64 { return recordSize + aligned(int64(data)) }

func (h header) size() int64 { return sizeOf(int(h.length)) }
func (h header) end() uint64 { return h.number + uint64(h.count) }

// record returns the record of h.
func (h header) record(data []byte) Record {
	return Record{Data: data, Count: int(h.count), Time: time.UnixMilli(h.time), Number: h.number}
}

// headerSum returns the sum of the header in b at a place.
func headerSum(b []byte, segment uint64, offset int64) uint32 {
	var seed [16]byte
	binary.LittleEndian.PutUint64(seed[:], segment)
	binary.LittleEndian.PutUint64(seed[8:], uint64(offset))
	return crc32.Update(crc32.Checksum(seed[:], castagnoli), castagnoli, b[:recordSize-4])
}

// appendRecord appends r as it stands at offset of a segment, in a commit that
// began at another.
func appendRecord(b []byte, r Record, segment uint64, offset, commit int64) []byte {
	begin := len(b)
	b = binary.LittleEndian.AppendUint32(b, recordMagic)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.Data)))
	b = binary.LittleEndian.AppendUint32(b, uint32(r.Count))
	b = binary.LittleEndian.AppendUint32(b, uint32(commit/align))
	b = binary.LittleEndian.AppendUint64(b, r.Number)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.Time.UnixMilli()))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(r.Data, castagnoli))
	b = binary.LittleEndian.AppendUint32(b, headerSum(b[begin:], segment, offset))
	b = append(b, r.Data...)
	var zeros [align]byte
	return append(b, zeros[:aligned(int64(len(r.Data)))-int64(len(r.Data))]...)
}

// parseHeader reads the header in b, which stands at offset of a segment. With
// unchecked the sum is believed.
func parseHeader(b []byte, segment uint64, offset int64, unchecked bool) (header, bool) {
	if binary.LittleEndian.Uint32(b) != recordMagic {
		return header{}, false
	}
	h := header{
		length: binary.LittleEndian.Uint32(b[4:]),
		count:  binary.LittleEndian.Uint32(b[8:]),
		commit: binary.LittleEndian.Uint32(b[12:]),
		number: binary.LittleEndian.Uint64(b[16:]),
		time:   int64(binary.LittleEndian.Uint64(b[24:])),
		sum:    binary.LittleEndian.Uint32(b[32:]),
	}
	good := unchecked || binary.LittleEndian.Uint32(b[36:]) == headerSum(b, segment, offset)
	return h, good && h.count > 0 && h.end() > h.number
}
