package carbon

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

// listen serves each connection to a free port of host with serve, which need
// not close it, and must return when the test is done. It returns the address.
func listen(t *testing.T, host string, serve func(c *net.TCPConn, done <-chan struct{})) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	done := t.Context().Done()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				serve(c.(*net.TCPConn), done)
				c.Close()
			})
		}
	})
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func reading(into *sync.Map, name string) func(*net.TCPConn, <-chan struct{}) {
	return func(c *net.TCPConn, _ <-chan struct{}) {
		b, _ := io.ReadAll(c)
		into.Store(name, string(b))
	}
}

func newSender(addresses ...string) *Sender {
	return NewSender(Config{Address: addresses, Timeout: DefaultTimeout})
}

func soon(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestSendDeliversAllBytes(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		if host == "::1" && !hasIPv6() {
			t.Log("this machine has no IPv6: not tried")
			continue
		}
		var got sync.Map
		address := listen(t, host, reading(&got, "it"))
		payload := strings.Repeat("0123456789abcdef", 1<<16)
		if err := newSender(address).Send(soon(t, 20*time.Second), []byte(payload)); err != nil {
			t.Fatal(err)
		}
		if text, _ := got.Load("it"); text != payload {
			t.Errorf("%s: what was acknowledged did not arrive whole", host)
		}
	}
}

// hasIPv6 says whether this machine has IPv6 on its loopback.
func hasIPv6() bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func TestNoAcknowledgement(t *testing.T) {
	payload := make([]byte, 8<<20) // more than the kernels of both ends take
	half := func(c *net.TCPConn) { _, _ = io.CopyN(io.Discard, c, int64(len(payload)/2)) }
	type serve = func(c *net.TCPConn, done <-chan struct{})
	for name, serve := range map[string]serve{
		"never reads": func(_ *net.TCPConn, done <-chan struct{}) { <-done },
		"reads all and keeps the connection": func(c *net.TCPConn, done <-chan struct{}) {
			_, _ = io.Copy(io.Discard, c)
			<-done
		},
		"reads all and talks without end": func(c *net.TCPConn, _ <-chan struct{}) {
			_, _ = io.Copy(io.Discard, c)
			for err := error(nil); err == nil; _, err = c.Write(payload) {
			}
		},
		"reads half and resets": func(c *net.TCPConn, _ <-chan struct{}) {
			half(c)
			_ = c.SetLinger(0)
		},
		"reads half and closes": func(c *net.TCPConn, _ <-chan struct{}) { half(c) },
		"reads all and resets": func(c *net.TCPConn, _ <-chan struct{}) {
			_, _ = io.Copy(io.Discard, c)
			_ = c.SetLinger(0)
		},
		"closes at once": func(*net.TCPConn, <-chan struct{}) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := listen(t, "127.0.0.1", serve)
			ctx := soon(t, 5*time.Second)
			err := newSender(address).Send(ctx, payload)
			if !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), address) {
				t.Errorf("error %v", err)
			}
			if errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
				t.Errorf("the error is late, or of a second kind: %v", err)
			}
		})
	}
}

// pair returns both ends of a connection.
func pair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); accepted.Close() })
	return conn.(*net.TCPConn), accepted.(*net.TCPConn)
}

func TestFarEndThatClosesFirstAcknowledgesNothing(t *testing.T) {
	near, far := pair(t)
	if err := far.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := deliver(soon(t, 5*time.Second), near, []byte("x")); !errors.Is(err, errClosedEarly) {
		t.Errorf("error %v", err)
	}
}

// fill writes to c until the kernels of both ends take no more, so that an end of
// file cannot arrive.
func fill(t *testing.T, c *net.TCPConn) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	part := make([]byte, 64<<10)
	written := 0
	var full error
	err = raw.Write(func(fd uintptr) bool {
		for n := 0; full == nil && written < 64<<20; written += max(n, 0) {
			n, full = syscall.Write(int(fd), part)
		}
		return true
	})
	if err != nil || full != syscall.EAGAIN {
		t.Fatalf("%d bytes written, errors %v and %v, want %v", written, err, full, syscall.EAGAIN)
	}
}

func TestFarEndThatClosesUnreadAcknowledgesNothing(t *testing.T) {
	near, far := pair(t)
	fill(t, near)
	if err := near.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := far.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, near); n != 0 || err != nil {
		t.Fatalf("%d bytes, error %v, where the end of file was due", n, err)
	}
	if err := arrived(near); !errors.Is(err, errClosedEarly) {
		t.Errorf("error %v", err)
	}
}

func TestAnswersAreIgnored(t *testing.T) {
	address := listen(t, "127.0.0.1", func(c *net.TCPConn, _ <-chan struct{}) {
		_, _ = io.WriteString(c, "220 welcome\n")
		_, _ = io.Copy(io.Discard, c)
	})
	if err := newSender(address).Send(soon(t, 5*time.Second), []byte("x")); err != nil {
		t.Error(err)
	}
}

func TestAddressesAreTriedInTurn(t *testing.T) {
	var got sync.Map
	dead, first, second := servers.Nobody(t), listen(t, "127.0.0.1", reading(&got, "first")), listen(t, "127.0.0.1", reading(&got, "second"))
	s := newSender(dead, first, second)
	if err := s.Send(soon(t, 5*time.Second), []byte("1")); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(soon(t, 5*time.Second), []byte("2")); err != nil {
		t.Fatal(err)
	}
	if text, _ := got.Load("first"); text != "2" {
		t.Errorf("the address after the dead one has %v, want what was sent last", text)
	}
	if text, there := got.Load("second"); there {
		t.Errorf("an address was used that was not needed: it has %v", text)
	}
	if at := s.last.Load(); at != 1 {
		t.Errorf("the next delivery begins at address %d, want that which worked", at)
	}
}

func TestDeadAddressLeavesTimeForTheNext(t *testing.T) {
	var got sync.Map
	silent := listen(t, "127.0.0.1", func(_ *net.TCPConn, done <-chan struct{}) { <-done })
	alive := listen(t, "127.0.0.1", reading(&got, "it"))
	if err := newSender(silent, alive).Send(soon(t, 5*time.Second), []byte("x")); err != nil {
		t.Error(err)
	}
}

func TestTimeoutBoundsOneAddress(t *testing.T) {
	silent := listen(t, "127.0.0.1", func(_ *net.TCPConn, done <-chan struct{}) { <-done })
	s := NewSender(Config{Address: []string{silent}, Timeout: 50 * time.Millisecond})
	if err := s.Send(t.Context(), []byte("x")); !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}

func TestErrorNamesEachAddress(t *testing.T) {
	a, b := servers.Nobody(t), servers.Nobody(t)
	err := newSender(a, b).Send(soon(t, 5*time.Second), []byte("x"))
	if err == nil || !strings.Contains(err.Error(), a) || !strings.Contains(err.Error(), b) {
		t.Errorf("error %v, want both %s and %s", err, a, b)
	}
}

func TestCheck(t *testing.T) {
	var got sync.Map
	if err := newSender(listen(t, "127.0.0.1", reading(&got, "it"))).Check(soon(t, 5*time.Second)); err != nil {
		t.Error(err)
	}
	if err := newSender(servers.Nobody(t)).Check(soon(t, 5*time.Second)); !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}

// TestPace runs in a bubble whose clock stands still while anybody works.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			mu    sync.Mutex
			made  []time.Time
			wg    sync.WaitGroup
			sends = 4 * maxConnections
		)
		s := newSender("a:1", "b:1")
		s.most = 1 // so that each of them travels alone
		s.dial = func(context.Context, string, string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			made = append(made, time.Now())
			return nil, errors.New("refused")
		}
		for i := range sends {
			wg.Go(func() { _ = s.Send(t.Context(), make([]byte, 1+i%2*little)) })
		}
		wg.Wait()
		if len(made) != 2*sends {
			t.Fatalf("%d connections, want %d", len(made), 2*sends)
		}
		for i := maxConnections; i < len(made); i++ {
			if span := made[i].Sub(made[i-maxConnections]); span < time.Second-time.Microsecond {
				t.Fatalf("%d connections within %v", maxConnections+1, span)
			}
		}
	})
}

func TestWaitingForATurnObeysTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSender("a:1")
		s.dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") }
		for range 10 * maxConnections {
			s.pace.Reserve()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Send(ctx, nil); !errors.Is(err, sdk.ErrUnavailable) || ctx.Err() != nil {
			t.Errorf("error %v, context %v", err, ctx.Err())
		}
	})
}
