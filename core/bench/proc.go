package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit in which the kernel tells a process's time: a hundredth of a second,
// whatever its own clock does.
const tick = 10 * time.Millisecond

// A stat is what is read here of the file stat of a process.
type stat struct {
	parent int
	used   time.Duration
}

func parseStat(text []byte) (s stat, err error) {
	end := bytes.LastIndexByte(text, ')') // the name of a program may hold anything
	words := strings.Fields(string(text[end+1:]))
	if end < 0 || len(words) < 13 {
		return s, fmt.Errorf("stat of a process: %.80q", text)
	}
	parent, err1 := strconv.Atoi(words[1])
	user, err2 := strconv.ParseInt(words[11], 10, 64)
	system, err3 := strconv.ParseInt(words[12], 10, 64)
	return stat{parent, time.Duration(user+system) * tick}, errors.Join(err1, err2, err3)
}

func statOf(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	return parseStat(text)
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

// tree returns a process and all that it has started, and those have, and so on. It asks
// every process for its parent: who asks each thread for its children misses those of a
// thread that ends meanwhile.
func tree(pid int) (pids []int, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	children := make(map[int][]int)
	for _, entry := range entries {
		child, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue // it is no process
		}
		s, err := statOf(child)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			return nil, err
		}
		children[s.parent] = append(children[s.parent], child)
	}
	pids = []int{pid}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children[pids[i]]...)
	}
	return pids, nil
}

// processorTime returns what processes have used.
func processorTime(pids ...int) (total time.Duration, err error) {
	for _, pid := range pids {
		s, err := statOf(pid)
		if err != nil {
			return 0, fmt.Errorf("a process has ended meanwhile: %w", err)
		}
		total += s.used
	}
	return total, nil
}

// memory adds up a field of the files status or smaps_rollup of processes.
func memory(file, field string, pids ...int) (total int64, err error) {
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
		if err != nil {
			return 0, fmt.Errorf("a process has ended meanwhile: %w", err)
		}
		size, err := parseField(string(text), field)
		if err != nil {
			return 0, err
		}
		total += size
	}
	return total, nil
}

// resetPeaks has VmHWM of processes begin anew.
func resetPeaks(pids []int) (err error) {
	for _, pid := range pids {
		err = errors.Join(err, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0))
	}
	return err
}
