package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit in which the kernel tells a process's time: a hundredth of a second,
// whatever its own clock does.
const tick = 10 * time.Millisecond

// parseStat returns the time that a process has used, of the text of its stat file.
func parseStat(stat []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(stat, ')') // the name of a program may hold anything
	words := strings.Fields(string(stat[end+1:]))
	if end < 0 || len(words) < 13 {
		return 0, fmt.Errorf("stat of a process: %.80q", stat)
	}
	user, err1 := strconv.ParseInt(words[11], 10, 64)
	system, err2 := strconv.ParseInt(words[12], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

// parseField returns a field of a file such as status or smaps_rollup, in bytes.
func parseField(text, name string) (int64, error) {
	for line := range strings.Lines(text) {
		rest, found := strings.CutPrefix(line, name+":")
		if !found {
			continue
		}
		words := strings.Fields(rest)
		if len(words) != 2 || words[1] != "kB" {
			return 0, fmt.Errorf("%q is no size in kB", strings.TrimSpace(line))
		}
		kB, err := strconv.ParseInt(words[0], 10, 64)
		return kB << 10, err
	}
	return 0, fmt.Errorf("there is no %s in %.80q", name, text)
}

// tree returns a process and all that it has started, and those have, and so on.
func tree(pid int) (pids []int) {
	pids = []int{pid}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is sound
	for _, task := range tasks {
		children, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		for _, word := range strings.Fields(string(children)) {
			if child, err := strconv.Atoi(word); err == nil {
				pids = append(pids, tree(child)...)
			}
		}
	}
	return pids
}

// processorTime returns what processes have used.
func processorTime(pids ...int) (total time.Duration, err error) {
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, fmt.Errorf("a process has ended meanwhile: %w", err)
		}
		used, err := parseStat(stat)
		if err != nil {
			return 0, err
		}
		total += used
	}
	return total, nil
}

// memoryOf returns a field of the files status or smaps_rollup of a process.
func memoryOf(pid int, file, field string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, err
	}
	return parseField(string(text), field)
}

// treeMemory adds up memoryOf over a process and all below it.
func treeMemory(pid int, file, field string) (total int64, err error) {
	for _, pid := range tree(pid) {
		size, err := memoryOf(pid, file, field)
		if err != nil {
			return 0, err
		}
		total += size
	}
	return total, nil
}
