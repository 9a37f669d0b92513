// Package carbontest tests a sink for Carbon as the program that ships, against
// a real carbon-cache and against far ends that Carbon cannot be made to play.
package carbontest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/plugintest"
	"fluxgate/testdata/servers"
)

// short is the deadline where a test waits for it, and long where it does not. A
// tenth of it must do for a plugin to answer under the race detector.
const (
	short = 3 * time.Second
	long  = 20 * time.Second
)

// Sink tests the sink plugin that this test binary becomes (see
// plugintest.Main). The receiver tells which address of Carbon it speaks to.
func Sink(t *testing.T, receiver func(*servers.CarbonServer) string) {
	t.Run("the contract of a sink", func(t *testing.T) {
		c := servers.Carbon(t, "60s:1d")
		plugintest.Sink(t, map[string]any{"address": receiver(c)}, func() sdk.Batch { return servers.Stored(t, c.Whisper) })
	})
	t.Run("with Carbon", func(t *testing.T) {
		c := servers.Carbon(t)
		s := &suite{c, receiver(c)}
		t.Run("what is taken is in the whisper files", s.taken)
		t.Run("writes at the same time", s.concurrent)
		t.Run("refuses what Carbon cannot keep", s.refuses)
		t.Run("tries the next address", s.nextAddress)
		t.Run("Carbon stops answering", s.paused)
		t.Run("Carbon goes away and comes back", s.gone)
	})
	t.Run("never reads", func(t *testing.T) {
		unavailable(t, func(_ *net.TCPConn, done <-chan struct{}) { <-done })
	})
	t.Run("reads half and resets", func(t *testing.T) {
		unavailable(t, func(c *net.TCPConn, _ <-chan struct{}) {
			_, _ = io.CopyN(io.Discard, c, 100<<10)
			_ = c.SetLinger(0)
		})
	})
	t.Run("closes at once", func(t *testing.T) {
		unavailable(t, func(*net.TCPConn, <-chan struct{}) {})
	})
	t.Run("refuses settings", refusesSettings)
}

type suite struct {
	carbon  *servers.CarbonServer
	address string
}

// start starts the plugin and sees to its end.
func start(t *testing.T, settings map[string]any) *sdk.Process[sdk.Sink] {
	t.Helper()
	p, err := sdk.StartSink(t.Context(), sdk.Spec{Name: "carbon", Path: os.Args[0], Config: settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return p
}

// batch returns n datapoints of the last n seconds, of a few metrics that bear
// name, each with a value of its own.
func batch(name string, n int) sdk.Batch {
	now := time.Now().Unix()
	b := make(sdk.Batch, n)
	for i := range b {
		b[i] = sdk.Datapoint{Metric: fmt.Sprintf("test.%s.m%d", name, i%7), Timestamp: now - int64(n-i), Value: float64(i) + 0.1}
	}
	return b
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func (s *suite) taken(t *testing.T) {
	p := start(t, map[string]any{"address": s.address})
	if err := p.Check(within(t, long)); err != nil {
		t.Errorf("check: %v", err)
	}
	b := batch("taken", 5000) // as much as a host sends
	b[0].Value, b[1].Value, b[2].Value = 1e300, 5e-324, -0.25
	if err := p.Plugin.Write(within(t, long), b); err != nil {
		t.Fatal(err)
	}
	s.carbon.Await(t, b)
}

func (s *suite) concurrent(t *testing.T) {
	p := start(t, map[string]any{"address": s.address})
	var (
		wg   sync.WaitGroup
		all  sdk.Batch
		errs = make([]error, 20)
	)
	ctx := within(t, long)
	for i := range errs {
		b := batch(fmt.Sprintf("concurrent%d", i), 50)
		all = append(all, b...)
		wg.Go(func() { errs[i] = p.Plugin.Write(ctx, b) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	s.carbon.Await(t, all)
}

func (s *suite) refuses(t *testing.T) {
	p := start(t, map[string]any{"address": s.address})
	b := batch("refused", 1000)
	b[999].Metric = "test.evil 1 2\ntest.second"
	err := p.Plugin.Write(within(t, long), b)
	if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), `"test.evil 1 2\ntest.second"`) {
		t.Errorf("error %v, want an invalid one that names the metric", err)
	}
	after := batch("after", 10)
	if err := p.Plugin.Write(within(t, long), after); err != nil {
		t.Fatal(err)
	}
	s.carbon.Await(t, after)
	for _, d := range b[:7] {
		if points := s.carbon.Points(t, d.Metric, d.Timestamp, d.Timestamp+1000); len(points) > 0 {
			t.Errorf("of a refused batch Carbon has %s %v", d.Metric, points)
		}
	}
}

func (s *suite) nextAddress(t *testing.T) {
	p := start(t, map[string]any{"address": []any{servers.Nobody(t), s.address}})
	b := batch("next", 100)
	if err := p.Plugin.Write(within(t, long), b); err != nil {
		t.Fatal(err)
	}
	s.carbon.Await(t, b)
}

func (s *suite) paused(t *testing.T) {
	p := start(t, map[string]any{"address": s.address})
	s.carbon.Pause()
	b := batch("paused", 10) // few enough for the kernel to take them all
	ctx := within(t, short)
	if err := p.Plugin.Write(ctx, b); !isUnavailable(err, s.address) || ctx.Err() != nil {
		t.Errorf("error %v, context %v, want unavailable before the deadline", err, ctx.Err())
	}
	if err := p.Check(within(t, short)); !isUnavailable(err, s.address) {
		t.Errorf("check: error %v, want unavailable", err)
	}
	if err := p.Plugin.Write(within(t, long), nil); err != nil {
		t.Errorf("an empty batch needs no Carbon, but: %v", err)
	}
	s.carbon.Continue()
	if err := p.Plugin.Write(within(t, long), b); err != nil {
		t.Fatal(err)
	}
	s.carbon.Await(t, b)
}

func (s *suite) gone(t *testing.T) {
	p := start(t, map[string]any{"address": []any{s.address, servers.Nobody(t)}})
	s.carbon.Kill()
	b := batch("gone", 10)
	if err := p.Plugin.Write(within(t, long), b); !isUnavailable(err, s.address) {
		t.Errorf("error %v, want unavailable", err)
	}
	s.carbon.Start()
	if err := p.Plugin.Write(within(t, long), b); err != nil {
		t.Fatal(err)
	}
	s.carbon.Await(t, b)
}

func isUnavailable(err error, address string) bool {
	return errors.Is(err, sdk.ErrUnavailable) && strings.Contains(err.Error(), address)
}

// unavailable writes a large batch to a far end that treats its connections as
// serve does, and wants no success of it.
func unavailable(t *testing.T, serve func(c *net.TCPConn, done <-chan struct{})) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			wg.Go(func() {
				serve(c.(*net.TCPConn), done)
				c.Close()
			})
		}
	})
	t.Cleanup(func() {
		close(done)
		l.Close()
		wg.Wait()
	})
	address := l.Addr().String()
	p := start(t, map[string]any{"address": address})
	b := batch(strings.Repeat("x", 1000), 5000)
	ctx := within(t, short)
	if err := p.Plugin.Write(ctx, b); !isUnavailable(err, address) || ctx.Err() != nil {
		t.Errorf("error %v, context %v, want unavailable before the deadline", err, ctx.Err())
	}
}

func refusesSettings(t *testing.T) {
	for _, tt := range []struct {
		settings map[string]any
		err      string
	}{
		{map[string]any{"adress": "127.0.0.1:2003"}, `unknown setting "adress": did you mean "address"?`},
		{map[string]any{"address": "127.0.0.1"}, `address "127.0.0.1"`},
		{map[string]any{"timeout": "-1s"}, "timeout -1s"},
	} {
		p, err := sdk.StartSink(t.Context(), sdk.Spec{Name: "carbon", Path: os.Args[0], Config: tt.settings})
		if err == nil {
			_ = p.Stop(context.Background())
		}
		if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("settings %v: error %v, want an invalid one with %q in it", tt.settings, err, tt.err)
		}
	}
}
