package sdk

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// hostGone returns when the process that started this one has ended.
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
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		if n > 0 || err != nil && err != unix.EINTR {
			return
		}
	}
}
