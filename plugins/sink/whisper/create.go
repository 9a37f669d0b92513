package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"fluxgate/sdk"
	"fluxgate/sdk/schema"
)

// create makes the file of a metric, as the rules have it, with its first points.
// It gets its name only when it is whole and on the disk, so that no crash leaves
// half of one. Where another has made the file meanwhile, create returns that one,
// opened; what it makes itself it closes, and returns nil.
func (s *sink) create(root *os.Root, f filing, points []sdk.Point) (another *os.File, err error) {
	folder := filepath.Dir(f.path)
	if err := root.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	temporary := filepath.Join(folder, temporaryName())
	file, err := root.OpenFile(temporary, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Remove(temporary) }()
	err = errors.Join(fill(file, newHeader(s.rules.of(f.metric)), points), file.Sync(), file.Close())
	if err != nil {
		return nil, err
	}
	err = root.Link(temporary, f.path)
	if errors.Is(err, fs.ErrExist) {
		return root.OpenFile(f.path, os.O_RDWR, 0)
	}
	return nil, err
}

// temporaryName returns a name that no metric's file or folder can have, because
// those have no dot except in .wsp.
func temporaryName() string { return fmt.Sprintf(".new-%016x", rand.Uint64()) }

// fill writes an empty whisper file, and points to it. All of it takes its room
// on the disk at once, so that the disk is not full later.
func fill(file *os.File, h header, points []sdk.Point) error {
	if _, err := file.Write(h.encode()); err != nil {
		return err
	}
	last := h.archives[len(h.archives)-1]
	nothing := make([]byte, 64<<10)
	for rest := last.offset + last.size() - h.archives[0].offset; rest > 0; {
		n, err := file.Write(nothing[:min(rest, int64(len(nothing)))])
		if err != nil {
			return err
		}
		rest -= int64(n)
	}
	return updateAll(file, h, points)
}

// newHeader returns the header of a new file.
func newHeader(s schema.Schema) header {
	h := header{aggregation: s.Aggregation, xFilesFactor: float32(s.XFilesFactor)}
	offset := int64(headerSize + len(s.Retentions)*archiveHeaderSize)
	for _, r := range s.Retentions {
		a := archive{r, offset}
		h.archives = append(h.archives, a)
		offset += a.size()
	}
	return h
}

// encode is the inverse of [parseHeader].
func (h header) encode() []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(h.aggregation))
	b = binary.BigEndian.AppendUint32(b, uint32(h.archives[len(h.archives)-1].Span()))
	b = binary.BigEndian.AppendUint32(b, math.Float32bits(h.xFilesFactor))
	b = binary.BigEndian.AppendUint32(b, uint32(len(h.archives)))
	for _, a := range h.archives {
		b = binary.BigEndian.AppendUint32(b, uint32(a.offset))
		b = binary.BigEndian.AppendUint32(b, uint32(a.Step))
		b = binary.BigEndian.AppendUint32(b, uint32(a.Count))
	}
	return b
}
