package sdk

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	// joinTimeout is how long a plugin waits for its host at a data socket.
	joinTimeout = StartTimeout

	// offerPattern names the folders for data sockets where a host gives none. Hosts
	// remove those that nobody holds a lock on.
	offerPattern = "fluxgate-data-"
)

// An offer is a data socket at which one host is awaited, for joinTimeout.
type offer struct {
	path     string
	folder   *os.File // made for it, and locked; nil: the host's is used
	listener *net.UnixListener
	withdraw func() // removes the socket, and its folder; any number of times
}

func newOffer() (*offer, error) {
	o := &offer{}
	o.withdraw = sync.OnceFunc(o.remove)
	folder := os.Getenv(socketDirEnv)
	if folder == "" {
		if err := o.makeFolder(); err != nil {
			return nil, err
		}
		folder = o.folder.Name()
	}
	o.path = filepath.Join(folder, fmt.Sprintf("%s%d", dataName, os.Getpid()))
	_ = os.Remove(o.path) // of a process that had this number and was killed
	var err error
	if o.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: o.path, Net: "unix"}); err != nil {
		o.withdraw()
		return nil, err
	}
	return o, nil
}

func (o *offer) makeFolder() error {
	path, err := os.MkdirTemp("", offerPattern) // 0700
	if err != nil {
		return err
	}
	if o.folder, err = os.Open(path); err == nil {
		err = syscall.Flock(int(o.folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil { // a host's sweep was faster
		_ = os.Remove(path)
		_ = o.folder.Close() // nil has an error for that, too
	}
	return err
}

func (o *offer) remove() {
	if o.listener != nil {
		_ = o.listener.Close() // which removes the socket
	}
	if o.folder != nil {
		_ = os.Remove(o.folder.Name())
		_ = o.folder.Close()
	}
}

// accept returns the host's connection; nil if the offer was withdrawn.
func (o *offer) accept() (net.Conn, error) {
	defer o.withdraw()
	_ = o.listener.SetDeadline(time.Now().Add(joinTimeout))
	conn, err := o.listener.Accept()
	if errors.Is(err, net.ErrClosed) {
		return nil, nil
	}
	return conn, err
}

// offers are those of one plugin, of which the last counts.
type offers struct {
	mu   sync.Mutex
	last *offer
	over bool
}

var errLeaving = errors.New("the plugin is leaving")

// next makes an offer in place of the last.
func (o *offers) next() (next *offer, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return nil, errLeaving
	}
	if o.last != nil {
		o.last.withdraw()
	}
	o.last, err = newOffer()
	return o.last, err
}

// end withdraws the last offer. There are no more.
func (o *offers) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over = true; o.last != nil {
		o.last.withdraw()
	}
}
