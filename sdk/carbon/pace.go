package carbon

import (
	"context"
	"errors"
	"time"

	"golang.org/x/time/rate"
)

// maxConnections is how many connections a sender makes in a second, at most. A
// closed one occupies its port for a minute: this many leave nine tenths of
// Linux's 28,000 for others.
const maxConnections = 50

// A delivery that begins with little, less than some hundred datapoints, waits a
// moment for more before it asks for its turn. What several write at the same time
// needs one connection then, where it would need two.
const (
	little = 32 << 10 // bytes
	linger = time.Millisecond
)

// turn waits until another connection may be made.
func (s *Sender) turn(ctx context.Context) error {
	s.mu.Lock()
	turn := s.reserve(false)
	s.mu.Unlock()
	return await(ctx, turn)
}

// reserve reserves the next connection that may be made, and is called with mu
// held. Turns come in the order in which they are reserved: one that lingers is
// not overtaken. The limiter would let too many through if it were asked for
// times that go back.
func (s *Sender) reserve(lingers bool) *rate.Reservation {
	at := time.Now()
	if lingers {
		at = at.Add(linger)
	}
	if at.After(s.reserved) {
		s.reserved = at
	}
	return s.pace.ReserveN(s.reserved, 1)
}

var errNoTurn = errors.New("no connection may be made in time, for there are too many already")

// await waits for a turn.
func await(ctx context.Context, turn *rate.Reservation) error {
	timer := time.NewTimer(turn.Delay())
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		turn.Cancel()
		return errNoTurn
	}
}
