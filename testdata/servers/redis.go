package servers

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"slices"
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
	return startRedis(t, "--port", args)
}

// RedisTLS is like [Redis], for a server that speaks TLS on its address, and
// plainly on its socket. The arguments must name a certificate.
func RedisTLS(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	return startRedis(t, "--tls-port", append([]string{"--port", "0"}, args...))
}

// startRedis starts a Redis whose address is the one of the setting port.
func startRedis(t testing.TB, setting string, args []string) *RedisServer {
	t.Helper()
	program := Need(t, "redis-server")[0]
	dir, port := folder(t), freePort(t)
	r := &RedisServer{
		Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		Socket:  filepath.Join(dir, "redis.sock"),
	}
	argv := append([]string{
		program, "--bind", "127.0.0.1", setting, strconv.Itoa(port), "--unixsocket", r.Socket,
		"--dir", dir, "--save", "", "--appendonly", "yes", "--daemonize", "no",
	}, args...)
	r.Process = launch(t, "redis-server", dir, argv, r.ping)
	return r
}

// StartLoading starts a killed Redis again, and returns while it still loads its
// data: it must have some, and have been given "--key-load-delay" and
// "--loading-process-events-interval-bytes" that make it slow.
func (r *RedisServer) StartLoading() {
	r.t.Helper()
	r.begin("loading", func() error { return r.answers("-LOADING") })
}

// ping says why Redis does not serve commands. One that asks for a password
// does serve.
func (r *RedisServer) ping() error { return r.answers("+PONG", "-NOAUTH", "-NOPERM") }

// answers says why Redis does not answer with one of the beginnings.
func (r *RedisServer) answers(beginnings ...string) error {
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
	if !slices.ContainsFunc(beginnings, func(b string) bool { return strings.HasPrefix(answer, b) }) {
		return fmt.Errorf("it answers %q", answer)
	}
	return nil
}
