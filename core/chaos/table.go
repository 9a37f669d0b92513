package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// machine says what the rows ran on, without its name.
func machine() string {
	cpu := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	var u unix.Utsname
	kernel := "unknown"
	if unix.Uname(&u) == nil {
		kernel = unix.ByteSliceToString(u.Release[:])
	}
	return fmt.Sprintf("%d cores (%s), Linux %s", runtime.NumCPU(), cpu, kernel)
}

// tally counts the verdicts.
func tally(results []result) string {
	n := map[string]int{}
	for _, r := range results {
		n[r.verdict()]++
	}
	return fmt.Sprintf("%d kept, %d broken, %d not run", n["kept"], n["BROKEN"], n["not run"])
}

// table is the results as a page.
func table(s settings, results []result) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# What was broken, and what came of it

This page is written by `+"`make chaos`"+`. Each row breaks one thing around a running Fluxgate, under load, and settles the books three
ways: what the senders were answered, what the journal on the disk says, and what the sinks hold. Lost is what was acknowledged and is
in no sink; phantom is what a sink holds and nobody sent; indeterminate is what was sent and never acknowledged.

%s. Scale %v. %s.

| | fault | promised | verdict | runs | acknowledged | lost | phantom | duplicated | reordered | indeterminate | seconds | seed | |
|---|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|
`, tally(results), s.scale, machine())
	promised := make(map[string]string)
	for _, r := range rows() {
		promised[r.name+r.fault] = r.promise
	}
	for _, r := range results {
		numbers := "| | | | |"
		if r.Acknowledged > 0 {
			numbers = fmt.Sprintf("%d | %d | %d | %d | %d | %d", r.Acknowledged, r.Lost, r.Phantom, r.Duplicated, r.Reordered, r.Indeterminate)
		}
		remarks := strings.Join(append(append([]string{}, r.Broken...), r.Notes...), "; ")
		if r.NotRun != "" {
			remarks = r.NotRun
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %d | %s | %.1f | %d | %s |\n",
			r.Row, r.Fault, promised[r.Row+r.Fault], r.verdict(), r.Runs, numbers, r.Took.Seconds(), r.Seed, cell(remarks))
	}
	b.WriteString("\nNot tried here: F11 (Carbon is killed after it acknowledged) and F13 (DNS).\n")
	return b.String()
}

// cell makes text fit into one cell.
func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", os.TempDir(), "$TMPDIR").Replace(text)
}
