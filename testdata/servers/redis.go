package servers

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A RedisServer is a running Redis. What it has answered survives
// [Process.Kill].
type RedisServer struct {
	*Process
	Address string // host:port
	Socket  string // path of its unix socket
}

// Redis starts a Redis. The arguments are those of redis-server, such as
// "--requirepass", "secret"; they win over what is set here.
func Redis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	program := Need(t, "redis-server")[0]
	dir, port := folder(t), freePort(t)
	r := &RedisServer{
		Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		Socket:  filepath.Join(dir, "redis.sock"),
	}
	argv := append([]string{
		program, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--unixsocket", r.Socket,
		"--dir", dir, "--save", "", "--appendonly", "yes", "--daemonize", "no",
	}, args...)
	r.Process = launch(t, "redis-server", dir, argv, r.ping)
	return r
}

// ping says why Redis does not serve commands. One that asks for a password
// does serve.
func (r *RedisServer) ping() error {
	c, err := net.DialTimeout("unix", r.Socket, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := within(c); err != nil {
		return err
	}
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(answer, "+PONG") && !strings.HasPrefix(answer, "-NOAUTH") && !strings.HasPrefix(answer, "-NOPERM") {
		return fmt.Errorf("it answers %q", answer)
	}
	return nil
}
