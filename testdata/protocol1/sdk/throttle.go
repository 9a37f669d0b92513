package sdk

import (
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// What a process may log, over all its streams together.
const (
	logRate   = 100  // lines a second
	logBurst  = 1000 // lines at once
	logPeriod = 10 * time.Second
)

// A throttle says which lines of a plugin's log pass. Once in each logPeriod in
// which some did not, it logs how many.
type throttle struct {
	log   *slog.Logger
	limit *rate.Limiter

	mu      sync.Mutex
	dropped int // since it was last told
}

func newThrottle(log *slog.Logger) *throttle {
	return &throttle{log: log, limit: rate.NewLimiter(logRate, logBurst)}
}

// admit reports whether a line passes.
func (t *throttle) admit() bool {
	if t.limit.Allow() {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dropped == 0 {
		time.AfterFunc(logPeriod, t.tell)
	}
	t.dropped++
	return false
}

func (t *throttle) tell() {
	t.mu.Lock()
	n := t.dropped
	t.dropped = 0
	t.mu.Unlock()
	t.log.Warn("plugin log lines dropped", "n", n, "limit", logRate)
}
