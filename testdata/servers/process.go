package servers

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// maxLogShown is how much of a server's log a failed test shows, in bytes.
const maxLogShown = 16 << 10

// A Process is a server's process. It can be killed and started again, with the
// same address and the same data.
type Process struct {
	t     testing.TB
	name  string
	argv  []string
	log   string       // path of the file with all that the server printed
	ready func() error // says why the server cannot be used yet

	orphaned syscall.Signal // what the kernel sends it when this process dies

	cmd  *exec.Cmd
	gone chan struct{} // closed when cmd has ended
}

// launch starts argv, in dir, and sees to its end.
func launch(t testing.TB, name, dir string, argv []string, ready func() error) *Process {
	t.Helper()
	p := &Process{t: t, name: name, argv: argv, log: filepath.Join(dir, "server.log"), ready: ready, orphaned: syscall.SIGKILL}
	t.Cleanup(p.end)
	p.Start()
	return p
}

// Start starts the server again after [Process.Kill], and returns when it is
// ready.
func (p *Process) Start() {
	p.t.Helper()
	p.begin("ready", p.ready)
}

// Ready returns when the server is ready, if that is in doubt.
func (p *Process) Ready() {
	p.t.Helper()
	p.await("ready", p.ready)
}

// begin starts the server, and returns when it is what look finds.
func (p *Process) begin(what string, look func() error) {
	p.t.Helper()
	if p.running() {
		p.t.Fatalf("%s is running already", p.name)
	}
	if err := p.spawn(); err != nil {
		p.t.Fatalf("start %s: %v", p.name, err)
	}
	p.await(what, func() error {
		if !p.running() {
			return errors.New("it has ended")
		}
		return look()
	})
}

// spawn starts the process, in a process group of its own, in such a way that
// the kernel ends it when this one dies. That bond is to a thread, which is
// therefore kept until the end.
func (p *Process) spawn() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = filepath.Dir(p.log), log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: p.orphaned}
	started, gone := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(gone)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how a server ends is no test's business
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	p.cmd, p.gone = cmd, gone
	return nil
}

// Kill ends the server at once, as a crash would, and returns when it is gone.
func (p *Process) Kill() {
	p.t.Helper()
	if !p.running() {
		return
	}
	p.kill()
}

// Pause stops the server in its tracks: connections still come about, and
// nobody answers.
func (p *Process) Pause() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	p.await("paused", func() error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid()))
		if err != nil {
			return err
		}
		_, state, _ := bytes.Cut(stat, []byte(") "))
		if !bytes.HasPrefix(state, []byte("T")) {
			return fmt.Errorf("its state is %.1q", state)
		}
		return nil
	})
}

// Continue lets a paused server go on.
func (p *Process) Continue() {
	p.t.Helper()
	p.signal(syscall.SIGCONT)
}

// Pid returns the process id of the server.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Log returns what the server has printed so far.
func (p *Process) Log() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (p *Process) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

func (p *Process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("signal %s (process %d): %v", p.name, p.Pid(), err)
	}
}

// await returns when look finds nothing to complain about.
func (p *Process) await(what string, look func() error) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(pollInterval) {
		err := look()
		if err == nil {
			return
		}
		if !p.running() || time.Now().After(deadline) {
			p.t.Fatalf("%s is not %s: %v", p.name, what, err)
		}
	}
}

// kill ends the server and what it has started.
func (p *Process) kill() {
	_ = syscall.Kill(-p.Pid(), syscall.SIGKILL) // it may have ended
	<-p.gone
}

// end kills the server when the test has ended.
func (p *Process) end() {
	if p.running() {
		p.kill()
	}
	if p.t.Failed() {
		text := p.Log()
		p.t.Logf("log of %s:\n%s", p.name, text[max(0, len(text)-maxLogShown):])
	}
}
