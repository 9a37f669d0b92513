package whispertest_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fluxgate/sdk/internal/peer"
	"fluxgate/sdk/whispertest"
)

// roleVariable has the test binary, started again, play a part in a test.
const roleVariable = "WHISPERTEST_ROLE"

// again returns a command that runs one test of this binary in the given role.
func again(t *testing.T, test, role string, environment ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+test+"$", "-test.count=1", "-test.timeout=2m")
	cmd.Env = append(append(os.Environ(), roleVariable+"="+role), environment...)
	return cmd
}

// A test binary that is killed leaves no Fluxgate, no plugin and no folder.
func TestKilledTestBinary(t *testing.T) {
	if os.Getenv(roleVariable) != "" {
		gate := whispertest.Start(t)
		gate.Send(metric, point(time.Now().Unix(), 1))
		fmt.Printf("started %d\n", gate.Pid())
		select {} // until it is killed
	}
	t.Parallel()
	temporary, err := os.MkdirTemp("", "w") // sockets lie in it, whose paths must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(temporary) })
	victim := again(t, "TestKilledTestBinary", "victim", "TMPDIR="+temporary)
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
		_, _ = fmt.Sscanf(lines.Text(), "started %d", &pid)
	}
	left := append(children(t, pid), pid)
	if len(left) != 4 { // the sink, the input, Fluxgate itself, and who removes its folder
		t.Errorf("processes %v of a test that has started one Fluxgate", left)
	}
	pidfds := handles(t, left)
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait() // it was killed
	for i, pidfd := range pidfds {
		if !peer.Ends(pidfd, 10*time.Second) {
			t.Fatalf("process %d of %v lives on", left[i], left)
		}
	}
	if entries, err := os.ReadDir(temporary); err != nil || len(entries) > 0 {
		t.Errorf("in the folder for temporary files it leaves %v, %v", entries, err)
	}
}

// children returns the processes that process pid has started.
func children(t *testing.T, pid int) (all []int) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("children of process %d: %v", pid, err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			t.Fatal(err)
		}
		for field := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, child)
		}
	}
	return all
}

// handles returns a handle of each process, that no other can take the place of.
func handles(t *testing.T, pids []int) (pidfds []int) {
	t.Helper()
	for _, pid := range pids {
		pidfd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatalf("process %d: %v", pid, err)
		}
		t.Cleanup(func() { _ = unix.Close(pidfd) })
		pidfds = append(pidfds, pidfd)
	}
	return pidfds
}

// The kernel ends a Fluxgate with the thread that has started it. The end of the
// thread on which a test calls Start is not that.
func TestStartingThreadEnds(t *testing.T) {
	t.Parallel()
	var gate *whispertest.Gate
	onOwnThread(func() { gate = whispertest.Start(t) })
	gate.Send(metric, point(time.Now().Unix(), 1))
	gate.Send(metric, point(time.Now().Unix()+30, 2))
	if dead := gate.Dead(); dead != "" {
		t.Error(dead)
	}
}

// onOwnThread calls f on a thread that ends with it, which the first thread of a
// process never does.
func onOwnThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if syscall.Gettid() == syscall.Getpid() {
			onOwnThread(f)
			return
		}
		f()
	}()
	<-done
}
