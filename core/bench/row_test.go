package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"fluxgate/core/load"
)

// build builds fluxgate and its plugins.
func build(t *testing.T) (bin string) {
	t.Helper()
	bin = t.TempDir()
	if out, err := exec.Command("make", "-s", "-C", "../..", "build", "BIN="+bin).CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	return bin
}

func TestARowIsMeasured(t *testing.T) {
	bin := build(t)
	file := filepath.Join(t.TempDir(), "page.md")
	code, err := run(t.Context(), []string{"-quick", "-bin", bin, "-page", file, "-rows", "get"})
	text, _ := os.ReadFile(file)
	page := string(text)
	if err != nil || code != 0 && !strings.Contains(page, "**not measured**: durable, Redis") {
		t.Fatalf("exits %d: %v\n%s", code, err, page)
	}
	for _, want := range []string{"\n| floor | ", "\n| durable | ", "\n| durable, journal in memory | ", "\n| GET, 128 connections, durable: requests/s, of the floor's | ", "fdatasync after 4 KiB takes "} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if strings.Contains(page, "NaN") {
		t.Errorf("what is no number is on the page:\n%s", page)
	}
	b, err := newBench(options{bin: bin, data: t.TempDir(), quick: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("in one process", func(t *testing.T) { testDirect(t, b) })
	t.Run("a plugin that ends meanwhile", func(t *testing.T) { testRestart(t, b) })
	t.Run("datapoints that are not fresh", func(t *testing.T) { testStale(t, b) })
	t.Run("settings that nobody knows", func(t *testing.T) {
		var s section
		b.compare(t.Context(), &s, contest{flags: []string{"--requests", "10"}, roads: []road{{name: "odd", settings: "nothing: {such: true}"}}})
		if len(s.samples) > 0 || len(s.failed) != 1 || !strings.Contains(s.failed[0], "refuses the settings") {
			t.Errorf("%+v", s)
		}
	})
}

// testDirect sees that the direct build takes datapoints without its plugins.
func testDirect(t *testing.T, b *bench) {
	var s section
	b.compare(t.Context(), &s, contest{flags: []string{"--metrics-per-request", "450", "--connections", "4", "--requests", "2000"}, roads: []road{oneProcess}})
	if len(s.failed) > 0 || len(s.samples[oneProcess.name]) != b.rounds() {
		t.Errorf("%+v", s)
	}
}

// testRestart sees that a load is not told of whose server has lost a plugin.
func testRestart(t *testing.T, b *bench) {
	s, err := b.open(t.Context(), durable)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	send := func() (load.Result, error) { return b.send(t.Context(), s, []string{"--requests", "500"}) }
	if one, err := s.sample(t.Context(), send); err != nil || one.Datapoints != 500 || one.ever {
		t.Fatalf("%+v, %v", one, err)
	}
	_, err = s.sample(t.Context(), func() (load.Result, error) {
		pids, err := s.processes()
		if err != nil {
			return load.Result{}, err
		}
		r, err := send()
		if err != nil || len(pids) != 3 {
			return r, fmt.Errorf("processes %v: %w", pids, err)
		}
		plugin := pids[2]
		if err := syscall.Kill(plugin, syscall.SIGKILL); err != nil {
			return r, err
		}
		return r, s.await(t.Context(), func() error {
			now, err := s.processes()
			if err == nil && slices.Contains(now, plugin) {
				err = errors.New("it is still there")
			}
			return err
		})
	})
	if err == nil || !strings.Contains(err.Error(), "ended meanwhile") && !strings.Contains(err.Error(), "started again") {
		t.Errorf("a sample in which a plugin was started again: %v", err)
	}
	testOtherProcesses(t, s)
}

func testOtherProcesses(t *testing.T, s *server) {
	before, err := s.processes()
	if err != nil {
		t.Fatal(err)
	}
	before[1] = 1
	if err := s.still(before); err == nil || !strings.Contains(err.Error(), "started again") {
		t.Errorf("other processes pass: %v", err)
	}
	s.road.settings += "sinks: {lines: {plugin: fluxgate-sink-nowhere}}"
	if _, err := s.processes(); err == nil || !strings.Contains(err.Error(), "the plugin fluxgate-sink-nowhere does not run") {
		t.Errorf("a plugin that is missing passes: %v", err)
	}
}

// testStale sees that a load is not told of that brings what the server has, and that
// one of known metrics is fresh.
func testStale(t *testing.T, b *bench) {
	s, err := b.open(t.Context(), durable)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	flags := []string{"--connections", "128", "--requests", "20000", "--names", strconv.Itoa(known)}
	one, err := b.sample(t.Context(), s, contest{flags: flags, known: true})
	if err != nil || one.Datapoints != 20_000 {
		t.Fatalf("%+v, %v", one, err)
	}
	few := func() (load.Result, error) { // each metric gets more timestamps than seconds pass
		return b.send(t.Context(), s, []string{"--connections", "4", "--names", "4", "--requests", "2000", "--prefix", "bench.few"})
	}
	if _, err := s.sample(t.Context(), few); err != nil {
		t.Fatal(err)
	}
	if _, err := s.sample(t.Context(), few); err == nil || !strings.Contains(err.Error(), "datapoints are fresh, 2000 were sent") {
		t.Errorf("what is not fresh is told of: %v", err)
	}
}

func TestRestAwaitsDelivery(t *testing.T) {
	var asked atomic.Int64
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "fluxgate_waiting_datapoints{sink=\"carbon\"} %d\n", max(0, 3-asked.Add(1)))
	}))
	t.Cleanup(admin.Close)
	c, err := start("sleeper", t.TempDir(), nil, "sleep", "600")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{child: c, admin: strings.TrimPrefix(admin.URL, "http://")}
	if _, _, err := s.rest(t.Context(), []int{s.pid()}); err != nil || asked.Load() != 3 {
		t.Errorf("asked %d times: %v", asked.Load(), err)
	}
	if err := c.stop(); err != nil {
		t.Error(err)
	}
	if _, _, err := s.rest(t.Context(), []int{s.pid()}); err == nil {
		t.Error("a server that has ended is at rest")
	}
}

func TestConnectionsToCarbon(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	s := &server{carbon: &child{}, carbonPort: listener.Addr().(*net.TCPAddr).Port}
	if sends, err := s.sends(); sends || err != nil {
		t.Errorf("a listener alone is a connection: %v", err)
	}
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if sends, err := s.sends(); !sends || err != nil {
		t.Errorf("a connection is none: %v", err)
	}
	other, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if sends, err := s.sends(); !sends || err != nil {
		t.Errorf("one that awaits the acknowledgement is none: %v", err)
	}
	if err := errors.Join(other.Close(), conn.Close()); err != nil {
		t.Fatal(err)
	}
	if sends, err := s.sends(); sends || err != nil {
		t.Errorf("one that is closed is open: %v", err)
	}
}

func TestFlags(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "fluxgate"), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"run make build":        {"-bin", t.TempDir()},
		"there is no row \"x\"": {"-bin", bin, "-rows", "get,x"},
		"flags alone":           {"-bin", bin, "get"},
		"is in memory":          {"-bin", bin, "-data", "/dev/shm"},
	} {
		if code, err := run(t.Context(), args); code != 2 || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: exits %d, %v; want %q", args, code, err, want)
		}
	}
}

func TestMain(m *testing.M) {
	if os.Getenv(floorEnv) != "" {
		floor()
	}
	os.Exit(m.Run())
}
