package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// freeAddress returns an address of loopback that nobody listens on. Its port
// lies below the range from which Linux takes the ports of outgoing connections,
// so that it is free again after a stop.
func freeAddress() (string, error) {
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		l, err := net.Listen("tcp", address)
		if err == nil {
			return address, l.Close()
		}
	}
	return "", errors.New("no free TCP port between 20000 and 32000")
}

// A gate is a listener that can be opened and closed, always at one address.
type gate struct {
	address string
	serve   func(*net.TCPConn) // in a goroutine of its own

	mu       sync.Mutex
	listener net.Listener
	blocked  *plug
}

// open lets connections in.
func (g *gate) open() error {
	if g.isOpen() {
		return nil
	}
	if err := g.close(); err != nil {
		return err
	}
	l, err := net.Listen("tcp", g.address)
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.listener = l
	g.mu.Unlock()
	go func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil { // too many open files, perhaps
				time.Sleep(10 * time.Millisecond)
				continue
			}
			go g.serve(c.(*net.TCPConn))
		}
	}()
	return nil
}

func (g *gate) isOpen() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.listener != nil
}

// close has the kernel refuse connections.
func (g *gate) close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var err error
	if g.listener != nil {
		err = g.listener.Close()
	}
	if g.blocked != nil {
		err = errors.Join(err, g.blocked.close())
	}
	g.listener, g.blocked = nil, nil
	return err
}

// block has the kernel drop what would open a connection, as a firewall that
// drops does: somebody listens, and the queue of those not accepted is full.
func (g *gate) block() error {
	if err := g.close(); err != nil {
		return err
	}
	p, err := newPlug(g.address)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.blocked = p
	return nil
}

// A plug is a listener with a full queue.
type plug struct {
	fd    int
	conns []net.Conn
}

func newPlug(address string) (*plug, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	p := &plug{fd: fd}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}),
		unix.Listen(fd, 0),
	)
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	for range 16 {
		c, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			return p, nil // the queue is full
		}
		p.conns = append(p.conns, c)
	}
	return nil, errors.Join(errors.New("the kernel's queue of connections does not fill"), p.close())
}

func (p *plug) close() error {
	for _, c := range p.conns {
		_ = c.Close() // nothing was ever sent on it
	}
	return unix.Close(p.fd)
}

// reach says why nobody accepts connections at address.
func reach(address string) error {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err
	}
	return c.Close()
}
