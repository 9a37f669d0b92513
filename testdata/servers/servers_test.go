package servers

import (
	"bufio"
	"fmt"
	"math"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"fluxgate/sdk"
)

// ask sends one command to Redis and returns the first line of its answer.
func ask(t *testing.T, r *RedisServer, command string) string {
	t.Helper()
	c, err := net.Dial("tcp", r.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := within(c); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "%s\r\n", command)
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(answer)
}

func TestRedisKeepsItsDataAndAddress(t *testing.T) {
	r := Redis(t)
	if got := ask(t, r, "SET k v"); got != "+OK" {
		t.Fatalf("SET: %s", got)
	}
	r.Kill()
	if c, err := net.Dial("tcp", r.Address); err == nil {
		c.Close()
		t.Fatal("a killed Redis accepts connections")
	}
	r.Start()
	if got := ask(t, r, "EXISTS k"); got != ":1" {
		t.Errorf("after a restart: %s", got)
	}
}

func TestPausedRedisDoesNotAnswer(t *testing.T) {
	r := Redis(t)
	c, err := net.Dial("unix", r.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r.Pause()
	fmt.Fprint(c, "PING\r\n")
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.Read(make([]byte, 10)); !os.IsTimeout(err) {
		t.Fatalf("read %d bytes, error %v", n, err)
	}
	r.Continue()
	_ = within(c)
	if answer, err := bufio.NewReader(c).ReadString('\n'); answer != "+PONG\r\n" {
		t.Errorf("after Continue: %q, %v", answer, err)
	}
}

func TestRedisWithPassword(t *testing.T) {
	r := Redis(t, "--requirepass", "secret")
	if got := ask(t, r, "PING"); !strings.HasPrefix(got, "-NOAUTH") {
		t.Errorf("PING without password: %s", got)
	}
}

func TestServerEndsWithItsTest(t *testing.T) {
	var pid int
	t.Run("inner", func(t *testing.T) {
		r := Redis(t)
		r.Pause()
		pid = r.Pid()
	})
	if pid == 0 {
		t.SkipNow() // for the reason that the inner test gave
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("process %d still exists: %v", pid, err)
	}
}

func sendLines(t *testing.T, c *CarbonServer, b sdk.Batch) {
	t.Helper()
	conn, err := net.Dial("tcp", c.Line)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, d := range b {
		fmt.Fprintln(conn, d.Metric, d.Value, d.Timestamp)
	}
}

func TestCarbonIsReadBack(t *testing.T) {
	c := Carbon(t)
	now := time.Now().Unix()
	want := sdk.Batch{{Metric: "a.b", Timestamp: now - 5, Value: 0.1}, {Metric: "a.b", Timestamp: now - 3, Value: math.Copysign(0, -1)},
		{Metric: "c", Timestamp: now - 86000, Value: 1e300}}
	sendLines(t, c, want)
	c.Await(t, want)
	points := c.Points(t, "a.b", now-5, now-3)
	if len(points) != 2 || points[0] != (sdk.Point{Timestamp: now - 5, Value: 0.1}) || !math.Signbit(points[1].Value) {
		t.Errorf("points of a.b: %v", points)
	}
	if points := c.Points(t, "a.b", now-4, now-4); points != nil {
		t.Errorf("points where there are none: %v", points)
	}
	if points := c.Points(t, "never.sent", 0, now); points != nil {
		t.Errorf("points of a metric never sent: %v", points)
	}
}

func TestCarbonStartsAgain(t *testing.T) {
	c := Carbon(t, "60s:1d", "5m:7d")
	c.Kill()
	c.Start()
	minute := time.Now().Unix() / 60 * 60
	want := sdk.Batch{{Metric: "m", Timestamp: minute - 60, Value: 2}}
	sendLines(t, c, want)
	c.Await(t, want)
}

func TestAPortIsGivenOnce(t *testing.T) {
	given := make(map[int]bool)
	for range 300 {
		given[freePort(t)] = true
	}
	if len(given) != 300 {
		t.Errorf("of 300 ports %d are given twice", 300-len(given))
	}
}

func TestPythonIsDebians(t *testing.T) {
	if got := Python(t, "import sys; print(sys.executable, sys.argv[1], sys.stdin.read())", "in", "arg"); got != python+" arg in\n" {
		t.Errorf("got %q", got)
	}
}
