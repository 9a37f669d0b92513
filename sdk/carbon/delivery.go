package carbon

import (
	"context"
	"net"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"fluxgate/sdk"
)

// maxJoined is how many bytes several payloads have that travel together, at most:
// enough to saturate Carbon.
const maxJoined = 4 << 20

// maxKept is the most bytes of memory that a payload leaves for the next.
const maxKept = 8 << 20

// A payload is bytes to deliver. Its memory is used again.
type payload struct{ bytes []byte }

// take returns an empty payload.
func (s *Sender) take() *payload {
	if p, ok := s.payloads.Get().(*payload); ok {
		return p
	}
	return new(payload)
}

// release takes back the memory of p, to which nobody refers any more.
func (s *Sender) release(p *payload) {
	if cap(p.bytes) <= maxKept {
		p.bytes = p.bytes[:0]
		s.payloads.Put(p)
	}
}

// A delivery is payloads that travel over one connection, in the order in which
// they came. It goes on as long as somebody waits for its outcome.
type delivery struct {
	payloads []*payload
	size     int // bytes of them
	waiting  int // senders
	giveUp   context.CancelFunc
	deadline time.Time // the latest of those waiting
	endless  bool      // one of them has none
	done     chan struct{}
	err      error // the outcome, once done is closed
}

// send delivers p, and releases it when that has come to an end. See [Sender.Send].
func (s *Sender) send(ctx context.Context, p *payload) error {
	ctx, cancel := beforeDeadline(ctx)
	defer cancel()
	d := s.join(ctx, p)
	select {
	case <-d.done:
		return d.err
	case <-ctx.Done():
	}
	if s.leave(d) {
		return sdk.Unavailablef("carbon at %s: no acknowledgement in time of what others wait for as well: %v",
			strings.Join(s.addresses, " or "), ctx.Err())
	}
	<-d.done
	return d.err
}

// join puts p behind what waits for its turn.
func (s *Sender) join(ctx context.Context, p *payload) *delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.open
	if d == nil || d.size > 0 && d.size+len(p.bytes) > s.most {
		d = &delivery{done: make(chan struct{})}
		running, giveUp := context.WithCancel(context.Background())
		d.giveUp = giveUp
		s.open = d
		go s.run(running, d, s.reserve(len(p.bytes) < little))
	}
	d.payloads = append(d.payloads, p)
	d.size += len(p.bytes)
	d.waiting++
	deadline, ok := ctx.Deadline()
	d.endless = d.endless || !ok
	if deadline.After(d.deadline) {
		d.deadline = deadline
	}
	return d
}

// leave says that one of those who wait for d waits no longer, and reports
// whether others do. If none does d is given up, and soon done.
func (s *Sender) leave(d *delivery) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.waiting--; d.waiting > 0 {
		return true
	}
	d.giveUp()
	s.shut(d)
	return false
}

// shut is called with mu held: d takes nothing more.
func (s *Sender) shut(d *delivery) {
	if s.open == d {
		s.open = nil
	}
}

// run delivers what has come to d when its turn comes.
func (s *Sender) run(ctx context.Context, d *delivery, turn *rate.Reservation) {
	defer close(d.done)
	defer d.giveUp()
	if d.err = await(ctx, turn); d.err != nil {
		d.err = sdk.Unavailablef("carbon at %s: %w", strings.Join(s.addresses, " or "), d.err)
	}
	s.mu.Lock()
	s.shut(d)
	s.mu.Unlock()
	if !d.endless {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, d.deadline)
		defer cancel()
	}
	if d.err == nil {
		buffers := make(net.Buffers, len(d.payloads))
		for i, p := range d.payloads {
			buffers[i] = p.bytes
		}
		d.err = s.carry(ctx, buffers)
	}
	for _, p := range d.payloads {
		s.release(p)
	}
}
