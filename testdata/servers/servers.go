// Package servers runs the real servers that Fluxgate talks to, for tests: on
// loopback, in folders of their own, ended by process id when the test ends. A
// server is ready when its function returns. When a test fails, the server's log
// is shown with it.
//
// Functions and methods that take or keep a [testing.TB] end the test when
// something goes wrong, so they must be called from the test's own goroutine.
package servers

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience is how long anything here may take before the test fails. A server
// needs a second or two of it on a busy machine.
const patience = 30 * time.Second

// pollInterval is the pause between two looks at a server that cannot say by
// itself when it is ready.
const pollInterval = 10 * time.Millisecond

// The interpreter that Debian's Python modules belong to. The python3 on the
// PATH may be another one.
const python = "/usr/bin/python3"

// Need returns the path of each program, in order. It skips the test when one is
// missing, and names it; with CI=true in the environment it fails the test
// instead.
func Need(t testing.TB, programs ...string) []string {
	t.Helper()
	paths := make([]string, len(programs))
	for i, name := range programs {
		path, err := exec.LookPath(name)
		if err != nil {
			missing(t, "the program "+name)
		}
		paths[i] = path
	}
	return paths
}

// NeedPython is like [Need], for modules of Debian's python3.
func NeedPython(t testing.TB, modules ...string) {
	t.Helper()
	Need(t, python)
	for _, name := range modules {
		if exec.Command(python, "-I", "-c", "import "+name).Run() != nil {
			missing(t, "the module "+name+" of "+python)
		}
	}
}

func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing, and CI=true forbids to skip the test", what)
	}
	t.Skipf("%s is missing", what)
}

// Python runs script in Debian's python3, with stdin as its standard input and
// args as sys.argv[1:], and returns what it prints. A script that fails, or
// takes more than thirty seconds, ends the test.
func Python(t testing.TB, script, stdin string, args ...string) string {
	t.Helper()
	NeedPython(t)
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), python, append([]string{"-I", "-c", script}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	overdue := time.AfterFunc(patience+pollInterval, func() { _ = cmd.Process.Kill() })
	defer overdue.Stop()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("python script: %v\n%s", err, stderr.String())
	}
	return stdout.String()
}

// freePort returns a TCP port of loopback that nobody listens on, and that no test
// of any process is given before this one ends. It lies below the range from which
// Linux takes the ports of outgoing connections, so that a server finds it free again
// after a stop.
func freePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 20000 + rand.IntN(12000)
		claim, err := net.Listen("unix", fmt.Sprintf("@fluxgate-port-%d", port))
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			l.Close()
			t.Cleanup(func() { claim.Close() })
			return port
		}
		claim.Close()
	}
	t.Fatal("no free TCP port between 20000 and 32000")
	return 0
}

// Nobody returns an address of loopback where nobody listens until the test ends.
func Nobody(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
}

// folder returns a new folder that is removed when the test ends. Its path is
// short, as that of a unix socket must be, which t.TempDir does not promise.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fluxgate-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
