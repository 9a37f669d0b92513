package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

func TestFramesOfPython(t *testing.T) {
	const script = `
import pickle, struct, sys
body = pickle.dumps([('a.b', (1000, 0.5)), ('c', (2**31, -1e300))], protocol=2)
sys.stdout.buffer.write(struct.pack('>L', len(body)) + body)`
	frames := servers.Python(t, script, "")
	err := readFrames(strings.NewReader(frames), func(sdk.Batch) { t.Error("a form that Fluxgate does not write is taken") })
	if _, ok := errors.AsType[garbled](err); !ok {
		t.Errorf("error %v, want a garbled frame", err)
	}
}

// frame is what Fluxgate's sink writes for one datapoint of metric m.
const frame = "\x00\x00\x00\x1c\x80\x02](X\x01\x00\x00\x00mJ\xe8\x03\x00\x00G\x3f\xe0\x00\x00\x00\x00\x00\x00\x86\x86e."

func TestReadFrames(t *testing.T) {
	for name, tt := range map[string]struct {
		sent    string
		taken   int
		garbled bool
		cut     bool
	}{
		"nothing":        {"", 0, false, false},
		"a frame":        {frame, 1, false, false},
		"two frames":     {frame + frame, 2, false, false},
		"cut in frame":   {frame + frame[:10], 1, false, true},
		"cut in length":  {frame + frame[:2], 1, false, true},
		"too long":       {frame + "\x00\x20\x00\x00", 1, true, false},
		"other opcode":   {strings.Replace(frame, "G", "K", 1), 0, true, false},
		"trailing bytes": {"\x00\x00\x00\x1d" + frame[4:] + "x", 0, true, false},
		"no pickle":      {"\x00\x00\x00\x04abcd", 0, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			taken := 0
			err := readFrames(strings.NewReader(tt.sent), func(b sdk.Batch) {
				for _, d := range b {
					taken++
					if d != (sdk.Datapoint{Metric: "m", Timestamp: 1000, Value: 0.5}) {
						t.Errorf("took %+v", d)
					}
				}
			})
			_, bad := errors.AsType[garbled](err)
			if taken != tt.taken || bad != tt.garbled || (err != nil) != (tt.garbled || tt.cut) {
				t.Errorf("took %d, error %v", taken, err)
			}
		})
	}
}

// send sends lines as a sink does, and says whether they were acknowledged.
func send(address, text string, patience time.Duration) error {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func TestMoods(t *testing.T) {
	carbon, err := newFakeCarbon(readLines)
	if err != nil {
		t.Fatal(err)
	}
	defer carbon.close()
	try := func(m mood, size int, want error) {
		t.Helper()
		if err := carbon.be(m); err != nil {
			t.Fatal(err)
		}
		text := strings.Repeat("a.metric 1.5 1000\n", size)
		err := send(carbon.address, text, 300*time.Millisecond)
		met := errors.Is(err, want) || want == errTimeout && isTimeout(err) || want == errReset && isReset(err)
		if !met {
			t.Errorf("mood %d: error %v, want %v", m, err, want)
		}
	}
	held := func(what string, want int) {
		t.Helper()
		if got := len(carbon.batch()); got != want {
			t.Errorf("%s: it holds %d datapoints, want %d", what, got, want)
		}
	}
	try(takes, 10, nil)
	held("taken", 10)
	try(refuses, 1, syscall.ECONNREFUSED)
	try(neverReads, 1, errTimeout)
	try(blackHole, 1, errTimeout)
	held("after refusals", 10)
	try(takes, 5, nil)
	held("taken again", 15)
	if err := carbon.reset(func() int { return atTheEnd }); err != nil {
		t.Fatal(err)
	}
	try(resets, 5, errReset)
	held("reset at the end", 20)
	try(drips, 1000, errTimeout)
	if err := carbon.reset(func() int { return 20 }); err != nil {
		t.Fatal(err)
	}
	try(resets, 1, nil) // fewer bytes than that
	try(resets, 1000, errReset)
	if unread := carbon.unread(); len(unread) > 0 {
		t.Errorf("garbled: %q", unread)
	}
}

var (
	errTimeout = errors.New("a timeout")
	errReset   = errors.New("a reset")
)

// isReset reports whether a connection was reset, in whichever call that shows.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ENOTCONN)
}

func isTimeout(err error) bool {
	netErr, ok := errors.AsType[net.Error](err)
	return ok && netErr.Timeout()
}

func TestGarbledLinesAreTold(t *testing.T) {
	carbon, err := newFakeCarbon(readLines)
	if err != nil {
		t.Fatal(err)
	}
	defer carbon.close()
	for _, text := range []string{"a.b 1\n", "a.b one 1000\n", "a.b 1 soon\n"} {
		before := len(carbon.unread())
		_ = send(carbon.address, text, time.Second) // what it answers is not the point
		if _, err := until(t.Context(), 5*time.Second, fmt.Sprintf("%q is garbled", text), func() bool {
			return len(carbon.unread()) > before
		}); err != nil {
			t.Error(err)
		}
	}
	if len(carbon.batch()) > 0 {
		t.Errorf("it holds %v", carbon.batch())
	}
}

func TestProxy(t *testing.T) {
	carbon, err := newFakeCarbon(readLines)
	if err != nil {
		t.Fatal(err)
	}
	defer carbon.close()
	p, err := newProxy(carbon.address)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	const line = "a.b 1 1000\n"
	if err := send(p.address, line, 5*time.Second); err != nil {
		t.Errorf("passing: %v", err)
	}
	p.swallow()
	if err := send(p.address, line, 200*time.Millisecond); !isTimeout(err) {
		t.Errorf("swallowing: %v", err)
	}
	p.release()
	p.slow(150 * time.Millisecond)
	start := time.Now()
	if err := send(p.address, line, 5*time.Second); err != nil || time.Since(start) < 150*time.Millisecond {
		t.Errorf("slow: %v after %v", err, time.Since(start))
	}
	p.slow(0)
	c, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := until(t.Context(), 5*time.Second, "it is passed on", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for near := range p.conns {
			if near.RemoteAddr().String() == c.LocalAddr().String() {
				return true
			}
		}
		return false
	}); err != nil {
		t.Fatal(err)
	}
	p.cut()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("cut: %v", err)
	}
}

func TestGauges(t *testing.T) {
	g := parseGauges("# HELP a b\nfluxgate_waiting{sink=\"a\",log=\"live\"} 3\nfluxgate_waiting{sink=\"b\"} 4\nfluxgate_waiting_other 5\nup 1e3\n")
	for _, tt := range []struct {
		name   string
		labels []string
		want   float64
		found  bool
	}{
		{"fluxgate_waiting", nil, 7, true},
		{"fluxgate_waiting", []string{`sink="a"`}, 3, true},
		{"fluxgate_waiting", []string{`sink="c"`}, 0, false},
		{"up", nil, 1000, true},
		{"down", nil, 0, false},
	} {
		if got, found := g.sum(tt.name, tt.labels...); got != tt.want || found != tt.found {
			t.Errorf("%s %v: %v, %v", tt.name, tt.labels, got, found)
		}
	}
}
