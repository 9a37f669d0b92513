package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
)

// hangup is what a terminal that is closed sends, often twice.
func (r *rehearsal) hangup(t *testing.T) {
	t.Helper()
	for range 2 {
		if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
	}
}

func TestAClosedTerminalLeavesNothingBehind(t *testing.T) {
	r := rehearse(t, t.TempDir(), os.Args[0])
	r.shows(t, `^taken:`)
	r.hangup(t)
	r.leaves(t, 0)

	mute := filepath.Join(t.TempDir(), "mute")
	if err := os.WriteFile(mute, []byte("#!/bin/sh\nexec sleep 600\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"plugin", "test", mute, "--kind", "sink"}, {"check", "--config", yamlFile(t, "sinks: {mute: {plugin: "+mute+"}}\n")}} {
		r := perform(t, t.TempDir(), append([]string{fluxgateBinary(t)}, args...)...)
		await(t, "the plugin is being started", func() bool {
			sockets, err := filepath.Glob(filepath.Join(r.temporary, "*"))
			return err == nil && len(sockets) > 0
		})
		r.hangup(t)
		r.leaves(t, exitFailed)
	}
}

func TestNohupOutlivesTheTerminal(t *testing.T) {
	r := perform(t, t.TempDir(), "/bin/sh", "-c", `trap "" HUP; exec "$@"`, "sh", fluxgateBinary(t), "plugin", "dev", os.Args[0])
	r.shows(t, `^taken:`)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if ignored := regexp.MustCompile(`SigIgn:\t[0-9a-f]+[13579bdf]\n`); err != nil || !ignored.Match(status) {
		t.Errorf("SIGHUP is not ignored any more, %v:\n%s", err, status)
	}
	r.interrupt(t)
}
