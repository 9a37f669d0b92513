package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"fluxgate/sdk"
)

// A mood is how a fake Carbon treats a connection.
type mood int

const (
	takes      mood = iota // reads to the end, then closes: the acknowledgement
	refuses                // nobody listens
	neverReads             // accepts, and reads nothing
	resets                 // reads some bytes, then resets
	drips                  // reads 64 kbit/s
	closes                 // closes at once
	blackHole              // answers no packet that would open a connection
)

const dripRate = 8000 // bytes a second

// atTheEnd has a connection reset when all of it was read: what was sent is held,
// and the sender does not know.
const atTheEnd = 1 << 40

// A fakeCarbon records every datapoint that it is sent, in order.
type fakeCarbon struct {
	address string
	read    func(io.Reader, func(sdk.Batch)) error // the protocol
	gate    *gate

	mu       sync.Mutex
	mood     mood
	changed  chan struct{} // closed when the mood changes
	resetAt  func() int    // after how many bytes the next connection is reset; negative: never
	held     sdk.Batch
	names    map[string]string // one copy of each name
	garbled  []string
	conns    sync.WaitGroup
	accepted int
}

// newFakeCarbon starts a fake Carbon that reads pickles, or lines.
func newFakeCarbon(read func(io.Reader, func(sdk.Batch)) error) (*fakeCarbon, error) {
	c := &fakeCarbon{read: read, changed: make(chan struct{}), names: map[string]string{}}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	c.address, c.gate = address, &gate{address: address, serve: c.serve}
	return c, c.gate.open()
}

// be changes the mood, also for the connections that it treats already.
func (c *fakeCarbon) be(m mood) error {
	c.mu.Lock()
	before := c.mood
	c.mood = m
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	if before == m {
		return nil
	}
	switch m {
	case refuses:
		return c.gate.close()
	case blackHole:
		return c.gate.block()
	}
	return c.gate.open()
}

// reset gives how many bytes each connection lives in the mood resets.
func (c *fakeCarbon) reset(at func() int) error {
	c.mu.Lock()
	c.resetAt = at
	c.mu.Unlock()
	return c.be(resets)
}

func (c *fakeCarbon) close() error {
	err := c.be(refuses)
	c.conns.Wait()
	return err
}

// batch returns what it holds, in order of arrival.
func (c *fakeCarbon) batch() sdk.Batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held[:len(c.held):len(c.held)]
}

// unread returns what it was sent and could not read.
func (c *fakeCarbon) unread() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.garbled
}

func (c *fakeCarbon) connections() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.accepted
}

func (c *fakeCarbon) serve(conn *net.TCPConn) {
	c.conns.Add(1)
	defer c.conns.Done()
	defer conn.Close()
	c.mu.Lock()
	m, changed, at := c.mood, c.changed, -1
	c.accepted++
	if m == resets {
		at = c.resetAt()
	}
	c.mu.Unlock()
	var r io.Reader = conn
	switch {
	case m == closes || m == refuses:
		return
	case m == neverReads || m == blackHole:
		_ = conn.SetReadBuffer(4 << 10)
		<-changed
		_ = conn.SetLinger(0)
		return
	case m == drips:
		_ = conn.SetReadBuffer(4 << 10)
		r = &dripReader{conn, changed}
	case at >= 0:
		limited := &io.LimitedReader{R: conn, N: int64(at)}
		defer func() {
			if limited.N == 0 || at == atTheEnd {
				_ = conn.SetLinger(0)
			}
		}()
		r = limited
	}
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Minute)) // its sender may have stopped for ever
	c.note(c.read(bufio.NewReaderSize(r, 64<<10), c.take))
}

// note keeps what was wrong with a connection, unless it was only cut.
func (c *fakeCarbon) note(err error) {
	if g, ok := errors.AsType[garbled](err); ok {
		c.mu.Lock()
		c.garbled = append(c.garbled, g.Error())
		c.mu.Unlock()
	}
}

func (c *fakeCarbon) take(b sdk.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range b {
		name, known := c.names[d.Metric]
		if !known {
			name = d.Metric
			c.names[name] = name
		}
		c.held = append(c.held, sdk.Datapoint{Metric: name, Timestamp: d.Timestamp, Value: d.Value})
	}
}

// A dripReader reads slowly until changed is closed.
type dripReader struct {
	io.Reader
	changed <-chan struct{}
}

func (r *dripReader) Read(b []byte) (int, error) {
	const step = 100 * time.Millisecond
	select {
	case <-r.changed:
		return r.Reader.Read(b)
	case <-time.After(step):
		return r.Reader.Read(b[:min(len(b), int(dripRate*step/time.Second))])
	}
}

// readLines reads Carbon's line protocol and gives each datapoint to take. A
// line that is cut off at the end of a connection counts for nothing.
func readLines(r io.Reader, take func(sdk.Batch)) error {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		d, err := parseLine(line)
		if err != nil {
			return err
		}
		take(sdk.Batch{d})
	}
}

func parseLine(line string) (d sdk.Datapoint, err error) {
	words := strings.Fields(line)
	if len(words) != 3 {
		return d, garbled{fmt.Sprintf("a line of %d words: %.80q", len(words), line)}
	}
	value, err := strconv.ParseFloat(words[1], 64)
	if err != nil {
		return d, garbled{fmt.Sprintf("value %q", words[1])}
	}
	at, err := strconv.ParseInt(words[2], 10, 64)
	if err != nil {
		return d, garbled{fmt.Sprintf("timestamp %q", words[2])}
	}
	return sdk.Datapoint{Metric: words[0], Timestamp: at, Value: value}, nil
}
