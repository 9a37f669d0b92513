package sdk

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

type lockedLines struct {
	mu   sync.Mutex
	text lines
}

func (l *lockedLines) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(text)
}

func (l *lockedLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestFloodOfLogLinesIsDroppedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lockedLines{}
		logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{ReplaceAttr: plain}))
		limit := newThrottle(logger)
		streams := []*relay{newRelay(logger, limit), newRelay(logger, limit), newRelay(logger, limit)}
		flood := func(n int) {
			for i := range n {
				fmt.Fprintf(streams[i%len(streams)], "so\n")
			}
		}
		flood(logBurst + 500)
		check := func(when string, passed int, told ...string) {
			t.Helper()
			synctest.Wait()
			var dropped []string
			for line := range strings.Lines(log.String()) {
				if !strings.HasPrefix(line, "INFO so") {
					dropped = append(dropped, strings.TrimSpace(line))
				}
			}
			if n := strings.Count(log.String(), "INFO so"); n != passed {
				t.Errorf("%s: %d lines passed, want %d", when, n, passed)
			}
			if fmt.Sprint(dropped) != fmt.Sprint(told) {
				t.Errorf("%s: told %q, want %q", when, dropped, told)
			}
		}
		check("at once", logBurst)
		time.Sleep(2 * time.Second)
		flood(250)
		check("two seconds later", logBurst+2*logRate)
		time.Sleep(logPeriod)
		first := "WARN plugin log lines dropped n=550 limit=100"
		check("a period later", logBurst+2*logRate, first)
		time.Sleep(logPeriod)
		flood(10)
		check("after a quiet time", logBurst+2*logRate+10, first)
		flood(logBurst)
		time.Sleep(logPeriod)
		check("after a second flood", 2*logBurst+2*logRate, first, "WARN plugin log lines dropped n=10 limit=100")
	})
}
