package whispertest

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"fluxgate/sdk"
	"fluxgate/sdk/schema"
)

// Sizes inside a whisper file, in bytes.
const (
	headerSize        = 16 // aggregation, span, xFilesFactor and how many archives
	archiveHeaderSize = 12 // offset, step and count
	pointSize         = 12 // timestamp and value
)

// An archive is one retention of a whisper file with the bytes of its points,
// which are a ring: where an interval lies follows from the one at its beginning.
type archive struct {
	schema.Retention
	ring []byte
}

// parse returns the archives of a whisper file, the finest first, without a copy
// of raw.
func parse(raw []byte) ([]archive, error) {
	if len(raw) < headerSize {
		return nil, fmt.Errorf("it has %d bytes, fewer than the header of a whisper file", len(raw))
	}
	count := int64(binary.BigEndian.Uint32(raw[12:]))
	if end := headerSize + count*archiveHeaderSize; count < 1 || end > int64(len(raw)) {
		return nil, fmt.Errorf("it has %d bytes, which is no room for the headers of %d archives", len(raw), count)
	}
	all := make([]archive, count)
	for i := range all {
		header := raw[headerSize+i*archiveHeaderSize:]
		offset := int64(binary.BigEndian.Uint32(header))
		r := schema.Retention{Step: int64(binary.BigEndian.Uint32(header[4:])), Count: int64(binary.BigEndian.Uint32(header[8:]))}
		end := offset + r.Count*pointSize
		if r.Step < 1 || r.Count < 1 || end > int64(len(raw)) {
			return nil, fmt.Errorf("it has %d bytes, and archive %d has %d points of %d seconds that end at %d", len(raw), i, r.Count, r.Step, end)
		}
		all[i] = archive{r, raw[offset:end]}
	}
	return all, nil
}

// points returns what Graphite finds in the archive at the time now, and what
// lies after it, in ascending order of time. What has gone out of the archive's
// reach is left out though its bytes may be there, and so is what does not lie in
// its place.
func (a archive) points(now int64) []sdk.Point {
	base := int64(binary.BigEndian.Uint32(a.ring))
	if base == 0 {
		return nil // nothing has ever been written to it
	}
	oldest := a.interval(now - a.Span()) // the first that is out of reach
	var points []sdk.Point
	for i := range a.Count {
		raw := a.ring[i*pointSize:]
		at := int64(binary.BigEndian.Uint32(raw))
		if at > oldest && a.interval(at) == at && a.place(at-base) == i {
			points = append(points, sdk.Point{Timestamp: at, Value: math.Float64frombits(binary.BigEndian.Uint64(raw[4:]))})
		}
	}
	slices.SortFunc(points, func(a, b sdk.Point) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	return points
}

// interval returns the start of the interval that timestamp is in.
func (a archive) interval(timestamp int64) int64 { return timestamp - timestamp%a.Step }

// place returns which point of the ring is as many seconds behind its first.
func (a archive) place(distance int64) int64 {
	span := a.Span()
	return (distance%span + span) % span / a.Step
}
