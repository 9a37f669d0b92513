package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fluxgate/core/flow"
	"fluxgate/sdk"
)

const (
	getHead  = "GET /metric_data HTTP/1.1\r\nHost: it\r\n"
	postHead = "POST /metric_data_post HTTP/1.1\r\nHost: it\r\n"
)

func TestHead(t *testing.T) {
	address := serve(t, newTestDoor(keeps, ample))
	for name, tt := range map[string]struct {
		head   string
		status int
	}{
		"query below the limit":   {"GET /metric_data?" + strings.Repeat("x", 60<<10) + " HTTP/1.1\r\nHost: it\r\n", 204},
		"query above the limit":   {"GET /metric_data?" + strings.Repeat("x", 70<<10) + " HTTP/1.1\r\nHost: it\r\n", 431},
		"header below the limit":  {getHead + "Key: " + strings.Repeat("x", 60<<10) + "\r\n", 204},
		"header above the limit":  {getHead + "Key: " + strings.Repeat("x", 70<<10) + "\r\n", 431},
		"headers below the limit": {getHead + strings.Repeat("K: x\r\n", 10<<10), 204},
		"headers above the limit": {getHead + strings.Repeat("K: x\r\n", 12<<10), 431},
		"blank in the query":      {"GET /metric_data?a b HTTP/1.1\r\nHost: it\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, address)
			if got := c.ask(tt.head, ""); got.StatusCode != tt.status {
				t.Errorf("answered %d %s, want %d", got.StatusCode, got.body, tt.status)
			}
		})
	}
}

func TestConnectionIsKept(t *testing.T) {
	address := serve(t, newTestDoor(func(_ context.Context, r sdk.Request) (flow.Answer, error) {
		return flow.Answer{Status: 200, Body: fmt.Appendf(nil, `{"query": %q, "body": %q}`, r.Query, r.Body)}, nil
	}, ample))
	t.Run("one after the other", func(t *testing.T) {
		c := dial(t, address)
		for i := range 3 {
			body := fmt.Sprint("it ", i)
			if got, want := c.ask(postHead, body).body, fmt.Sprintf(`{"query": "", "body": %q}`, body); got != want {
				t.Errorf("answered %s, want %s", got, want)
			}
		}
		if got := c.ask("POST /nowhere HTTP/1.1\r\nHost: it\r\n", "a small body"); got.StatusCode != 404 || got.Close {
			t.Errorf("answered %d, close %v", got.StatusCode, got.Close)
		}
		if got := c.ask("OPTIONS /metric_data HTTP/1.1\r\nHost: it\r\n", "a small body"); got.StatusCode != 200 || got.ContentLength != 0 {
			t.Errorf("answered %d, length %d", got.StatusCode, got.ContentLength)
		}
		if got := c.ask(getHead, ""); got.StatusCode != 200 {
			t.Errorf("answered %d", got.StatusCode)
		}
	})
	t.Run("pipelined", func(t *testing.T) {
		c := dial(t, address)
		all := ""
		for i := range 20 {
			all += fmt.Sprintf("GET /metric_data?%d HTTP/1.1\r\nHost: it\r\n\r\n%sContent-Length: 2\r\n\r\n%02d", i, postHead, i)
		}
		c.send(all)
		for i := range 20 {
			for _, want := range []string{fmt.Sprintf(`{"query": "%d", "body": ""}`, i), fmt.Sprintf(`{"query": "", "body": "%02d"}`, i)} {
				if got := c.answer("GET"); got.body != want {
					t.Errorf("answered %s, want %s", got.body, want)
				}
			}
		}
	})
	t.Run("chunked", func(t *testing.T) {
		c := dial(t, address)
		c.send(postHead + "Transfer-Encoding: chunked\r\n\r\n1\r\ni\r\n1;x=y\r\nt\r\n0\r\n\r\n")
		if got := c.answer("POST"); got.body != `{"query": "", "body": "it"}` {
			t.Errorf("answered %s", got.body)
		}
		c.send(postHead + "Transfer-Encoding: chunked\r\n\r\n1\r\ni\r\nno length\r\n")
		if got := c.answer("POST"); got.StatusCode != 400 || got.body != `{"code": 400, "message": "the body did not arrive whole"}` {
			t.Errorf("bad chunks are answered %d %s", got.StatusCode, got.body)
		}
		c.ended()
	})
}

func TestExpectContinue(t *testing.T) {
	address := serve(t, newTestDoor(keeps, ample))
	c := dial(t, address)
	c.send(postHead + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
	if got := c.answer("POST"); got.StatusCode != http.StatusContinue {
		t.Fatalf("answered %d, want 100", got.StatusCode)
	}
	c.send("it")
	if got := c.answer("POST"); got.StatusCode != 204 {
		t.Errorf("answered %d, want 204", got.StatusCode)
	}
	for head, want := range map[string]int{postHead: 413, "POST /nowhere HTTP/1.1\r\nHost: it\r\n": 404, getHead + "Key: it\r\n": 413} {
		c := dial(t, address)
		c.send(fmt.Sprintf("%sExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", head, ample.Body+1))
		if got := c.answer("POST"); got.StatusCode != want || !got.Close {
			t.Errorf("answered %d, close %v; want %d without asking for the body", got.StatusCode, got.Close, want)
		}
	}
}

// TestEarlyAnswer sends bodies that no buffer on the way holds, and looks for
// the answer only then, as most senders do.
func TestEarlyAnswer(t *testing.T) {
	const size = 64 << 20
	tests := []struct {
		name, head string
		limits     Limits
		status     int
	}{
		{"too large", postHead, ample, 413},
		{"no such path", "POST /nowhere HTTP/1.1\r\nHost: it\r\n", ample, 404},
		{"no such method", "PUT /metric_data HTTP/1.1\r\nHost: it\r\n", ample, 405},
		{"busy", postHead, Limits{Body: size, Inflight: 100 << 10}, 503},
	}
	for _, tt := range tests {
		address := serve(t, newTestDoor(keeps, tt.limits))
		for _, form := range []string{"with length", "in chunks"} {
			t.Run(tt.name+", "+form, func(t *testing.T) {
				c := dial(t, address)
				part := strings.Repeat("x", 1<<20)
				ends := ""
				if form == "in chunks" {
					c.send(tt.head + "Transfer-Encoding: chunked\r\n\r\n")
					part, ends = fmt.Sprintf("%x\r\n%s\r\n", len(part), part), "0\r\n\r\n"
				} else {
					c.send(fmt.Sprintf("%sContent-Length: %d\r\n\r\n", tt.head, size))
				}
				for range size >> 20 {
					c.send(part)
				}
				c.send(ends)
				if got := c.answer("POST"); got.StatusCode != tt.status || !got.Close {
					t.Errorf("answered %d, close %v; want %d", got.StatusCode, got.Close, tt.status)
				}
				c.ended()
			})
		}
		t.Run(tt.name+", to who looks at once", func(t *testing.T) {
			c := dial(t, address)
			c.send(fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", tt.head, size, strings.Repeat("x", 200<<10)))
			if got := c.answer("POST"); got.StatusCode != tt.status || !got.Close {
				t.Errorf("answered %d, close %v; want %d", got.StatusCode, got.Close, tt.status)
			}
		})
	}
}

// served tells when a handler has returned, in whatever way.
func served(next http.Handler) (http.Handler, <-chan any) {
	done := make(chan any, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			value := recover()
			done <- value
			if value != nil {
				panic(value)
			}
		}()
		next.ServeHTTP(w, r)
	}), done
}

func TestAbortedUpload(t *testing.T) {
	body := strings.Repeat("x", 100<<10)
	limits := Limits{Body: ample.Body, Inflight: int64(len("/metric_data_post") + len("Content-Length") + len("102400") + len(body))}
	called := make(chan sdk.Request, 1)
	door, done := served(newTestDoor(func(_ context.Context, r sdk.Request) (flow.Answer, error) {
		called <- r
		return stored, nil
	}, limits))
	address := serve(t, door)
	c := dial(t, address)
	c.send(fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", postHead, len(body), body[1:]))
	c.Close()
	<-done
	if len(called) > 0 {
		t.Error("half a body came to the road")
	}
	if got := dial(t, address).ask(postHead, body); got.StatusCode != 204 {
		t.Errorf("one that needs all there is was answered %d %s", got.StatusCode, got.body)
	}
	<-done
}

// A journal keeps what is logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// keepLog makes a journal slog's default for one test.
func keepLog(t *testing.T) *journal {
	before, j := slog.Default(), &journal{}
	slog.SetDefault(slog.New(slog.NewJSONHandler(j, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return j
}

func TestPanicCostsOneRequest(t *testing.T) {
	log := keepLog(t)
	door, done := served(newTestDoor(func(_ context.Context, r sdk.Request) (flow.Answer, error) {
		if r.Query == "panic" {
			panic("out of\nthe road")
		}
		return stored, nil
	}, ample))
	address := serve(t, door)
	other := dial(t, address)
	other.send("GET /metric_da")
	c := dial(t, address)
	c.send("GET /metric_data?panic HTTP/1.1\r\nHost: it\r\n\r\n")
	c.ended()
	if value := <-done; value != "out of\nthe road" {
		t.Errorf("the handler ended with %v", value)
	}
	other.send("ta HTTP/1.1\r\nHost: it\r\n\r\n")
	if got := other.answer("GET"); got.StatusCode != 204 {
		t.Errorf("another connection is answered %d", got.StatusCode)
	}
	if line, _, _ := strings.Cut(log.String(), "\n"); !strings.Contains(line, `out of\nthe road`) || !strings.Contains(line, `"WARN"`) {
		t.Errorf("logged %s", line)
	}
}

func TestEndFinishesWhatIsInFlight(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- Serve(ctx, listener, newTestDoor(func(ctx context.Context, _ sdk.Request) (flow.Answer, error) {
			inside <- struct{}{}
			<-leave
			return stored, ctx.Err()
		}, ample))
	}()
	address := listener.Addr().String()
	c := dial(t, address)
	c.send(getHead + "\r\n")
	<-inside
	cancel()
	for { // until the listener is closed, or the test's deadline
		conn, err := net.Dial("tcp", address)
		if err != nil {
			break
		}
		conn.Close()
	}
	select {
	case err := <-served:
		t.Fatalf("Serve returned %v before the request was finished", err)
	default:
	}
	close(leave)
	if got := c.answer("GET"); got.StatusCode != 204 || !got.Close {
		t.Errorf("answered %d, close %v", got.StatusCode, got.Close)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve returned %v", err)
	}
}

func TestServeTellsOfABrokenListener(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := Serve(t.Context(), listener, http.NotFoundHandler()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve returned %v", err)
	}
}

// What follows runs on a clock of its own, over connections in memory.

// pipes is a listener whose connections are pipes.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (*pipes) Addr() net.Addr { return &net.UnixAddr{Name: "it"} }

// inBubble is serveInBubble for a door to f.
func inBubble(t *testing.T, f road, test func(t *testing.T, dial func() client, end func() error)) {
	serveInBubble(t, newTestDoor(f, ample), test)
}

// serveInBubble runs test with Serve on a clock of its own. dial connects; end ends
// the context of Serve and returns what Serve does.
func serveInBubble(t *testing.T, handler http.Handler, test func(t *testing.T, dial func() client, end func() error)) {
	synctest.Test(t, func(t *testing.T) {
		listener := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- Serve(ctx, listener, handler) }()
		var end = sync.OnceValue(func() error {
			cancel()
			return <-served
		})
		test(t, func() client {
			ours, theirs := net.Pipe()
			listener.conns <- theirs
			return newClient(t, ours)
		}, end)
		if err := end(); err != nil {
			t.Errorf("Serve returned %v", err)
		}
		time.Sleep(closing) // the bubble must be empty
	})
}

// drip begins to send a byte a second, until the server no longer takes them.
func (c client) drip(text string) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := range len(text) {
			if _, err := io.WriteString(c, text[i:i+1]); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}()
	c.t.Cleanup(func() {
		c.Close()
		<-ended
	})
}

// closing is the most that net/http waits before it closes a connection.
const closing = 500 * time.Millisecond

func took(t *testing.T, since time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(since); got < want || got > want+closing {
		t.Errorf("it took %v, want %v", got, want)
	}
}

func TestSlowHead(t *testing.T) {
	inBubble(t, keeps, func(t *testing.T, dial func() client, _ func() error) {
		began := time.Now()
		c := dial()
		c.drip(getHead + strings.Repeat("Key: it\r\n", 1000) + "\r\n")
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Errorf("the connection ended with %v", err)
		}
		took(t, began, headerTime)
	})
}

func TestSilentConnection(t *testing.T) {
	inBubble(t, keeps, func(t *testing.T, dial func() client, _ func() error) {
		began := time.Now()
		dial().ended()
		took(t, began, headerTime)
	})
}

func TestIdleConnection(t *testing.T) {
	inBubble(t, keeps, func(t *testing.T, dial func() client, _ func() error) {
		c := dial()
		for range 2 {
			if got := c.ask(getHead, ""); got.StatusCode != 204 {
				t.Errorf("answered %d", got.StatusCode)
			}
			time.Sleep(idleTime - time.Second)
		}
		c.ask(getHead, "")
		began := time.Now()
		c.ended()
		took(t, began, idleTime)
	})
}

func TestSlowBody(t *testing.T) {
	const small = "Content-Length: 10000\r\n\r\n"
	for head, want := range map[string]string{
		postHead + small: `{"code": 408, "message": "the request took too long to arrive"}`,
		postHead + "Transfer-Encoding: chunked\r\n\r\n2710\r\n":                   `{"code": 408, "message": "the request took too long to arrive"}`,
		"POST /nowhere HTTP/1.1\r\nHost: it\r\n" + small:                          `{"title": "404 Not Found"}`,
		"PUT /metric_data HTTP/1.1\r\nHost: it\r\n" + small:                       `{"title": "405 Method Not Allowed"}`,
		"OPTIONS /metric_data HTTP/1.1\r\nHost: it\r\n" + small:                   "",
		postHead + fmt.Sprintf("Content-Length: %d\r\n\r\n", ample.Body+1):        `{"code": 413, "message": "the request is too large: at most 1048576 bytes, also when unpacked"}`,
		postHead + "Transfer-Encoding: chunked\r\nKey: it\r\n\r\n1\r\nx\r\nfffff": `{"code": 408, "message": "the request took too long to arrive"}`,
	} {
		t.Run(head, func(t *testing.T) {
			called := false
			inBubble(t, func(context.Context, sdk.Request) (flow.Answer, error) {
				called = true
				return stored, nil
			}, func(t *testing.T, dial func() client, _ func() error) {
				began := time.Now()
				c := dial()
				c.send(head)
				c.drip(strings.Repeat("0", 10000))
				if got := c.answer("POST"); got.body != want {
					t.Errorf("answered %d %s, want %s", got.StatusCode, got.body, want)
				}
				c.ended()
				took(t, began, headerTime+bodyTime)
				if called {
					t.Error("half a body came to the road")
				}
			})
		})
	}
}

// Whoever sets a reverse proxy up goes by the README.
func TestReadmeHasTheTimeOfARequest(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("`timeout=120`: Fluxgate gives up after %v s,", writeTime.Seconds()); writeTime >= 120*time.Second || !strings.Contains(string(text), want) {
		t.Errorf("the README does not say %q, or that is too long", want)
	}
}

func TestBodyInTimeHasTimeBehindIt(t *testing.T) {
	const work = flow.AcceptTime
	inBubble(t, func(ctx context.Context, _ sdk.Request) (flow.Answer, error) {
		select {
		case <-time.After(work):
			return stored, nil
		case <-ctx.Done():
			return flow.Answer{}, ctx.Err()
		}
	}, func(t *testing.T, dial func() client, _ func() error) {
		body := strings.Repeat("x", int((headerTime+bodyTime)/time.Second)-1)
		c := dial()
		c.send(fmt.Sprintf("%sContent-Length: %d\r\n\r\n", postHead, len(body)))
		c.drip(body)
		if got := c.answer("POST"); got.StatusCode != 204 {
			t.Errorf("answered %d %s", got.StatusCode, got.body)
		}
	})
}

// TestSenderWhoSendsNoMore closes the sending side alone, as netcat does.
func TestSenderWhoSendsNoMore(t *testing.T) {
	inside := make(chan struct{})
	leave := make(chan struct{})
	address := serve(t, newTestDoor(func(ctx context.Context, _ sdk.Request) (flow.Answer, error) {
		close(inside)
		select {
		case <-leave:
			return stored, nil
		case <-ctx.Done():
			return flow.Answer{}, ctx.Err()
		}
	}, ample))
	c := dial(t, address)
	c.send(getHead + "\r\n")
	<-inside
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	// The server notices in its own time; nothing tells when it has.
	time.AfterFunc(100*time.Millisecond, func() { close(leave) })
	if got := c.answer("GET"); got.StatusCode != 204 {
		t.Errorf("answered %d %s", got.StatusCode, got.body)
	}
}

func TestEndDoesNotWaitForSlowSenders(t *testing.T) {
	log := keepLog(t)
	inBubble(t, keeps, func(t *testing.T, dial func() client, end func() error) {
		for _, text := range []string{"", "GET /metric", postHead + "Content-Length: 10000\r\n\r\n", fmt.Sprintf("%sContent-Length: %d\r\n\r\n", postHead, ample.Body+1)} {
			c := dial()
			c.send(text)
			c.drip(strings.Repeat("x", 10000))
			go io.Copy(io.Discard, c) // until the server is done with it
		}
		synctest.Wait()
		began := time.Now()
		if err := end(); err != nil {
			t.Errorf("Serve returned %v", err)
		}
		if took := time.Since(began); took > stopTime {
			t.Errorf("it took %v", took)
		}
	})
	if !strings.Contains(log.String(), "cut off") {
		t.Errorf("logged %s", log)
	}
}
