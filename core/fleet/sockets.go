package fleet

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// socketPattern names the folders for plugins' sockets, in the system's folder
// for temporary files. A socket's path must stay below 108 bytes.
const socketPattern = "fluxgate-sockets-"

// A socketDir is the folder of one server's sockets. While the server lives it
// holds a lock on it.
type socketDir struct {
	path string
	lock *os.File
}

func makeSocketDir() (*socketDir, error) {
	for {
		path, err := os.MkdirTemp("", socketPattern) // 0700
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

// sweepSockets removes the folders of servers that are gone.
func sweepSockets() {
	stale, _ := filepath.Glob(filepath.Join(os.TempDir(), socketPattern+"*")) // the pattern is sound
	for _, path := range stale {
		if lock := lockFolder(path); lock != nil {
			_ = os.RemoveAll(path) // another user's stays
			_ = lock.Close()
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
