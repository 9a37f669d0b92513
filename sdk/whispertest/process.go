package whispertest

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	startTime   = 30 * time.Second // for a program to take requests
	stopTime    = 20 * time.Second // to end after SIGTERM
	maxLogShown = 16 << 10         // of a failed test, in bytes
)

// A process is a running Fluxgate.
type process struct {
	cmd  *exec.Cmd
	log  string        // path of all that it logs
	line chan string   // the first line that it prints
	gone chan struct{} // closed when it has ended, with err set
	err  error
}

// start starts the program with the configuration in folder. The kernel kills it
// when this process dies. That bond is to a thread, which is therefore kept until
// the end.
func (p program) start(folder string) (*process, error) {
	release, err := p.hold()
	if err != nil {
		return nil, err
	}
	defer release()
	log, err := os.Create(filepath.Join(folder, "fluxgate.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	r := &process{log: log.Name(), line: make(chan string, 1), gone: make(chan struct{})}
	r.cmd = exec.Command(p.path, "serve", "--print-key", "--config", configFile(folder))
	r.cmd.Dir, r.cmd.Env = folder, environment()
	r.cmd.Stdout, r.cmd.Stderr = &firstLine{to: r.line}, log
	r.cmd.WaitDelay = time.Second // a plugin may hold standard output open
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(r.gone)
		if r.err = r.cmd.Start(); r.err != nil {
			started <- r.err
			return
		}
		started <- nil
		r.err = r.cmd.Wait()
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	r.awaitLine()
	return r, nil
}

// environment returns that of this process without settings of Fluxgate, which
// are meant for another one.
func environment() (all []string) {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "FLUXGATE_") {
			all = append(all, v)
		}
	}
	return all
}

// awaitLine returns when the program has printed a line, which it does when all
// of it runs, has ended, or has had its time.
func (r *process) awaitLine() {
	select {
	case line := <-r.line:
		r.line <- line
	case <-r.gone:
	case <-time.After(startTime):
	}
}

// address returns where requests are taken, and the key that is admitted, from
// the line that begins with curl.
func (r *process) address() (base, key string, err error) {
	select {
	case line := <-r.line:
		_, rest, _ := strings.Cut(line, "'")
		u, err := url.Parse(strings.TrimSuffix(rest, "'"))
		if err != nil || u.Host == "" || u.Query().Get("key") == "" {
			return "", "", fmt.Errorf("it printed %q instead of a curl line with an address and a key", line)
		}
		return u.Scheme + "://" + u.Host, u.Query().Get("key"), nil
	case <-r.gone:
		return "", "", fmt.Errorf("it has ended: %w", r.outcome())
	default:
		return "", "", fmt.Errorf("it takes no requests after %v", startTime)
	}
}

// outcome returns how the process has ended, never nil.
func (r *process) outcome() error {
	if r.err == nil {
		return errors.New("exit status 0")
	}
	return r.err
}

// obituary tells, behind another text, that the process has ended; "" while it
// runs.
func (r *process) obituary() string {
	select {
	case <-r.gone:
		return fmt.Sprintf("\nfluxgate has ended: %v", r.outcome())
	default:
		return ""
	}
}

// end stops the process at the end of its test, and shows the log if that has
// failed.
func (r *process) end(t testing.TB) {
	t.Helper()
	if dead := r.obituary(); dead != "" {
		t.Errorf("before the end of the test: %s", strings.TrimSpace(dead))
	} else if err := r.stop(); err != nil {
		t.Errorf("stop fluxgate: %v", err)
	}
	if t.Failed() {
		t.Logf("log of fluxgate:\n%s", r.tail())
	}
}

func (r *process) stop() error {
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-r.gone:
		return r.err
	case <-time.After(stopTime):
		_ = r.cmd.Process.Kill() // it may have ended just now
		<-r.gone
		return fmt.Errorf("it was killed because it had not ended %v after SIGTERM", stopTime)
	}
}

// tail returns the end of the log.
func (r *process) tail() string {
	text, err := os.ReadFile(r.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-maxLogShown):])
}

// A firstLine hands on the first line that is written to it, and drops the rest.
type firstLine struct {
	text strings.Builder
	to   chan<- string // with room for it; nil when it was handed on
}

func (f *firstLine) Write(b []byte) (int, error) {
	if f.to == nil {
		return io.Discard.Write(b)
	}
	f.text.Write(b)
	if line, _, whole := strings.Cut(f.text.String(), "\n"); whole {
		f.to <- line
		f.to = nil
	}
	return len(b), nil
}
