package carbon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"fluxgate/sdk"
)

// A Sender delivers bytes to Carbon, as the package's comment says. It is safe
// for concurrent use.
type Sender struct {
	addresses []string
	timeout   time.Duration
	pace      *rate.Limiter
	last      atomic.Int64 // index of the address that last took a delivery
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
	payloads  sync.Pool // of *payload, for use again

	mu       sync.Mutex
	reserved time.Time // from when on the latest turn is waited for
	most     int       // bytes in a delivery of several payloads
	open     *delivery // the one that takes what comes; nil: none waits for its turn
}

// NewSender returns a sender for valid settings. It connects to nothing yet.
func NewSender(c Config) *Sender {
	return &Sender{
		addresses: c.Address,
		timeout:   c.Timeout,
		pace:      rate.NewLimiter(maxConnections, 1),
		dial:      (&net.Dialer{}).DialContext,
		most:      maxJoined,
	}
}

// Send delivers payload whole over one connection, and returns nil only when the
// far end has acknowledged it. Every other outcome is an error that wraps
// [sdk.ErrUnavailable] and no other kind, and that names each address tried:
// the payload may have arrived or not, and should be sent again. It does not keep
// payload.
//
// The sender makes at most fifty connections a second, and waits a millisecond
// with one for less than some hundred datapoints. What is sent while a connection
// waits travels on it together, in the order in which it came, and has one
// outcome. Send returns a little before ctx's deadline, so that its error is still
// heard; what others wait for is delivered all the same.
func (s *Sender) Send(ctx context.Context, payload []byte) error {
	p := s.take()
	p.bytes = append(p.bytes, payload...)
	return s.send(ctx, p)
}

// Check reports whether Carbon would take a delivery now, by one of no bytes.
func (s *Sender) Check(ctx context.Context) error { return s.Send(ctx, nil) }

// carry delivers payloads to the first address that takes them.
func (s *Sender) carry(ctx context.Context, payloads net.Buffers) error {
	first := s.last.Load()
	var failures []string
	for i := range int64(len(s.addresses)) {
		at := (first + i) % int64(len(s.addresses))
		var err error
		if i > 0 {
			err = s.turn(ctx)
		}
		if err == nil {
			err = s.try(ctx, s.addresses[at], payloads, len(s.addresses)-int(i))
		}
		if err == nil {
			s.last.Store(at)
			return nil
		}
		failures = append(failures, fmt.Sprintf("carbon at %s: %v", s.addresses[at], err))
		if ctx.Err() != nil {
			break
		}
	}
	return sdk.Unavailablef("%s", strings.Join(failures, "; "))
}

// try delivers payloads to one address, in its share of the time left: a dead
// address must not take that of the others that remain.
func (s *Sender) try(ctx context.Context, address string, payloads net.Buffers, remaining int) error {
	share := s.timeout
	if deadline, ok := ctx.Deadline(); ok {
		share = min(share, time.Until(deadline)/time.Duration(remaining))
	}
	ctx, cancel := context.WithTimeout(ctx, share)
	defer cancel()
	conn, err := s.dial(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("connect: %w", cause(err))
	}
	defer conn.Close()
	tcp := conn.(*net.TCPConn)
	// A connection given up is reset, so that nothing of it is read later, after
	// what was sent again.
	_ = tcp.SetLinger(0)
	if err := deliver(ctx, tcp, payloads...); err != nil {
		return err
	}
	_ = tcp.SetLinger(-1)
	return nil
}

// deliver sends payloads and returns when the far end has read them to their end.
func deliver(ctx context.Context, conn *net.TCPConn, payloads ...[]byte) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	buffers := slices.Clone(net.Buffers(payloads)) // WriteTo consumes them
	sent, err := buffers.WriteTo(conn)
	if err == nil {
		err = notClosed(conn)
	}
	if err == nil {
		err = conn.CloseWrite()
	}
	if err != nil {
		return fmt.Errorf("send, after %d bytes: %w", sent, cause(err))
	}
	// Carbon says nothing. Whatever else says something is not understood.
	_, err = io.Copy(io.Discard, conn)
	if err == nil {
		err = arrived(conn)
	}
	if err != nil {
		return fmt.Errorf("no acknowledgement: %w", cause(err))
	}
	return nil
}

// beforeDeadline returns a context that ends a tenth of the remaining time
// before ctx does, and at most a quarter of a second.
func beforeDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	margin := min(time.Until(deadline)/10, 250*time.Millisecond)
	return context.WithDeadline(ctx, deadline.Add(-margin))
}

// cause returns what lies behind an error of the network, without the addresses
// that its text repeats.
func cause(err error) error {
	for op := (*net.OpError)(nil); errors.As(err, &op); {
		err = op.Err
	}
	return err
}
