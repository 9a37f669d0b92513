package whispertest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	startTimeout = 30 * time.Second // a second is usual, on a busy machine

	// Fluxgate promises to leave within ten seconds.
	stopTimeout = 20 * time.Second

	// maxLogShown is how much of the log a failed test shows, in bytes.
	maxLogShown = 16 << 10
)

// A Gate is a running Fluxgate that belongs to a test. Its methods fail the test
// when something goes wrong. They end it, too, so they must be called from the
// test's own goroutine.
type Gate struct {
	URL   string // such as http://127.0.0.1:41234; metrics are taken below it, as at URL+"/flux/metric_data_post"
	Key   string // the API key that is admitted
	Files string // the folder of the whisper files; made with the first of them

	t        testing.TB
	patience time.Duration
	folder   string // for everything
	cmd      *exec.Cmd
	lifeline *os.File      // the gate ends when it breaks
	ended    chan struct{} // closed when the process has ended, with err set
	err      error
}

// Start starts a Fluxgate with [Defaults].
func Start(t testing.TB) *Gate {
	t.Helper()
	return Defaults().Start(t)
}

// Start starts a Fluxgate, and returns when it takes metrics. It is stopped when
// the test ends. When the test has failed its log is shown.
func (c Config) Start(t testing.TB) *Gate {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatalf("whispertest: %v", err)
	}
	folder, err := os.MkdirTemp("", "whispertest-")
	if err != nil {
		t.Fatalf("whispertest: %v", err)
	}
	g := &Gate{
		t: t, patience: c.Patience, folder: folder, Files: filepath.Join(folder, "whisper"), ended: make(chan struct{}),
	}
	t.Cleanup(g.stop)
	file, err := c.write(folder)
	if err != nil {
		t.Fatalf("whispertest: %v", err)
	}
	if err := g.launch(path, "serve", "--config", file, "--print-key"); err != nil {
		t.Fatalf("whispertest: start %s: %v", path, err)
	}
	return g
}

// keeper is a shell script that becomes the program in its arguments. It leaves
// a process behind that ends the program and removes the folder $0 when file
// descriptor 3 breaks before there is a line in it, which is how the end of a
// test binary shows that could not clean up.
const keeper = `
{
	read -r _ <&3 || {
		kill $$
		for _ in $(seq 300); do
			[ -e /proc/$$/exe ] || break
			sleep 0.05
		done
		kill -9 $$
		rm -rf -- "$0"
	}
} >/dev/null 2>&1 &
exec "$@" 3<&-`

// launch starts the process and waits until it says where it listens.
func (g *Gate) launch(argv ...string) error {
	kept, lifeline, err := os.Pipe()
	if err != nil {
		return err
	}
	defer kept.Close()
	log, err := os.Create(g.logFile())
	if err != nil {
		return errors.Join(err, lifeline.Close())
	}
	defer log.Close()
	cmd := exec.Command("/bin/sh", append([]string{"-c", keeper, g.folder}, argv...)...)
	cmd.Dir, cmd.Env, cmd.Stderr, cmd.ExtraFiles = g.folder, environment(), log, []*os.File{kept}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the terminal's signals are for the test
	out, err := cmd.StdoutPipe()
	if err != nil {
		return errors.Join(err, lifeline.Close())
	}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, lifeline.Close())
	}
	g.cmd, g.lifeline = cmd, lifeline
	welcome := make(chan string, 1)
	go g.watch(out, welcome)
	select {
	case line := <-welcome:
		return g.meet(line)
	case <-g.ended:
		return fmt.Errorf("it left: %w", g.err)
	case <-time.After(startTimeout):
		return fmt.Errorf("it takes no metrics after %v", startTimeout)
	}
}

// watch hands on the first line that the process prints, and waits for its end.
func (g *Gate) watch(out io.Reader, welcome chan<- string) {
	defer close(g.ended)
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err == nil {
		welcome <- line
	}
	_, _ = io.Copy(io.Discard, lines)
	g.err = g.cmd.Wait()
	if g.err == nil {
		g.err = errors.New("exit status 0")
	}
}

// meet reads address and key from the curl line that Fluxgate prints.
func (g *Gate) meet(line string) error {
	parts := strings.Split(line, "'")
	if len(parts) != 3 {
		return fmt.Errorf("it printed %q, which is no curl line", line)
	}
	u, err := url.Parse(parts[1])
	if err != nil {
		return err
	}
	g.URL, g.Key = u.Scheme+"://"+u.Host, u.Query().Get("key")
	return nil
}

// environment returns that of this process, without settings of Fluxgate.
func environment() (kept []string) {
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "FLUXGATE_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// stop ends the gate, and removes its folder.
func (g *Gate) stop() {
	g.t.Helper()
	if g.cmd != nil {
		g.end()
	}
	if g.t.Failed() {
		g.t.Logf("log of fluxgate:\n%s", g.log())
	}
	if g.lifeline != nil {
		_, err := g.lifeline.WriteString("cleaned up\n")
		_ = errors.Join(err, g.lifeline.Close()) // its reader may have been killed
	}
	if err := os.RemoveAll(g.folder); err != nil {
		g.t.Errorf("whispertest: %v", err)
	}
}

// end ends the process.
func (g *Gate) end() {
	g.t.Helper()
	if g.over() {
		if !g.t.Failed() {
			g.t.Errorf("fluxgate left before the test ended: %v", g.err)
		}
		return
	}
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-g.ended:
	case <-time.After(stopTimeout):
		g.t.Errorf("fluxgate does not leave %v after SIGTERM", stopTimeout)
		_ = g.cmd.Process.Kill()
		<-g.ended
	}
}

// over reports whether the process has ended.
func (g *Gate) over() bool {
	select {
	case <-g.ended:
		return true
	default:
		return false
	}
}

func (g *Gate) logFile() string { return filepath.Join(g.folder, "fluxgate.log") }

// log returns the end of what the process has logged.
func (g *Gate) log() string {
	text, err := os.ReadFile(g.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-maxLogShown):])
}
