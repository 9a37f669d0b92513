package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// Findings are what Verify found.
type Findings struct {
	Segments   int
	Bytes      int64    // of segments
	Records    uint64   // good ones
	Datapoints uint64   // in them
	Damages    []Damage // what cannot be read, and has not been passed over yet by every reader
	Problems   []error  // with cursors, headers and what was removed by hand
	End        Position
	Books      []Books // of each reader, sorted by name; Waiting is counted by reading
}

// attempts is how often Verify begins anew because segments came or went.
const attempts = 5

// Verify reads a log without opening it, while a server may be appending to it:
// every record with its sum and every cursor. Nothing is changed. In the books,
// what lies behind a cursor and cannot be read counts as damaged. It returns an
// error only when the folder or its end cannot be read, or when segments come and
// go faster than they can be read.
func Verify(path string) (Findings, error) { return verify(folder(path)) }

func verify(files Files) (Findings, error) {
	for range attempts {
		before, err := segmentNames(files)
		if err != nil {
			return Findings{}, err
		}
		f, failed := look(readOnly{files})
		after, err := segmentNames(files)
		if err != nil {
			return Findings{}, err
		}
		if slices.Equal(before, after) {
			return f, failed
		}
	}
	return Findings{}, errors.New("the segments of the journal come and go faster than they can be read: stop the server, or try again when it has less to do")
}

func segmentNames(files Files) ([]string, error) {
	names, err := files.Names()
	if err != nil {
		return nil, fmt.Errorf("the folder of the journal cannot be read: %w", err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, segmentSuffix) })
	slices.Sort(names)
	return names, nil
}

// look loads a log as Open does, and reads all of it.
func look(files Files) (f Findings, err error) {
	l := &Log{Options: Options{Files: files}, guard: nobody{}, readers: map[string]*Reader{}, reported: map[place]bool{}}
	l.now = time.Now
	if err := l.load(); err != nil {
		return f, errors.Join(err, l.release())
	}
	defer func() { err = errors.Join(err, l.release()) }()
	for _, problem := range l.untold {
		var damage Damage
		if !errors.As(problem, &damage) && !errors.Is(problem, errTorn) {
			f.Problems = append(f.Problems, problem)
		}
	}
	f.End = l.end
	for _, r := range l.readers {
		b, _, _ := r.books()
		b.Waiting = 0
		f.Books = append(f.Books, b)
	}
	slices.SortFunc(f.Books, func(a, b Books) int { return strings.Compare(a.Reader, b.Reader) })
	for i := range l.segments {
		if err := f.segment(l, i); err != nil {
			return f, err
		}
	}
	for i := range f.Books {
		b := &f.Books[i]
		b.Damaged += l.end.Number - l.readers[b.Reader].state.at.Number - b.Waiting
	}
	return f, nil
}

// segment reads the i-th segment.
func (f *Findings) segment(l *Log, i int) error {
	s := l.segments[i]
	f.Segments++
	f.Bytes += s.size
	end, next := l.bounds(i)
	file, err := l.Files.Open(s.name())
	if err != nil {
		return err
	}
	scan := &scanner{file: file, segment: s.segment, chunk: defaultBytes, patient: true,
		damage: func(d Damage) { f.Damages = append(f.Damages, d) },
		visit: func(h header, _ []byte, _ Position) {
			f.Records++
			f.Datapoints += uint64(h.count)
			for i := range f.Books {
				f.Books[i].wait(h, l.readers[f.Books[i].Reader].state.at)
			}
		},
	}
	at, err := scan.walk(span{s.first(), end, next})
	if at.Number < next {
		f.Damages = append(f.Damages, Damage{s.segment, at.Offset, next - at.Number})
	}
	return errors.Join(err, file.Close())
}

// wait counts a record that lies behind the cursor.
func (b *Books) wait(h header, cursor Position) {
	if h.number < cursor.Number {
		return
	}
	if b.Waiting == 0 {
		b.Oldest = time.UnixMilli(h.time)
	}
	b.Waiting += uint64(h.count)
}

// readOnly is a folder where all that would change it does nothing.
type readOnly struct{ Files }

// nobody is the lock of those who change nothing.
type nobody struct{}

func (nobody) Close() error { return nil }

func (readOnly) Lock() (io.Closer, error)    { return nobody{}, nil }
func (readOnly) Create(string) (File, error) { return nil, fs.ErrPermission }
func (readOnly) Rename(_, _ string) error    { return fs.ErrPermission }
func (readOnly) Remove(string) error         { return nil }
func (readOnly) Sync() error                 { return nil }

func (r readOnly) Open(name string) (File, error) {
	f, err := r.Files.Open(name)
	return readOnlyFile{f}, err
}

// readOnlyFile takes what is written to it for written.
type readOnlyFile struct{ File }

func (readOnlyFile) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }
func (readOnlyFile) Sync() error                            { return nil }
