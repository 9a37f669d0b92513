//go:build race

package main

// raceFlag makes the programs under test detect races too.
const raceFlag = "-race"
