package carbon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

// A receiver keeps what each connection brings, and acknowledges it.
type receiver struct {
	mu  sync.Mutex
	got []string
}

func (r *receiver) serve(c *net.TCPConn, _ <-chan struct{}) {
	b, err := io.ReadAll(c)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, string(b))
}

// want tells what is not as wanted of what the connections brought.
func (r *receiver) want(t *testing.T, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.got, want) {
		t.Errorf("the connections brought %.200q, want %.200q", r.got, want)
	}
}

// joined has each of payloads sent, in their order, while the sender waits for
// its turn, and returns the errors. It is called in a bubble, whose clock stands
// still until all of them wait.
func joined(t *testing.T, s *Sender, payloads ...string) []error {
	t.Helper()
	s.pace.Reserve()
	errs := make([]error, len(payloads))
	var wg sync.WaitGroup
	for i, p := range payloads {
		wg.Go(func() { errs[i] = s.Send(t.Context(), []byte(p)) })
		synctest.Wait()
	}
	wg.Wait()
	return errs
}

func TestWhatWaitsForItsTurnTravelsTogetherInOrder(t *testing.T) {
	var r receiver
	address := listen(t, "127.0.0.1", r.serve)
	var payloads []string
	for i := range 20 {
		payloads = append(payloads, fmt.Sprintf("%d;", i))
	}
	synctest.Test(t, func(t *testing.T) {
		if err := errors.Join(joined(t, newSender(address), payloads...)...); err != nil {
			t.Error(err)
		}
	})
	r.want(t, strings.Join(payloads, ""))
}

func TestADeliveryIsBounded(t *testing.T) {
	var r receiver
	address := listen(t, "127.0.0.1", r.serve)
	synctest.Test(t, func(t *testing.T) {
		s := newSender(address)
		s.most = 3
		if err := errors.Join(joined(t, s, "aa", "bb", "c", "d", "large", "e")...); err != nil {
			t.Error(err)
		}
	})
	r.want(t, "aa", "bbc", "d", "large", "e")
}

func TestAFailedDeliveryFailsForAll(t *testing.T) {
	address := listen(t, "127.0.0.1", func(c *net.TCPConn, _ <-chan struct{}) {
		_, _ = io.Copy(io.Discard, c)
		_ = c.SetLinger(0)
	})
	synctest.Test(t, func(t *testing.T) {
		for i, err := range joined(t, newSender(address), "a", "b", "c") {
			if !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), address) {
				t.Errorf("%d is told %v, want unavailable, and the address", i, err)
			}
		}
	})
}

// TestTheNextAddressGetsAll has one address refuse, and one take all and reset.
func TestTheNextAddressGetsAll(t *testing.T) {
	var r receiver
	refuses, alive := servers.Nobody(t), listen(t, "127.0.0.1", r.serve)
	resets := listen(t, "127.0.0.1", func(c *net.TCPConn, _ <-chan struct{}) {
		_, _ = io.Copy(io.Discard, c)
		_ = c.SetLinger(0)
	})
	synctest.Test(t, func(t *testing.T) {
		if err := errors.Join(joined(t, newSender(refuses, resets, alive), "a", "b")...); err != nil {
			t.Error(err)
		}
	})
	r.want(t, "ab")
}

// TestWhoLeavesHarmsNobody ends one of two that wait for the same turn.
func TestWhoLeavesHarmsNobody(t *testing.T) {
	var r receiver
	address := listen(t, "127.0.0.1", r.serve)
	synctest.Test(t, func(t *testing.T) {
		s := newSender(address)
		s.pace.Reserve()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var left error
		var wg sync.WaitGroup
		wg.Go(func() {
			left = s.Send(ctx, []byte("a"))
			if ctx.Err() != nil || time.Since(start) >= time.Millisecond {
				t.Errorf("told after %v, want that before the deadline", time.Since(start))
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if err := s.Send(t.Context(), []byte("b")); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if !errors.Is(left, sdk.ErrUnavailable) || errors.Is(left, context.DeadlineExceeded) || !strings.Contains(left.Error(), address) {
			t.Errorf("who left is told %v, want unavailable and no other kind, and the address", left)
		}
	})
	r.want(t, "ab")
}

func TestNobodyJoinsADeliveryGivenUp(t *testing.T) {
	var r receiver
	s := newSender(listen(t, "127.0.0.1", r.serve))
	ctx := soon(t, 20*time.Second)
	d := s.join(ctx, &payload{bytes: []byte("a")})
	if s.leave(d) {
		t.Error("somebody waits for what is given up")
	}
	if err := s.Send(ctx, []byte("b")); err != nil {
		t.Error(err)
	}
	<-d.done
	r.want(t, "b")
}

// TestAllAreWaitedFor has the first of two deadlines come while a connection hangs.
func TestAllAreWaitedFor(t *testing.T) {
	hangs, read := make(chan struct{}), make(chan struct{})
	var r receiver
	address := listen(t, "127.0.0.1", func(c *net.TCPConn, done <-chan struct{}) {
		close(hangs)
		<-read
		r.serve(c, done)
	})
	s := newSender(address)
	s.mu.Lock()
	s.reserve(false) // so that both come before their turn
	s.mu.Unlock()
	hurried, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	d := s.join(hurried, &payload{bytes: []byte("a")})
	if s.join(t.Context(), &payload{bytes: []byte("b")}) != d {
		t.Fatal("the second does not join")
	}
	<-hangs
	<-hurried.Done()
	if !s.leave(d) {
		t.Error("who has time does not wait any more")
	}
	close(read)
	if <-d.done; d.err != nil {
		t.Error(d.err)
	}
	r.want(t, "ab")
}

// TestMemoryOfAPayloadOnItsWayIsNotUsed has one of two leave a delivery that is
// under way, and looks for its memory in new payloads.
func TestMemoryOfAPayloadOnItsWayIsNotUsed(t *testing.T) {
	const size = 7 << 20 // more than the kernels of both ends take, less than is kept
	var r receiver
	arrived, read := make(chan struct{}), make(chan struct{})
	address := listen(t, "127.0.0.1", func(c *net.TCPConn, done <-chan struct{}) {
		_ = c.SetReadBuffer(64 << 10)
		close(arrived)
		<-read
		r.serve(c, done)
	})
	large := strings.Repeat("a", size)
	synctest.Test(t, func(t *testing.T) {
		s := newSender(address)
		s.most = 2 * size
		s.pace.Reserve()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var stays error
		var wg sync.WaitGroup
		wg.Go(func() { stays = s.Send(t.Context(), []byte("stays")) })
		synctest.Wait()
		wg.Go(func() {
			time.Sleep(time.Second / maxConnections) // the clock stands still while the test waits for what is outside the bubble
			<-arrived
			cancel()
		})
		if err := s.Send(ctx, []byte(large)); !errors.Is(err, sdk.ErrUnavailable) {
			t.Errorf("who left is told %v, want unavailable", err)
		}
		for range 10 {
			p := s.take()
			p.bytes = append(p.bytes, bytes.Repeat([]byte("z"), size)...)
		}
		close(read)
		wg.Wait()
		if stays != nil {
			t.Error(stays)
		}
	})
	r.want(t, "stays"+large)
}

func TestMemoryIsKeptWithinBounds(t *testing.T) {
	s := newSender("a:1")
	for _, size := range []int{100, maxKept + 1} {
		s.release(&payload{bytes: make([]byte, size)})
		for range 4 {
			if p := s.take(); len(p.bytes) != 0 || cap(p.bytes) > maxKept {
				t.Errorf("a payload of %d bytes, with room for %d", len(p.bytes), cap(p.bytes))
			}
		}
	}
}
