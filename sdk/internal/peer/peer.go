// Package peer tells who listens on a Unix socket, and when a process has ended.
package peer

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Pid returns the id of the process that listens on a socket.
func Pid(socket string) (int, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return Of(conn)
}

// Of returns the id of the process that listened where a connection was made to.
func Of(conn syscall.Conn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var listener *unix.Ucred
	unread := raw.Control(func(fd uintptr) { listener, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(unread, err); err != nil {
		return 0, err
	}
	return int(listener.Pid), nil
}

// Ends reports whether the process of a pidfd, child or not, has ended within d.
func Ends(pidfd int, d time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for until := time.Now().Add(d); ; {
		left := max(0, time.Until(until).Milliseconds()) // a signal may come late, and less than nothing is for ever
		n, err := unix.Poll(fds, int(left))
		if err != unix.EINTR {
			return n > 0
		}
	}
}
