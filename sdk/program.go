package sdk

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin/runner"
)

// A program runs a plugin's process for go-plugin, which sees the first line of
// its standard output alone: what follows is logged.
type program struct {
	cmd    *exec.Cmd
	stderr *relay
	stdout *greeting
	errors io.ReadCloser
	waited chan struct{} // closed when the process has ended and its pipes have been read
}

func newProgram(cmd *exec.Cmd, newRelay func() *relay) *program {
	return &program{cmd: cmd, stderr: newRelay(), stdout: &greeting{rest: newRelay()}, waited: make(chan struct{})}
}

// run is go-plugin's RunnerFunc. Of the environment that it is given it leaves
// out the folder that go-plugin has made for sockets: there is one already.
func (p *program) run(_ hclog.Logger, given *exec.Cmd, folder string) (runner.Runner, error) {
	_ = os.Remove(folder) // a folder that stays is empty
	for _, variable := range given.Env {
		if !strings.HasPrefix(variable, socketDirEnv+"=") {
			p.cmd.Env = append(p.cmd.Env, variable)
		}
	}
	var err error
	if p.stdout.ReadCloser, err = p.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	p.errors, err = p.cmd.StderrPipe()
	return p, err
}

// Start and the following implement [runner.Runner].
func (p *program) Start(context.Context) error     { return p.cmd.Start() }
func (p *program) Diagnose(context.Context) string { return "" }
func (p *program) Stdout() io.ReadCloser           { return p.stdout }
func (p *program) Stderr() io.ReadCloser           { return p.errors }
func (p *program) Name() string                    { return p.cmd.Path }

func (p *program) Wait(context.Context) error {
	defer close(p.waited)
	return p.cmd.Wait()
}

// Kill leaves a process that is on its way out, as it has closed its standard
// output, the time to tell how it ends.
func (p *program) Kill(context.Context) error {
	if p.cmd.Process == nil {
		return nil
	}
	if p.stdout.closed() {
		select {
		case <-p.waited:
		case <-time.After(pipeTimeout):
		}
	}
	_ = p.cmd.Process.Kill() // else it has ended
	return nil
}

func (p *program) ID() string {
	if p.cmd.Process == nil {
		return ""
	}
	return strconv.Itoa(p.cmd.Process.Pid)
}

func (p *program) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

func (p *program) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// obituary tells how the process has ended by itself, and what it said last. It is
// empty as long as it has not.
func (p *program) obituary() string {
	select {
	case <-p.waited:
	default:
		return ""
	}
	how := p.cmd.ProcessState.String() // a signal
	if code := p.cmd.ProcessState.ExitCode(); code >= 0 {
		how = fmt.Sprintf("exit code %d", code)
	}
	if last := p.stderr.lastLine(); last != "" {
		how += fmt.Sprintf(", and it said %q", last)
	}
	return how
}

// A greeting is the standard output of a process: it reads as the first line,
// while what follows goes to rest. go-plugin reads no line of more than 64 KiB.
type greeting struct {
	io.ReadCloser
	rest io.Writer

	mu    sync.Mutex
	line  []byte // the first
	whole bool   // it has ended
	ended bool   // nothing more will come
}

// Read implements [io.Reader].
func (g *greeting) Read(b []byte) (int, error) {
	for {
		n, err := g.ReadCloser.Read(b)
		if err != nil {
			g.mu.Lock()
			g.ended = true
			g.mu.Unlock()
		}
		if n = g.take(b[:n]); n > 0 || err != nil {
			return n, err
		}
	}
}

// take leaves in b what is part of the first line, and returns how much that is.
func (g *greeting) take(b []byte) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.whole {
		_, _ = g.rest.Write(b) // it takes everything
		return 0
	}
	line, rest, ended := bytes.Cut(b, []byte("\n"))
	g.line, g.whole = append(g.line, line...), ended
	_, _ = g.rest.Write(rest)
	return len(b) - len(rest)
}

func (g *greeting) closed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ended
}

// text returns the first line as far as it has come, cut for people to read.
func (g *greeting) text() string {
	const legible = 100 // bytes
	g.mu.Lock()
	defer g.mu.Unlock()
	return cut(strings.TrimSpace(string(g.line)), legible)
}
