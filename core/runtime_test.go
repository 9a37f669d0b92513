package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"

	"fluxgate/core/config"
)

func TestGrowth(t *testing.T) {
	for live, want := range map[uint64]int{0: 200, 4 << 20: 200, 24 << 20: 200, 32 << 20: 150, 48 << 20: 100, 1 << 30: 100} {
		if got := growth(live); got != want {
			t.Errorf("a heap of %d bytes may grow by %d percent, want %d", live, got, want)
		}
	}
}

// percent returns what the collector is set to.
func percent() int {
	p := debug.SetGCPercent(100)
	debug.SetGCPercent(p)
	return p
}

func TestTheCollectorFollowsTheHeap(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	runtime.GC()
	setRuntime(config.Runtime{})
	if got, want := percent(), growth(liveHeap()); got != want || got == goGOGC {
		t.Errorf("%d percent with little in memory, want %d", got, want)
	}
	calls, done := make(chan int), make(chan struct{})
	defer close(done)
	go afterEachCollection(func() {
		select {
		case calls <- followHeap():
		case <-done:
		}
	})
	<-calls
	kept := make([]byte, 256<<20)
	for range 3 { // the first may be of a collection before
		go runtime.GC()
		if <-calls == goGOGC && percent() == goGOGC {
			runtime.KeepAlive(kept)
			return
		}
	}
	t.Errorf("%d percent with %d bytes in memory", percent(), len(kept))
}

func TestPluginsShareTheMachine(t *testing.T) {
	tests := map[string]struct {
		in   config.Runtime
		want string
	}{
		"nothing is said": {config.Runtime{}, "[GOGC=200]"},
		"both are":        {config.Runtime{GOMAXPROCS: 2, GOGC: 50}, "[GOMAXPROCS=2 GOGC=50]"},
	}
	for name, tt := range tests {
		if got := runtimeEnv(tt.in); fmt.Sprint(got) != tt.want {
			t.Errorf("%s: %v, want %s", name, got, tt.want)
		}
	}
}
