package sdk

import (
	"context"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// hostGone returns when the process that started this one has ended. One that
// ended before this call has left nobody to read this one's standard output.
func hostGone() {
	host := os.Getppid()
	fd, err := unix.PidfdOpen(host, 0)
	if err != nil { // a kernel or sandbox without it
		for os.Getppid() == host {
			time.Sleep(time.Second)
		}
		return
	}
	defer unix.Close(fd)
	const ended, unread = 0, 1
	fds := []unix.PollFd{ended: {Fd: int32(fd), Events: unix.POLLIN}, unread: {Fd: int32(syscall.Stdout)}}
	for poll(fds) {
		if fds[ended].Revents != 0 || fds[unread].Revents&unix.POLLERR != 0 {
			return
		}
		fds[unread].Fd = -1 // the plugin has closed it
	}
}

// attachedInterval is how often an attached process is looked for.
const attachedInterval = 500 * time.Millisecond

// awaitEndOf returns when a process that is no child has ended, or ctx has.
func awaitEndOf(ctx context.Context, pid int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		fd = -1 // a kernel or sandbox without it, or the process has ended
	} else {
		defer unix.Close(fd)
	}
	tick := time.NewTicker(attachedInterval)
	defer tick.Stop()
	for !hasEnded(fd, pid) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// hasEnded reports whether a process has ended, also if nobody has waited for it
// where there is a handle.
func hasEnded(pidfd, pid int) bool {
	if pidfd < 0 {
		return syscall.Kill(pid, 0) == syscall.ESRCH
	}
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}

// awaitEnd returns when the process that pidfd stands for has ended.
func awaitEnd(pidfd int) { poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}) }

// poll waits for any of fds. It returns false if the kernel cannot.
func poll(fds []unix.PollFd) bool {
	for {
		n, err := unix.Poll(fds, -1)
		if n > 0 {
			return true
		}
		if err != nil && err != unix.EINTR {
			return false
		}
	}
}
