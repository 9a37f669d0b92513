package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// A segment file begins with two copies of its header, in sectors of their own,
// so that one damaged sector costs no record. All is little endian:
//
//	magic    8 bytes
//	version  uint64
//	segment  uint64  its own number
//	start    uint64  the number of its first datapoint
//	previous uint64  the number of the segment before it; 0: none
//	end      uint64  where the records of that one end
//	sum      uint32  CRC32C of the fields above
//
// The header is written with the first commit. A file without one was prepared
// and never used.
const (
	segmentMagic   = "fluxjrnl"
	segmentVersion = 1
	headSize       = 52
	headCopy       = 512 // where the second copy begins
	dataStart      = 1024

	segmentSuffix = ".seg"
	summarySuffix = ".sum"
	cursorSuffix  = ".cursor"
	newSuffix     = ".new" // of a file that is not whole yet
)

// head is the header of a segment.
type head struct {
	segment, start, previous uint64
	end                      int64 // of the previous
}

// A segment is a file of the log that is or was in use, or is prepared.
type segment struct {
	head
	size    int64   // of the file
	end     int64   // behind its last record; of the newest one in use it is the log's
	file    File    // open while it is written to
	summary summary // once sealed
	summed  int64   // bytes of the file of that
	unread  error   // why not even its start is known: the disk does not give it
}

// taken returns the bytes that count against the budget.
func (s *segment) taken() int64 { return s.size + s.summed }

func (s *segment) name() string    { return numbered(s.segment, segmentSuffix) }
func (s *segment) first() Position { return Position{s.segment, s.start, dataStart} }

func numbered(n uint64, suffix string) string { return fmt.Sprintf("%016x%s", n, suffix) }

// numberOf returns the number in the name of a file with a suffix.
func numberOf(name, suffix string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) != 16 || strings.ToLower(digits) != digits {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	return n, err == nil && n > 0
}

// bytes returns the dataStart bytes before the first record.
func (h head) bytes() []byte {
	b := make([]byte, 0, dataStart)
	b = append(b, segmentMagic...)
	b = binary.LittleEndian.AppendUint64(b, segmentVersion)
	b = binary.LittleEndian.AppendUint64(b, h.segment)
	b = binary.LittleEndian.AppendUint64(b, h.start)
	b = binary.LittleEndian.AppendUint64(b, h.previous)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.end))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	b = b[:dataStart]
	copy(b[headCopy:], b[:headSize])
	return b
}

// parseHead reads the header of a segment from the first dataStart bytes of its
// file. An error says that another version wrote it.
func parseHead(b []byte, segment uint64) (head, bool, error) {
	for _, b := range [][]byte{b, b[headCopy:]} {
		sum := binary.LittleEndian.Uint32(b[headSize-4:])
		if string(b[:8]) != segmentMagic || sum != crc32.Checksum(b[:headSize-4], castagnoli) {
			continue
		}
		if v := binary.LittleEndian.Uint64(b[8:]); v != segmentVersion {
			return head{}, false, fmt.Errorf("segment %x is of version %d of the format, and only version %d is known: use the Fluxgate that wrote it", segment, v, segmentVersion)
		}
		h := head{
			segment:  binary.LittleEndian.Uint64(b[16:]),
			start:    binary.LittleEndian.Uint64(b[24:]),
			previous: binary.LittleEndian.Uint64(b[32:]),
			end:      int64(binary.LittleEndian.Uint64(b[40:])),
		}
		if h.segment == segment && h.previous < segment && h.end >= 0 {
			return h, true, nil
		}
	}
	return head{}, false, nil
}

// blank says whether b is all zeros.
func blank(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
