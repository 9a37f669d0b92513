package sdk

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// noProcess is a number that no process has.
const noProcess = 1<<22 + 1

// A host comes to a socket of the plugin's own alone, and removes nobody else's.
func TestDataSocketsThatAHostComesTo(t *testing.T) {
	own := fmt.Sprint("data", os.Getpid())
	for name, tt := range map[string]struct {
		socket  string // in the folder for sockets
		started int    // process
		silent  bool   // nobody listens there
		says    string // empty: it comes
		stays   bool   // the socket does
	}{
		"its own":                 {own, os.Getpid(), false, "", false},
		"of its group":            {own, group(t), false, "", false},
		"another's data socket":   {own, noProcess, false, "the id of a process of the plugin", true},
		"one for gRPC":            {fmt.Sprint("plugin", os.Getpid()), os.Getpid(), false, "its name is not data", true},
		"no name":                 {"data", os.Getpid(), false, "the id of a process of the plugin", true},
		"almost its name":         {fmt.Sprint("data0", os.Getpid()), os.Getpid(), false, "the id of a process of the plugin", true},
		"in another folder":       {"../" + own, os.Getpid(), false, "not in the folder for sockets", true},
		"its own, without anyone": {own, os.Getpid(), true, "connection refused", false},
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "s")
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(folder, tt.socket)
			listen(t, path, tt.silent)
			l, err := dialLink(t.Context(), Spec{SocketDir: folder}, tt.started, path)
			if err == nil {
				l.close(errEnded)
			}
			if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want %q", err, tt.says)
			}
			if _, err := os.Lstat(path); (err == nil) != tt.stays {
				t.Errorf("it is there: %v, want %v", err == nil, tt.stays)
			}
		})
	}
}

// A socket in its own folder is asked who listens there, too.
func TestADataSocketOfAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	listen(t, path, false)
	for _, s := range []Spec{{}, {Attach: "2:x"}} {
		if _, err := dialLink(t.Context(), s, noProcess, path); err == nil || !strings.Contains(err.Error(), "not the plugin's") {
			t.Errorf("error %v", err)
		}
	}
}

// group returns the number of this process's group, which is another process's where
// a tool runs the tests.
func group(t *testing.T) int {
	t.Helper()
	id, err := syscall.Getpgid(0)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func listen(t *testing.T, path string, silent bool) {
	t.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if listener.SetUnlinkOnClose(false); silent {
		_ = listener.Close()
	}
	t.Cleanup(func() { _ = listener.Close() })
}
