package carbon

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestLinger runs in a bubble whose clock stands still while anybody works.
func TestLinger(t *testing.T) {
	for name, tt := range map[string]struct {
		size int
		want time.Duration
	}{
		"little waits for more": {little - 1, linger},
		"much is sent at once":  {little, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				s := newSender("a:1")
				s.dial = func(context.Context, string, string) (net.Conn, error) {
					if got := time.Since(start); got != tt.want {
						t.Errorf("the connection is made after %v, want %v", got, tt.want)
					}
					return nil, errors.New("refused")
				}
				_ = s.Send(t.Context(), make([]byte, tt.size))
			})
		})
	}
}

func TestWhatComesWhileASenderLingersTravelsWithIt(t *testing.T) {
	var r receiver
	address := listen(t, "127.0.0.1", r.serve)
	synctest.Test(t, func(t *testing.T) {
		s := newSender(address)
		var wg sync.WaitGroup
		for _, p := range []string{"a", "b"} {
			wg.Go(func() {
				if err := s.Send(t.Context(), []byte(p)); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(linger / 2)
		}
		wg.Wait()
	})
	r.want(t, "ab")
}

// TestATurnIsNotOvertaken sends little, and then much, which does not linger.
func TestATurnIsNotOvertaken(t *testing.T) {
	var r receiver
	address := listen(t, "127.0.0.1", r.serve)
	large := strings.Repeat("b", little)
	synctest.Test(t, func(t *testing.T) {
		s := newSender(address)
		s.most = little
		var wg sync.WaitGroup
		for _, p := range []string{"a", large} {
			wg.Go(func() {
				if err := s.Send(t.Context(), []byte(p)); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
	})
	r.want(t, "a", large)
}
