package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// serve runs Serve on a free port until the test ends, and returns the address.
func serve(t *testing.T, handler http.Handler) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, listener, handler) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve returned %v", err)
		}
	})
	return listener.Addr().String()
}

// A client writes requests as they are given.
type client struct {
	net.Conn
	t      *testing.T
	reader *bufio.Reader
}

// dial returns a client that fails the test instead of hanging.
func dial(t *testing.T, address string) client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return newClient(t, conn)
}

func newClient(t *testing.T, conn net.Conn) client {
	t.Cleanup(func() { conn.Close() })
	return client{conn, t, bufio.NewReader(conn)}
}

// A response is one with its body read.
type response struct {
	*http.Response
	body string
}

// ask sends a request whose head lacks only its length and its end.
func (c client) ask(head, body string) response {
	c.t.Helper()
	if body != "" {
		head += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	c.send(head + "\r\n" + body)
	method, _, _ := strings.Cut(head, " ")
	return c.answer(method)
}

func (c client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatalf("cannot send: %v", err)
	}
}

// answer reads the answer to a request of that method.
func (c client) answer(method string) response {
	c.t.Helper()
	r, err := http.ReadResponse(c.reader, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Fatalf("half an answer, %d %q: %v", r.StatusCode, body, err)
	}
	return response{r, string(body)}
}

// ended fails the test unless the server has closed the connection, or does.
func (c client) ended() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.reader); err != nil || len(rest) > 0 {
		c.t.Errorf("the connection goes on with %q, %v", rest, err)
	}
}
