package populate

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"fluxgate/sdk"
)

// Points of a window lie in files: those that were fetched, and those that were
// made of them. A file has its name only once it is whole and on the disk. It
// holds, little-endian and of eight bytes each, the timestamp and the value of each
// point, and at its end the CRC32C of all that.
const (
	pointsFolder = "points"
	draftSuffix  = ".new"
	pointSize    = 16 // bytes
	sumSize      = 4
)

// The kinds of files.
const (
	fetchedFile   = "fetched"
	resampledFile = "resampled"
)

// pointsFile returns the path of a window's file.
func pointsFile(folder, id string, window int, kind string) string {
	return filepath.Join(folder, pointsFolder, fmt.Sprintf("%s-%d.%s", id, window, kind))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A pointsWriter writes a file of points. Either finish or abandon must be called.
type pointsWriter struct {
	file *os.File
	path string
	out  *bufio.Writer
	sum  uint32
	n    int64
}

func createPoints(path string) (*pointsWriter, error) {
	f, err := os.OpenFile(path+draftSuffix, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &pointsWriter{file: f, path: path, out: bufio.NewWriterSize(f, 64<<10)}, nil
}

func (w *pointsWriter) add(p sdk.Point) error {
	var b [pointSize]byte
	binary.LittleEndian.PutUint64(b[:], uint64(p.Timestamp))
	binary.LittleEndian.PutUint64(b[8:], math.Float64bits(p.Value))
	w.sum = crc32.Update(w.sum, castagnoli, b[:])
	w.n++
	_, err := w.out.Write(b[:])
	return err
}

// finish gives the file its name, once it is on the disk.
func (w *pointsWriter) finish() error {
	_, err := w.out.Write(binary.LittleEndian.AppendUint32(nil, w.sum))
	if err = errors.Join(err, w.out.Flush(), w.file.Sync(), w.file.Close()); err != nil {
		return errors.Join(err, os.Remove(w.path+draftSuffix))
	}
	if err := os.Rename(w.path+draftSuffix, w.path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(w.path))
}

func (w *pointsWriter) abandon() {
	_ = w.file.Close()
	_ = os.Remove(w.path + draftSuffix) // the next attempt would write over it
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// errDamaged means that a file of points is not what was written.
var errDamaged = errors.New("a file of points is damaged")

// A pointsReader reads a file of points.
type pointsReader struct {
	file *os.File
	in   *bufio.Reader
	left int64
	sum  uint32
}

func openPoints(path string) (*pointsReader, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing: %w", path, errDamaged)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && (info.Size() < sumSize || (info.Size()-sumSize)%pointSize != 0) {
		err = fmt.Errorf("%s: %w", path, errDamaged)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &pointsReader{file: f, in: bufio.NewReaderSize(f, 16<<10), left: (info.Size() - sumSize) / pointSize}, nil
}

func (r *pointsReader) close() error { return r.file.Close() }

// next returns the next point. At the end ok is false, and an error tells that
// what came before may be wrong.
func (r *pointsReader) next() (p sdk.Point, ok bool, err error) {
	var b [pointSize]byte
	if r.left == 0 {
		if _, err := io.ReadFull(r.in, b[:sumSize]); err != nil {
			return p, false, err
		}
		if binary.LittleEndian.Uint32(b[:]) != r.sum {
			return p, false, fmt.Errorf("%s: %w", r.file.Name(), errDamaged)
		}
		return p, false, nil
	}
	if _, err := io.ReadFull(r.in, b[:]); err != nil {
		return p, false, err
	}
	r.left--
	r.sum = crc32.Update(r.sum, castagnoli, b[:])
	p.Timestamp = int64(binary.LittleEndian.Uint64(b[:]))
	p.Value = math.Float64frombits(binary.LittleEndian.Uint64(b[8:]))
	return p, true, nil
}

// verifyPoints reads a file to its end.
func verifyPoints(path string) error {
	r, err := openPoints(path)
	if err != nil {
		return err
	}
	defer r.close()
	for {
		if _, ok, err := r.next(); !ok {
			return err
		}
	}
}

// removePoints removes the files of a job, or of one of its windows.
func removePoints(folder, id string, windows int) error {
	var errs []error
	for i := range windows {
		for _, kind := range []string{fetchedFile, resampledFile} {
			if err := os.Remove(pointsFile(folder, id, i, kind)); !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// sweepPoints removes drafts, and the files of jobs that are not known.
func sweepPoints(folder string, known map[string]bool) error {
	entries, err := os.ReadDir(filepath.Join(folder, pointsFolder))
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		id, _, _ := strings.Cut(e.Name(), "-")
		if strings.HasSuffix(e.Name(), draftSuffix) || !known[id] {
			errs = append(errs, os.Remove(filepath.Join(folder, pointsFolder, e.Name())))
		}
	}
	return errors.Join(errs...)
}
