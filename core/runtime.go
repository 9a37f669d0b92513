package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"

	"fluxgate/core/config"
)

// What the collector lets a heap grow before it works again. Requests come and go,
// and what they leave is cheaper to collect seldom: POSTs of 450 metrics take about
// a quarter less processor time with roomGOGC than with Go's own.
const (
	roomGOGC = 200      // percent, of plugins, and of a core that holds little
	goGOGC   = 100      // Go's own
	room     = 48 << 20 // bytes that are well spent
)

// setRuntime sets this process's share of the machine. Where nothing is said of
// the collector, the heap grows by room, but by at most roomGOGC and at least goGOGC
// percent: a core that holds much, such as a million metrics, is not to double and more.
func setRuntime(r config.Runtime) {
	if r.GOMAXPROCS > 0 {
		runtime.GOMAXPROCS(r.GOMAXPROCS)
	}
	if r.GOGC > 0 {
		debug.SetGCPercent(r.GOGC)
		return
	}
	afterEachCollection(func() { followHeap() })
}

// followHeap has the heap grow as is right for what it holds, in percent, which it
// returns.
func followHeap() int {
	percent := growth(liveHeap())
	debug.SetGCPercent(percent)
	return percent
}

// growth returns by how much a heap that holds so many bytes may grow, in percent.
func growth(live uint64) int {
	return int(min(max(room*100/max(live, 1), goGOGC), roomGOGC))
}

// liveHeap returns the bytes that the last collection has left.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// A sentinel is let go of, so that the collector finds it.
type sentinel struct{ _ *sentinel }

// afterEachCollection calls do now, and after each collection.
func afterEachCollection(do func()) {
	do()
	runtime.SetFinalizer(&sentinel{}, func(*sentinel) { afterEachCollection(do) })
}

// runtimeEnv is what gives a plugin in Go its share.
func runtimeEnv(r config.Runtime) (env []string) {
	if r.GOMAXPROCS > 0 {
		env = append(env, fmt.Sprintf("GOMAXPROCS=%d", r.GOMAXPROCS))
	}
	gogc := r.GOGC
	if gogc == 0 {
		gogc = roomGOGC
	}
	return append(env, fmt.Sprintf("GOGC=%d", gogc))
}
