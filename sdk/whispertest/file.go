package whispertest

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"syscall"

	"fluxgate/sdk"
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

// An archive is what one archive of a whisper file holds.
type archive struct {
	schema.Retention
	points []sdk.Point // in ascending order of time
}

// errBusy says that a file is being written.
var errBusy = errors.New("the file is being written")

// readFile reads a whisper file as it is at the time now, the finest archive
// first. The error wraps [fs.ErrNotExist] when there is none, and errBusy when
// its writer has locked it: no half of an update is ever seen.
func readFile(path string, now int64) ([]archive, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if err == syscall.EWOULDBLOCK {
			return nil, errBusy
		}
		if err != syscall.EINTR {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
	raw, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	all, err := parse(raw, now)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, err)
	}
	return all, nil
}

// parse reads a whisper file as Graphite does at the time now, except that
// points ahead of it count.
func parse(raw []byte, now int64) ([]archive, error) {
	if len(raw) < headerSize {
		return nil, fmt.Errorf("it has %d bytes, fewer than a header", len(raw))
	}
	count := int(binary.BigEndian.Uint32(raw[12:]))
	if count < 1 || count > maxArchives || len(raw) < headerSize+count*archiveHeaderSize {
		return nil, fmt.Errorf("it has %d bytes, and %d archives", len(raw), count)
	}
	all := make([]archive, count)
	retentions := make([]schema.Retention, count)
	for i := range all {
		h := raw[headerSize+i*archiveHeaderSize:]
		offset := int64(binary.BigEndian.Uint32(h))
		r := schema.Retention{Step: int64(binary.BigEndian.Uint32(h[4:])), Count: int64(binary.BigEndian.Uint32(h[8:]))}
		if r.Step < 1 || r.Count < 1 || offset+r.Count*pointSize > int64(len(raw)) {
			return nil, fmt.Errorf("archive %d does not fit into its %d bytes", i, len(raw))
		}
		retentions[i] = r
		all[i] = archive{r, ring(raw[offset:offset+r.Count*pointSize], r, now)}
	}
	return all, schema.Validate(retentions)
}

// ring returns the points of an archive. Each interval has a place that follows
// from the one at the beginning; what is elsewhere, or was left there by an
// interval that is out of reach now, is no point.
func ring(raw []byte, r schema.Retention, now int64) (points []sdk.Point) {
	base := int64(binary.BigEndian.Uint32(raw))
	if base == 0 {
		return nil // nothing was ever written
	}
	oldest := now - now%r.Step - r.Span() + r.Step
	for place := range r.Count {
		b := raw[place*pointSize:]
		timestamp := int64(binary.BigEndian.Uint32(b))
		away := timestamp - base
		if timestamp < oldest || away%r.Step != 0 || (away/r.Step%r.Count+r.Count)%r.Count != place {
			continue
		}
		points = append(points, sdk.Point{Timestamp: timestamp, Value: math.Float64frombits(binary.BigEndian.Uint64(b[4:]))})
	}
	slices.SortFunc(points, func(a, b sdk.Point) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	return points
}
