package sdk

import (
	"bufio"
	"context"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"fluxgate/sdk/internal/frame"
	"fluxgate/sdk/internal/wire"
)

// testPatience is when a test gives up waiting for what should happen at once.
const testPatience = 20 * time.Second

// sockets returns the two ends of a connection.
func sockets(t testing.TB) (host, plugin net.Conn) {
	t.Helper()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range pair {
		file := os.NewFile(uintptr(fd), "socket")
		ends[i], err = net.FileConn(file)
		_ = file.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ends[i].Close() })
	}
	return ends[0], ends[1]
}

// inTime returns what comes from a channel.
func inTime[T any](t testing.TB, what string, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(testPatience):
		stacks := make([]byte, 1<<20)
		t.Fatalf("%s: nothing comes\n%s", what, stacks[:runtime.Stack(stacks, true)])
	}
	return v
}

// eventually waits until something is so.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(testPatience); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not so", what)
		}
	}
}

// decodes is an input made of a function.
type decodes func(context.Context, Request) (Submission, error)

func (d decodes) Decode(ctx context.Context, r Request) (Submission, error) { return d(ctx, r) }

// writes is a sink made of a function.
type writes func(context.Context, Batch) error

func (w writes) Write(ctx context.Context, b Batch) error { return w(ctx, b) }

// planeLimit is that of the frames in these tests, in bytes.
const planeLimit = 16 << 20

// serveDock answers calls at the plugin's end of a connection.
func serveDock[T any](t testing.TB, conn net.Conn, plugin T, limit int, answer func(*guest[T]) answerer) *guest[T] {
	t.Helper()
	g := &guest[T]{}
	if err := g.set(plugin); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		newDock(answer(g), limit, conn).run()
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		inTime(t, "the end of the dock", ended)
	})
	return g
}

// portable is the portable plane of a plugin whose data socket is tested.
type portable struct {
	wire.InputClient
	wire.SinkClient
	calls chan struct{}
}

func newPortable() portable { return portable{calls: make(chan struct{}, 1000)} }

func (p portable) Decode(context.Context, *wire.Request, ...grpc.CallOption) (*wire.Submission, error) {
	p.calls <- struct{}{}
	return &wire.Submission{Key: []byte("portable")}, nil
}

func (p portable) Write(context.Context, *wire.Batch, ...grpc.CallOption) (*wire.Nothing, error) {
	p.calls <- struct{}{}
	return &wire.Nothing{}, nil
}

// planeOf returns an input, called over a data socket with that input's dock at its
// end, and its portable plane, which counts.
func planeOf(t testing.TB, in Input, limit int) (remoteInput, portable) {
	t.Helper()
	host, plugin := sockets(t)
	serveDock(t, plugin, in, limit, answerInput)
	return inputAt(t, host, limit)
}

func inputAt(t testing.TB, host net.Conn, limit int) (remoteInput, portable) {
	t.Helper()
	l := newLink(host, limit)
	t.Cleanup(func() { l.close(errEnded) })
	p := newPortable()
	return remoteInput{InputClient: p, link: newGathering(l)}, p
}

func sinkAt(t testing.TB, host net.Conn, limit int) (remoteSink, portable) {
	t.Helper()
	l := newLink(host, limit)
	t.Cleanup(func() { l.close(errEnded) })
	p := newPortable()
	return remoteSink{SinkClient: p, link: l}, p
}

// A farEnd is the plugin's end of a data socket, at which a test sits.
type farEnd struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func farEndOf(t testing.TB, conn net.Conn) *farEnd {
	return &farEnd{t, conn, bufio.NewReader(conn)}
}

// call reads a call, and returns what stands behind its deadline.
func (f *farEnd) call() (call uint64, c frame.Cursor) {
	f.t.Helper()
	_ = f.conn.SetReadDeadline(time.Now().Add(testPatience))
	kind, call, data, err := frame.Read(f.r, planeLimit)
	if err != nil || kind != frame.Call {
		f.t.Fatalf("a frame of kind %d, %v; want a call", kind, err)
	}
	c = frame.Parts(data)
	c.Uint64()
	return call, c
}

// requests reads a call to an input.
func (f *farEnd) requests() (call uint64, requests []Request) {
	f.t.Helper()
	call, c := f.call()
	requests = make([]Request, c.Count(minRequest))
	for i := range requests {
		requests[i] = readRequest(&c)
	}
	if c.Err() != nil {
		f.t.Fatal(c.Err())
	}
	return call, requests
}

// cancelled reads a cancellation.
func (f *farEnd) cancelled() (call uint64) {
	f.t.Helper()
	_ = f.conn.SetReadDeadline(time.Now().Add(testPatience))
	kind, call, data, err := frame.Read(f.r, planeLimit)
	if err != nil || kind != frame.Cancel || len(data) > 0 {
		f.t.Fatalf("a frame of kind %d, %v; want a cancellation", kind, err)
	}
	return call
}

// say writes a frame.
func (f *farEnd) say(kind frame.Kind, call uint64, parts ...any) {
	f.t.Helper()
	if _, err := f.conn.Write(framed(kind, call, parts...)); err != nil {
		f.t.Fatal(err)
	}
}

// answer answers requests of a call, each with a key.
func (f *farEnd) answer(call uint64, places []int, key string) {
	f.t.Helper()
	f.say(frame.Answer, call, answerOf(places, key))
}

func answerOf(places []int, key string) []byte {
	b := frame.AppendUint32(frame.AppendUint32(nil, 0), uint32(len(places)))
	for _, place := range places {
		b = appendOutcome(frame.AppendUint32(b, uint32(place)), nil)
		b = appendSubmission(b, &Submission{Key: key})
	}
	return b
}

// framed returns a frame of numbers, which are uint32, and bytes.
func framed(kind frame.Kind, call uint64, parts ...any) []byte {
	b := frame.Begin(nil, kind, call)
	for _, part := range parts {
		switch p := part.(type) {
		case int:
			b = frame.AppendUint32(b, uint32(p))
		case []byte:
			b = append(b, p...)
		}
	}
	frame.End(b, 0)
	return b
}

// asked is what becomes of a request.
type asked struct {
	s   Submission
	err error
}

// ask has a request decoded.
func ask(ctx context.Context, in Input, r Request) <-chan asked {
	got := make(chan asked, 1)
	go func() {
		s, err := in.Decode(ctx, r)
		got <- asked{s, err}
	}()
	return got
}

// upTo returns the numbers below n.
func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// waitingFor returns how many requests wait for the next frame.
func waitingFor(g *gathering) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// answersOf returns the outcomes of requests, which an input is sent as one call.
func answersOf(t *testing.T, in Input, requests []Request) map[int]outcome {
	t.Helper()
	h, c := &heard{}, frame.Parts(callOf(requests...))
	if err := answerInput(openGuest(t, in)).answer(t.Context(), &c, h.voice(planeLimit)); err != nil {
		t.Fatal(err)
	}
	all, answered := make(map[int]outcome), 0
	for _, b := range h.frames {
		got, err := readOutcomes(b, len(requests))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range got {
			all[o.request] = o.outcome
		}
		answered += len(got)
	}
	if answered != len(requests) || len(all) != len(requests) {
		t.Fatalf("%d answers to %d requests", answered, len(requests))
	}
	return all
}
