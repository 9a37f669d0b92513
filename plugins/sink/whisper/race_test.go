//go:build race

package main

// parityBatches is fewer here: the race detector makes this program ten times as
// slow, and finds nothing more in the rest.
const parityBatches = 1000
