package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// fileSystems are those that a journal is likely to lie on.
var fileSystems = map[int64]string{
	unix.TMPFS_MAGIC: "tmpfs", unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs",
	unix.BTRFS_SUPER_MAGIC: "btrfs", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs", 0x2fc12fc1: "zfs",
}

// fileSystem names the one that a folder lies on.
func fileSystem(folder string) string {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return "unknown"
	}
	kind := int64(s.Type) & 0xffffffff
	if name, known := fileSystems[kind]; known {
		return name
	}
	return fmt.Sprintf("of type %#x", kind)
}

// machine says in words what is measured on, without its name.
func machine(folder string) []string {
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
	memory := "unknown"
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		if size, err := parseField(string(text), "MemTotal"); err == nil {
			memory = fmt.Sprintf("%.1f GiB", float64(size)/(1<<30))
		}
	}
	sync := "unknown"
	if middle, late, err := syncTimes(folder, 300); err == nil {
		sync = fmt.Sprintf("%.0f us (99th percentile %.0f us)", middle.Seconds()*1e6, late.Seconds()*1e6)
	}
	return []string{
		fmt.Sprintf("%d cores of %s, %s of memory, Linux %s", runtime.NumCPU(), cpu, memory, kernel),
		fmt.Sprintf("journal on %s, where fdatasync after 4 KiB takes %s", fileSystem(folder), sync),
		"server, load client and sinks share the machine; all traffic is on loopback",
	}
}

// syncTimes returns the median and the 99th percentile of n writes of 4 KiB with a
// sync.
func syncTimes(folder string, n int) (middle, late time.Duration, err error) {
	f, err := os.CreateTemp(folder, "sync-")
	if err != nil {
		return 0, 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block, took := make([]byte, 4<<10), make([]time.Duration, n)
	for i := range took {
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, 0, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return 0, 0, err
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[n/2], took[n*99/100], nil
}

// versions says what is measured.
func (b *bench) versions(ctx context.Context) []string {
	first := func(program string, args ...string) string {
		out, err := exec.CommandContext(ctx, program, args...).Output()
		if err != nil {
			return program + ": " + err.Error()
		}
		line, _, _ := strings.Cut(string(out), "\n")
		return strings.TrimSpace(line)
	}
	list := []string{first(b.fluxgate(), "version")}
	if commit := first("git", "describe", "--always", "--dirty", "--abbrev=12"); !strings.Contains(commit, ": ") {
		list[0] += ", commit " + commit
	}
	if program, err := findProgram("redis-server"); err == nil {
		words := strings.Fields(first(program, "--version"))
		list = append(list, "Redis "+strings.TrimPrefix(strings.Join(words[min(2, len(words)):min(3, len(words))], ""), "v="))
	}
	if version := first(python, "-c", "import importlib.metadata as m; print(m.version('carbon'))"); !strings.Contains(version, ": ") {
		list = append(list, "carbon-cache "+version)
	}
	return list
}
