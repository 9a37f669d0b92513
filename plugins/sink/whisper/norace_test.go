//go:build !race

package main

// parityBatches is how many random batches are compared with Graphite's own code.
const parityBatches = 10_000
