package main

import (
	"net"
	"sync"
	"time"
)

// A proxy stands before a server and can be told to misbehave.
type proxy struct {
	*gate
	behind string

	mu    sync.Mutex
	delay time.Duration // of everything that passes
	hold  chan struct{} // not nil: nothing passes until it is closed
	conns map[net.Conn]bool
	done  sync.WaitGroup
}

func newProxy(behind string) (*proxy, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p := &proxy{behind: behind, conns: map[net.Conn]bool{}}
	p.gate = &gate{address: address, serve: p.pass}
	return p, p.open()
}

// slow delays everything by d.
func (p *proxy) slow(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// swallow lets nothing pass, and keeps connections open, until release.
func (p *proxy) swallow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hold == nil {
		p.hold = make(chan struct{})
	}
}

func (p *proxy) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hold != nil {
		close(p.hold)
		p.hold = nil
	}
}

// cut resets every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
}

func (p *proxy) close() {
	_ = p.gate.close()
	p.release()
	p.cut()
	p.done.Wait()
}

func (p *proxy) pass(near *net.TCPConn) {
	p.done.Add(1)
	defer p.done.Done()
	defer near.Close()
	far, err := net.DialTimeout("tcp", p.behind, time.Second)
	if err != nil {
		_ = near.SetLinger(0)
		return
	}
	defer far.Close()
	p.keep(near, far, true)
	defer p.keep(near, far, false)
	var both sync.WaitGroup
	both.Go(func() { p.copy(far, near) })
	both.Go(func() { p.copy(near, far) })
	both.Wait()
}

func (p *proxy) keep(near, far net.Conn, keep bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range []net.Conn{near, far} {
		if keep {
			p.conns[c] = true
		} else {
			delete(p.conns, c)
		}
	}
}

// copy moves bytes one way, and ends both ways when this one ends.
func (p *proxy) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		delay, hold := p.delay, p.hold
		p.mu.Unlock()
		time.Sleep(delay)
		if hold != nil {
			<-hold
		}
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			return
		}
	}
}
