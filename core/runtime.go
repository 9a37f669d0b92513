package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"fluxgate/core/config"
)

// setRuntime sets this process's share of the machine.
func setRuntime(r config.Runtime) {
	if r.GOMAXPROCS > 0 {
		runtime.GOMAXPROCS(r.GOMAXPROCS)
	}
	if r.GOGC > 0 {
		debug.SetGCPercent(r.GOGC)
	}
}

// runtimeEnv is what gives a plugin in Go the same share.
func runtimeEnv(r config.Runtime) (env []string) {
	if r.GOMAXPROCS > 0 {
		env = append(env, fmt.Sprintf("GOMAXPROCS=%d", r.GOMAXPROCS))
	}
	if r.GOGC > 0 {
		env = append(env, fmt.Sprintf("GOGC=%d", r.GOGC))
	}
	return env
}
