// Package frame is the form of what travels on the data socket between a host and
// a plugin: frames of bytes with a length, each of which names the call that it
// belongs to. It trusts nobody: lengths are checked before anything is read or
// kept.
//
// A frame is a header, little endian, and the bytes that it announces:
//
//	length  uint32  of the bytes behind the header
//	kind    uint32
//	call    uint64
package frame

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// HeaderSize is the length of a header, in bytes.
const HeaderSize = 16

// A Kind says what a frame is.
type Kind uint32

// The kinds of frames.
const (
	Call   Kind = 1 // from the host
	Answer Kind = 2 // from the plugin: one for each call, or of an input several
	Cancel Kind = 3 // from the host, empty: nobody waits for the answer any more
)

// Begin appends the header of a frame, whose length End sets.
func Begin(dst []byte, kind Kind, call uint64) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(kind))
	return binary.LittleEndian.AppendUint64(dst, call)
}

// End sets the length of a frame that begins at the start of b, of which more bytes
// than those of b may follow.
func End(b []byte, more int) {
	binary.LittleEndian.PutUint32(b, uint32(len(b)-HeaderSize+more))
}

// Read reads a frame of at most limit bytes behind its header. They are nobody
// else's. At the end between two frames the error is [io.EOF].
func Read(r *bufio.Reader, limit int) (kind Kind, call uint64, data []byte, err error) {
	header, err := r.Peek(HeaderSize)
	if err == io.EOF && len(header) > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return 0, 0, nil, err
	}
	length := binary.LittleEndian.Uint32(header)
	kind, call = Kind(binary.LittleEndian.Uint32(header[4:])), binary.LittleEndian.Uint64(header[8:])
	if kind < Call || kind > Cancel {
		return 0, 0, nil, fmt.Errorf("frame of kind %d: there is none", kind)
	}
	if int64(length) > int64(limit) {
		return 0, 0, nil, fmt.Errorf("frame of %d bytes: at most %d may come", length, limit)
	}
	if _, err := r.Discard(HeaderSize); err != nil {
		return 0, 0, nil, err
	}
	data = make([]byte, length)
	if _, err = io.ReadFull(r, data); err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return kind, call, data, err
}
