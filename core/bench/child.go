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
	"sync"
	"syscall"
	"time"
)

const (
	patience     = 30 * time.Second // how long a server may take to be ready, or to leave
	pollInterval = 10 * time.Millisecond
)

// A child is a server that was started here. The kernel kills it when this program
// dies, however it dies.
type child struct {
	name string
	cmd  *exec.Cmd
	log  string // the file of what it prints
	gone chan struct{}
}

// starts are the requests to start processes. One thread answers them all, and lives as
// long as this program: the bond by which the kernel kills a process is to the thread
// that started it.
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

// start starts a program, whose log lies in the folder dir.
func start(name, dir string, env []string, argv ...string) (*child, error) {
	c := &child{name: name, log: filepath.Join(dir, name+".log"), gone: make(chan struct{})}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.cmd = exec.Command(argv[0], argv[1:]...)
	c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr, c.cmd.Env = dir, log, log, append(os.Environ(), env...)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	starts() <- func() { started <- c.cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = c.cmd.Wait() // its log tells
		close(c.gone)
	}()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// stop asks it to leave, and kills it if it does not.
func (c *child) stop() error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-c.gone:
		return nil
	case <-time.After(patience):
	}
	_ = c.cmd.Process.Kill()
	<-c.gone
	return fmt.Errorf("%s did not leave within %v", c.name, patience)
}

// await returns when look finds nothing to complain about.
func (c *child) await(ctx context.Context, look func() error) error {
	for deadline := time.Now().Add(patience); ; {
		err := look()
		if err == nil {
			return nil
		}
		select {
		case <-c.gone:
			return fmt.Errorf("%s has ended before it was ready: %s", c.name, c.lastWords())
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pollInterval):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready after %v: %w: %s", c.name, patience, err, c.lastWords())
		}
	}
}

// lastWords returns the end of its log.
func (c *child) lastWords() string {
	text, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(text[max(0, len(text)-600):]))
}

// findProgram looks also where a plain user's PATH does not.
func findProgram(name string) (string, error) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/bin") {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 && !info.IsDir() {
			return path, nil
		}
	}
	return "", errors.New(name + " is not installed: make test installs what it needs")
}
