package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
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
	t.Run("settings that nobody knows", func(t *testing.T) {
		var s section
		b.compare(t.Context(), &s, []string{"--requests", "10"}, []road{{name: "odd", settings: "nothing: {such: true}"}})
		if len(s.samples) > 0 || len(s.failed) != 1 || !strings.Contains(s.failed[0], "refuses the settings") {
			t.Errorf("%+v", s)
		}
	})
}

// testDirect sees that the direct build takes datapoints without its plugins.
func testDirect(t *testing.T, b *bench) {
	var s section
	b.compare(t.Context(), &s, []string{"--metrics-per-request", "450", "--connections", "4", "--requests", "200"}, []road{oneProcess})
	if len(s.failed) > 0 || len(s.samples[oneProcess.name]) != b.rounds() {
		t.Errorf("%+v", s)
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
	if delivered, err := s.rest(t.Context()); err != nil || delivered.IsZero() || asked.Load() != 3 {
		t.Errorf("delivered at %v, asked %d times: %v", delivered, asked.Load(), err)
	}
	if err := c.stop(); err != nil {
		t.Error(err)
	}
	if _, err := s.rest(t.Context()); err == nil {
		t.Error("a server that has ended is at rest")
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
