package peer

import (
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A signal may interrupt the wait for an end behind its time.
func TestEndsIsNotPutOffWithoutEnd(t *testing.T) {
	cmd := exec.Command("sleep", "1h")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }() // it was killed
	defer func() { _ = cmd.Process.Kill() }()
	pidfd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	ends := make(chan bool, 1)
	go func() { ends <- Ends(pidfd, -time.Second) }()
	select {
	case has := <-ends:
		if has {
			t.Error("a process that lives has ended")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no answer behind the time for it")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if !Ends(pidfd, 10*time.Second) {
		t.Error("a process that was killed lives on")
	}
}
