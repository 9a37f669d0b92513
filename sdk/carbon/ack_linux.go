package carbon

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// An end of file acknowledges a delivery only when the far end sent it after it
// had read ours. A proxy that has no Carbon behind it accepts a connection and
// closes it, and a reader sees no difference. The kernel does: it knows who
// closed first, and whether all that was sent has arrived.

var errClosedEarly = errors.New("the far end closed the connection before it had read all")

// notClosed returns an error when the far end has closed its half of c. To be
// asked before ours is closed.
func notClosed(c *net.TCPConn) error {
	state, err := tcpState(c)
	if err == nil && state != unix.BPF_TCP_ESTABLISHED {
		return errClosedEarly
	}
	return err
}

// arrived returns an error when something sent on c, our end of file included,
// is not acknowledged by the far end's kernel. To be asked when both halves are
// closed.
func arrived(c *net.TCPConn) error {
	state, err := tcpState(c)
	if err == nil && state != unix.BPF_TCP_CLOSE && state != unix.BPF_TCP_TIME_WAIT {
		return errClosedEarly
	}
	return err
}

// tcpState returns the state of c, or the error that the kernel holds ready for
// it, such as a reset.
func tcpState(c *net.TCPConn) (state uint8, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	outer := raw.Control(func(fd uintptr) {
		var pending int
		if pending, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); err != nil {
			return
		}
		if pending != 0 {
			err = syscall.Errno(pending)
			return
		}
		var info *unix.TCPInfo
		if info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			state = info.State
		}
	})
	return state, errors.Join(outer, err)
}
