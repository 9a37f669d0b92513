package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"fluxgate/sdk/schema"
)

// Sizes inside a whisper file, in bytes.
const (
	headerSize        = 16
	archiveHeaderSize = 12
	pointSize         = 12
)

// maxArchives bounds how many archives a file may have. Steps that divide each
// other at least double, so that 32 bits have room for 32 of them.
const maxArchives = 32

// errDamaged is what is wrong with a file that is not as Carbon would make it.
var errDamaged = errors.New("the file is damaged: repair it or move it away")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w (%s)", errDamaged, fmt.Sprintf(format, args...))
}

// A header is what a whisper file says of itself.
type header struct {
	aggregation  schema.Aggregation
	xFilesFactor float32
	archives     []archive // the finest first
}

// An archive is a ring of points inside a whisper file. Where in the ring an
// interval lies follows from the interval that lies at its beginning.
type archive struct {
	schema.Retention
	offset int64 // of its first point, in bytes
}

func (a archive) size() int64 { return a.Count * pointSize }

// interval returns the start of the interval that timestamp is in.
func (a archive) interval(timestamp int64) int64 { return timestamp - timestamp%a.Step }

// readHeader reads the header of file, and returns an error unless the file has
// all the bytes that its header promises.
func readHeader(file *os.File) (header, error) {
	info, err := file.Stat()
	if err != nil {
		return header{}, err
	}
	if !info.Mode().IsRegular() {
		return header{}, damaged("it is no regular file")
	}
	raw := make([]byte, headerSize+maxArchives*archiveHeaderSize)
	n, err := file.ReadAt(raw, 0)
	if err != nil && err != io.EOF {
		return header{}, err
	}
	return parseHeader(raw[:n], info.Size())
}

// parseHeader reads a header at the beginning of raw, of a file of size bytes.
func parseHeader(raw []byte, size int64) (header, error) {
	if len(raw) < headerSize {
		return header{}, damaged("it has %d bytes, fewer than a header", len(raw))
	}
	h := header{
		aggregation:  schema.Aggregation(binary.BigEndian.Uint32(raw)),
		xFilesFactor: math.Float32frombits(binary.BigEndian.Uint32(raw[8:])),
	}
	span, count := int64(binary.BigEndian.Uint32(raw[4:])), int64(binary.BigEndian.Uint32(raw[12:]))
	if !h.aggregation.Known() {
		return header{}, damaged("it begins with %d, which is no aggregation of Carbon's", h.aggregation)
	}
	if !(h.xFilesFactor >= 0 && h.xFilesFactor <= 1) {
		return header{}, damaged("its xFilesFactor is %v", h.xFilesFactor)
	}
	if count < 1 || count > maxArchives {
		return header{}, damaged("it has %d archives", count)
	}
	end := headerSize + count*archiveHeaderSize
	if int64(len(raw)) < end {
		return header{}, damaged("it has %d bytes, and its header alone has %d", size, end)
	}
	retentions := make([]schema.Retention, count)
	for i := range retentions {
		b := raw[headerSize+i*archiveHeaderSize:]
		retentions[i] = schema.Retention{
			Step:  int64(binary.BigEndian.Uint32(b[4:])),
			Count: int64(binary.BigEndian.Uint32(b[8:])),
		}
		h.archives = append(h.archives, archive{retentions[i], int64(binary.BigEndian.Uint32(b))})
	}
	return h, h.verify(retentions, span, end, size)
}

// verify returns an error unless the archives suit each other, the span of the
// longest, and the room between end, the header's last byte, and size.
func (h header) verify(retentions []schema.Retention, span, end, size int64) error {
	if err := schema.Validate(retentions); err != nil {
		return damaged("its archives contradict each other: %v", err)
	}
	if longest := retentions[len(retentions)-1]; longest.Span() != span {
		return damaged("it spans %d seconds, and its longest archive %d", span, longest.Span())
	}
	for i, a := range h.archives {
		if a.offset < end {
			return damaged("archive %d lies over what stands before it", i)
		}
		end = a.offset + a.size()
		if end > size {
			return damaged("it has %d bytes, and archive %d ends at %d", size, i, end)
		}
	}
	return nil
}
