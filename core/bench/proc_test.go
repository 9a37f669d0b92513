package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	got, err := parseStat([]byte("123 (a ) (b) S 1 2 3 4 5 6 7 8 9 10 250 31 0 0 20 0 7 0 8 9"))
	if err != nil || got != (stat{1, 2810 * time.Millisecond}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"", "123", "123 (a) S 1 2", "1 (a) S 1 2 3 4 5 6 7 8 9 10 x 31 0", "1 (a) S x 2 3 4 5 6 7 8 9 10 1 31 0"} {
		if got, err := parseStat([]byte(text)); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestParseField(t *testing.T) {
	const text = "Name:\tfluxgate\nVmHWM:\t   20 kB\nVmRSS:\t   10 kB\nThreads:\t5\n"
	if got, err := parseField(text, "VmRSS"); got != 10<<10 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
	for _, name := range []string{"Vm", "Pss", "Threads", "Name"} {
		if got, err := parseField(text, name); err == nil {
			t.Errorf("%s: %d", name, got)
		}
	}
}

func TestTreeOfProcesses(t *testing.T) {
	// A shell and, below it, one that works until it has used half a second or so.
	cmd := exec.Command("sh", "-c", `sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo done; read x'; exit 0`)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	if _, err := io.ReadFull(out, make([]byte, len("done\n"))); err != nil {
		t.Fatal(err)
	}
	pids, err := tree(cmd.Process.Pid)
	if err != nil || len(pids) != 2 || pids[0] != cmd.Process.Pid {
		t.Fatalf("the tree is %v, %v", pids, err)
	}
	alone, err1 := processorTime(pids[0])
	both, err2 := processorTime(pids...)
	if err1 != nil || err2 != nil || alone > 5*tick || both-alone < 3*tick {
		t.Errorf("the parent has used %v, both %v: %v, %v", alone, both, err1, err2)
	}
	one, err1 := memory("status", "VmHWM", pids[0])
	all, err2 := memory("status", "VmHWM", pids...)
	if err1 != nil || err2 != nil || one < 100<<10 || all <= one {
		t.Errorf("memory %d, of both %d: %v, %v", one, all, err1, err2)
	}
	if _, err := processorTime(1 << 30); err == nil {
		t.Error("a process that is not there has used no time")
	}
}

func TestFigure(t *testing.T) {
	const text = "# HELP a_total\na_total{sink=\"x y\"} 3\na_total{sink=\"z\"} 4.5\na_totals 9\nb 2\n"
	if got, found := figure(text, "a_total"); got != 7.5 || !found {
		t.Errorf("%v, %v", got, found)
	}
	if got, found := figure(text, "b"); got != 2 || !found {
		t.Errorf("%v, %v", got, found)
	}
	if _, found := figure(text, "c"); found {
		t.Error("found what is not there")
	}
}

func TestPeaksBeginAnew(t *testing.T) {
	own := os.Getpid()
	kept := make([]byte, 64<<20)
	for i := 0; i < len(kept); i += 4096 {
		kept[i] = 1
	}
	before, err1 := memory("status", "VmHWM", own)
	kept = nil
	debug.FreeOSMemory()
	err2 := resetPeaks([]int{own})
	after, err3 := memory("status", "VmHWM", own)
	if err := errors.Join(err1, err2, err3); err != nil || after > before-32<<20 {
		t.Errorf("a peak of %d bytes, then of %d, %v", before, after, err)
	}
	if resetPeaks([]int{1 << 30}) == nil {
		t.Error("the peak of a process that is not there began anew")
	}
}
