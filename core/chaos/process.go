package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	patience     = 30 * time.Second // how long a server may take to be ready, or to leave
	pollInterval = 5 * time.Millisecond
)

// A process is a server that was started here. The kernel kills it when this
// program dies, however it dies.
type process struct {
	name string
	argv []string
	env  []string
	dir  string // working folder, and that of its log
	core bool   // SIGKILL goes to the process alone, not to its group

	cmd  *exec.Cmd
	gone chan struct{} // closed when cmd has ended
}

// starts are the requests to start processes. One thread answers them all, and
// lives as long as this program: the bond by which the kernel kills a process is
// to the thread that started it.
var starts = sync.OnceValue(func() chan<- func() {
	c := make(chan func())
	go func() {
		runtime.LockOSThread()
		for start := range c {
			start()
		}
	}()
	return c
})

// start starts the process, again if it has ended.
func (p *process) start() error {
	if p.running() {
		return fmt.Errorf("%s is running already", p.name)
	}
	log, err := os.OpenFile(p.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = p.dir, log, log, append(os.Environ(), p.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	starts() <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	gone := make(chan struct{})
	go func() {
		_ = cmd.Wait() // exitCode tells
		close(gone)
	}()
	p.cmd, p.gone = cmd, gone
	return nil
}

func (p *process) log() string { return filepath.Join(p.dir, p.name+".log") }

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) running() bool {
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

func (p *process) signal(s syscall.Signal) error {
	if !p.running() {
		return fmt.Errorf("%s is not running, its last words: %s", p.name, p.lastWords())
	}
	return p.cmd.Process.Signal(s)
}

// kill ends it as a crash would, and what it has started with it unless core is
// set.
func (p *process) kill() {
	if !p.running() {
		return
	}
	target := -p.pid()
	if p.core {
		target = p.pid()
	}
	_ = syscall.Kill(target, syscall.SIGKILL) // it may have ended
	<-p.gone
}

// stop asks it to leave and returns how long that took. One that does not leave
// within patience is killed.
func (p *process) stop() (time.Duration, error) {
	start := time.Now()
	if err := p.signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	select {
	case <-p.gone:
	case <-time.After(patience):
		p.kill()
		return time.Since(start), fmt.Errorf("%s did not leave within %v", p.name, patience)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return time.Since(start), fmt.Errorf("%s left with %v: %s", p.name, p.cmd.ProcessState, p.lastWords())
	}
	return time.Since(start), nil
}

// await returns when look finds nothing to complain about.
func (p *process) await(ctx context.Context, what string, look func() error) error {
	for deadline := time.Now().Add(patience); ; {
		err := look()
		if err == nil {
			return nil
		}
		if !p.running() {
			return fmt.Errorf("%s has ended before it was %s: %s", p.name, what, p.lastWords())
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not %s after %v: %w", p.name, what, patience, err)
		}
		if err := pause(ctx, pollInterval); err != nil {
			return err
		}
	}
}

// lastWords returns the end of its log.
func (p *process) lastWords() string {
	text, err := os.ReadFile(p.log())
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(text[max(0, len(text)-600):]))
}

// pause returns after d, or with an error when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// until looks again and again, and returns how long it took until done, which is
// at most limit.
func until(ctx context.Context, limit time.Duration, what string, done func() bool) (time.Duration, error) {
	start := time.Now()
	for !done() {
		if time.Since(start) > limit {
			return limit, fmt.Errorf("not within %v: %s", limit, what)
		}
		if err := pause(ctx, pollInterval); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// A child is a process as /proc shows it.
type child struct {
	pid   int
	name  string // of its program; at most 15 characters
	state string
	begun string // in ticks since the machine started: no other with this pid has it
}

// look returns the process with that id, and the id of its parent.
func look(pid int) (c child, parent int, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return c, 0, err
	}
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return c, 0, fmt.Errorf("/proc/%d/stat: %.80q", pid, stat)
	}
	words := strings.Fields(string(stat[end+1:]))
	if len(words) < 20 {
		return c, 0, errors.New("/proc stat is too short")
	}
	parent, err = strconv.Atoi(words[1])
	return child{pid, string(stat[open+1 : end]), words[0], words[19]}, parent, err
}

// children returns the processes that pid has started.
func children(pid int) (found []child) {
	all, _ := filepath.Glob("/proc/[0-9]*") // the pattern is sound
	for _, path := range all {
		id, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			continue
		}
		if c, parent, err := look(id); err == nil && parent == pid {
			found = append(found, c)
		}
	}
	return found
}

// alive reports whether c still runs. One that nobody has waited for does not.
func (c child) alive() bool {
	now, _, err := look(c.pid)
	return err == nil && now.begun == c.begun && now.state != "Z" && now.state != "X"
}

// resident returns the memory of a process, in bytes.
func resident(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	words := strings.Fields(string(text))
	if len(words) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(words[1], 10, 64) // the kernel writes numbers
	return pages * int64(os.Getpagesize())
}
