package fleet

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// socketPattern names the folders for plugins' sockets.
const socketPattern = "fluxgate-sockets-"

// offerPattern names those that plugins make for their data sockets where they are given
// none. While one waits there for its host it holds a lock on its folder.
const offerPattern = "fluxgate-data-"

// socketParent returns the folder for these folders: the system's for temporary
// files, unless a socket's path, of at most 107 bytes, would be too long there.
func socketParent() string {
	const room = 107 - len("/") - len(socketPattern) - len("4294967295") - len("/plugin4294967295")
	if parent := os.TempDir(); len(parent) <= room {
		return parent
	}
	return "/tmp"
}

// A socketDir is the folder of one server's sockets. While the server lives it
// holds a lock on it.
type socketDir struct {
	path string
	lock *os.File
}

func makeSocketDir() (*socketDir, error) {
	for tries := 0; ; tries++ {
		path, err := os.MkdirTemp(socketParent(), socketPattern) // 0700
		if err == nil && tries == 10 {
			err = fmt.Errorf("%s cannot be locked: set TMPDIR to a folder that can", path)
		}
		if err != nil {
			return nil, fmt.Errorf("a folder for plugins' sockets: %w", err)
		}
		lock := lockFolder(path)
		if _, err := os.Stat(path); lock != nil && err == nil {
			return &socketDir{path, lock}, nil
		}
		// Another server's sweep was faster than the lock.
	}
}

func (d *socketDir) remove() {
	_ = os.RemoveAll(d.path) // else the next sweep does it
	_ = d.lock.Close()
}

// sweepSockets removes the folders of servers and plugins that are gone.
func sweepSockets() {
	for _, pattern := range []string{socketPattern, offerPattern} {
		stale, _ := filepath.Glob(filepath.Join(socketParent(), pattern+"*")) // the pattern is sound
		for _, path := range stale {
			if lock := lockFolder(path); lock != nil {
				_ = os.RemoveAll(path) // another user's stays
				_ = lock.Close()
			}
		}
	}
}

// lockFolder returns the locked folder, or nil if it is gone, another's, no
// folder or locked already. The lock ends when the file is closed, or the
// process ends.
func lockFolder(path string) *os.File {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil
	}
	return f
}
