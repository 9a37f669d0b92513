package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Files is the folder of a log. A file that is missing gives an error that is
// [fs.ErrNotExist].
type Files interface {
	Lock() (io.Closer, error)         // keeps every other process out until it is closed
	Names() ([]string, error)         // of the files in the folder
	Create(name string) (File, error) // an empty file, whatever was there
	Open(name string) (File, error)   // a file that exists
	Rename(from, to string) error     // replaces what is there
	Remove(name string) error         // open files stay readable
	Sync() error                      // makes the names durable
}

// A File is open. What was written is durable after a Sync that succeeded, and
// not before. A removed file stays readable until it is closed.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Sync() error
}

// A folder is the operating system's.
type folder string

// lockName is the file whose lock keeps other processes out.
const lockName = "lock"

func (f folder) path(name string) string { return filepath.Join(string(f), name) }

// Lock implements [Files].
func (f folder) Lock() (io.Closer, error) {
	file, err := os.OpenFile(f.path(lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("%s: another process has it open", f)
		}
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Names implements [Files].
func (f folder) Names() ([]string, error) {
	entries, err := os.ReadDir(string(f))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Create implements [Files].
func (f folder) Create(name string) (File, error) {
	file, err := os.OpenFile(f.path(name), os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return diskFile{file}, nil
}

// Open implements [Files]. Where the file may only be read, it opens for reading.
func (f folder) Open(name string) (File, error) {
	file, err := os.OpenFile(f.path(name), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) {
		file, err = os.Open(f.path(name))
	}
	if err != nil {
		return nil, err
	}
	return diskFile{file}, nil
}

// Rename implements [Files].
func (f folder) Rename(from, to string) error { return os.Rename(f.path(from), f.path(to)) }

// Remove implements [Files].
func (f folder) Remove(name string) error { return os.Remove(f.path(name)) }

// Sync implements [Files].
func (f folder) Sync() error {
	dir, err := os.Open(string(f))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// A diskFile is one of the operating system's.
type diskFile struct{ *os.File }

// Size implements [File].
func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Sync implements [File] with fdatasync.
func (f diskFile) Sync() error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}
