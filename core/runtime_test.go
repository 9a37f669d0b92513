package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"

	"fluxgate/core/config"
)

func TestGrowth(t *testing.T) {
	for live, want := range map[uint64]int{0: 400, 4 << 20: 400, 12 << 20: 400, 24 << 20: 200, 32 << 20: 150, 48 << 20: 100, 1 << 30: 100} {
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

// followed has a call of do answer each collection from now on, until the test ends.
func followed(t *testing.T, do func() int) <-chan int {
	calls := make(chan int, 100)
	t.Cleanup(afterEachCollection(func() {
		select {
		case calls <- do():
		default: // nobody asks any more
		}
	}))
	<-calls
	return calls
}

func TestTheCollectorFollowsTheHeap(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	t.Setenv(gogcVariable, "")
	runtime.GC()
	stop := setRuntime(config.Runtime{})
	if got, want := percent(), growth(liveHeap()); got != want || got == goGOGC {
		t.Errorf("%d percent with little in memory, want %d", got, want)
	}
	stop()
	t.Run("much in memory", func(t *testing.T) {
		calls := followed(t, func() int {
			followHeap()
			return percent()
		})
		kept := make([]byte, 256<<20)
		for range 3 { // the first may be of a collection before
			runtime.GC()
			if <-calls == goGOGC {
				runtime.KeepAlive(kept)
				return
			}
		}
		t.Errorf("%d percent with %d bytes in memory", percent(), len(kept))
	})
}

func TestTheCollectorIsLetGo(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	t.Setenv(gogcVariable, "")
	setRuntime(config.Runtime{})()
	debug.SetGCPercent(77)
	calls := followed(t, func() int { return 0 })
	for range 3 {
		runtime.GC()
		<-calls
	}
	if got := percent(); got != 77 {
		t.Errorf("%d percent, want the 77 that were set after the end", got)
	}
}

// What an operator says in the environment holds where the configuration says nothing.
func TestTheEnvironmentSetsTheCollector(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(55))
	t.Setenv(gogcVariable, "55")
	setRuntime(config.Runtime{})()
	if got := percent(); got != 55 {
		t.Errorf("%d percent, want 55", got)
	}
	if got := fmt.Sprint(runtimeEnv(config.Runtime{})); got != "[GOGC=55]" {
		t.Errorf("plugins get %s", got)
	}
	if got := fmt.Sprint(runtimeEnv(config.Runtime{GOGC: 60})); got != "[GOGC=60]" {
		t.Errorf("plugins get %s", got)
	}
	setRuntime(config.Runtime{GOGC: 60})()
	if got := percent(); got != 60 {
		t.Errorf("%d percent, want 60", got)
	}
}

func TestPluginsShareTheMachine(t *testing.T) {
	t.Setenv(gogcVariable, "")
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
