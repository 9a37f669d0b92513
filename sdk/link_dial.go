package sdk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"fluxgate/sdk/internal/peer"
)

// dataName is what the name of a data socket begins with. The id of the process that
// listens there follows.
const dataName = "data"

// dialLink connects to the data socket that a plugin has named. There the process itself
// must listen, or one of its group: what a host starts may start the plugin. In the
// folder of the host's sockets, if there is one, the socket must be, and bear that
// process's name. It is then removed.
func dialLink(ctx context.Context, s Spec, pid int, path string) (*link, error) {
	owns := func(process int) bool { return process == pid }
	if s.Attach == "" {
		owns = func(process int) bool { return isOf(process, pid) }
		if s.SocketDir != "" {
			if err := admitSocket(s.SocketDir, path, owns); err != nil {
				return nil, err
			}
			defer func() { _ = os.Remove(path) }() // the plugin may have been faster
		}
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if listener, err := peer.Of(conn.(*net.UnixConn)); err != nil || !owns(listener) {
		_ = conn.Close()
		return nil, cmp.Or(err, fmt.Errorf("process %d listens there, which is not the plugin's", listener))
	}
	return newLink(conn, s.limit()), nil
}

// isOf reports whether a process is the one that was started, or of its group.
func isOf(process, started int) bool {
	group, err := syscall.Getpgid(process)
	return process == started || err == nil && group == started
}

// admitSocket returns an error for what is not the data socket of a process that the
// plugin owns, such as another plugin's.
func admitSocket(folder, path string, owns func(int) bool) error {
	if filepath.Dir(path) != filepath.Clean(folder) {
		return errors.New("it is not in the folder for sockets")
	}
	digits, named := strings.CutPrefix(filepath.Base(path), dataName)
	process, err := strconv.Atoi(digits)
	if !named || err != nil || strconv.Itoa(process) != digits || !owns(process) {
		return fmt.Errorf("its name is not %s and the id of a process of the plugin", dataName)
	}
	return nil
}
