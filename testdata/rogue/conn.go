package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path"
	"strings"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A conn is a connection of the host's.
type conn struct {
	net.Conn
	listener net.Listener
	act      string
	methods  map[uint32]string // of each stream, the last part of the path

	mu      sync.Mutex // held for each frame that is written
	framer  *http2.Framer
	fields  bytes.Buffer
	encoder *hpack.Encoder

	flow   sync.Mutex
	moved  *sync.Cond
	window map[uint32]int64 // how much may be sent on each stream, and, at 0, on all; a missing stream is closed
}

// startWindow is what HTTP/2 lets a sender send before it is told of more.
const startWindow = 65535

func newConn(c net.Conn, l net.Listener, act string) *conn {
	out := &conn{Conn: c, listener: l, act: act, methods: map[uint32]string{}, framer: http2.NewFramer(c, c), window: map[uint32]int64{0: startWindow}}
	out.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	out.encoder = hpack.NewEncoder(&out.fields)
	out.moved = sync.NewCond(&out.flow)
	return out
}

// serve answers calls until the connection ends.
func (c *conn) serve() {
	defer c.shut()
	if c.act == garbageAtOnce {
		garbage(c, 0)
	}
	if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	c.write(func(f *http2.Framer) error {
		_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
		return f.WriteWindowUpdate(0, 1<<30)
	})
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return
		}
		c.take(frame)
	}
}

// shut has everything that waits for the connection end.
func (c *conn) shut() {
	_ = c.Close()
	c.flow.Lock()
	defer c.flow.Unlock()
	clear(c.window)
	c.moved.Broadcast()
}

func (c *conn) take(frame http2.Frame) {
	id, ended := frame.Header().StreamID, false
	switch f := frame.(type) {
	case *http2.MetaHeadersFrame:
		c.methods[id], ended = path.Base(f.PseudoValue("path")), f.StreamEnded()
		c.grow(id, startWindow)
	case *http2.DataFrame:
		ended = f.StreamEnded()
	case *http2.SettingsFrame:
		if !f.IsAck() {
			c.write(func(f *http2.Framer) error { return f.WriteSettingsAck() })
		}
	case *http2.PingFrame:
		if data := f.Data; !f.IsAck() {
			c.write(func(f *http2.Framer) error { return f.WritePing(true, data) })
		}
	case *http2.WindowUpdateFrame:
		c.grow(id, int64(f.Increment))
	case *http2.RSTStreamFrame:
		c.grow(id, -1<<40)
	}
	if ended {
		go c.answer(id, c.methods[id])
	}
}

// answer answers what every plugin is asked as a plugin should, and the rest by
// the act.
func (c *conn) answer(id uint32, method string) {
	switch method {
	case "Write", "Decode", "Resample":
		if strings.HasPrefix(c.act, dataPrefix) {
			c.reply(id, nil)
			return
		}
		acts[c.act](c, id)
	case "Describe":
		c.reply(id, nil)
	case "Open":
		c.reply(id, offer(c.act))
	case "Check": // of the health service too, where it means that it serves
		c.reply(id, []byte{1 << 3, 1})
	case "Drain", "Shutdown":
		if c.act == stays {
			return
		}
		cleanUp() // the host kills who has answered
		c.reply(id, nil)
		if method == "Shutdown" {
			os.Exit(0)
		}
	default:
		c.headers(id, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "12")
	}
}

// grow adds to what may be sent on a stream; far below 0 it is closed.
func (c *conn) grow(id uint32, more int64) {
	c.flow.Lock()
	defer c.flow.Unlock()
	c.window[id] += more
	c.moved.Broadcast()
}

// spend waits until up to want bytes may be sent on a stream, and returns how
// many; none when it is closed.
func (c *conn) spend(id uint32, want int64) int64 {
	c.flow.Lock()
	defer c.flow.Unlock()
	for {
		all, ok := c.window[0]
		room := c.window[id]
		if !ok || room < -1<<30 {
			return 0
		}
		if n := min(all, room, want); n > 0 {
			c.window[0] -= n
			c.window[id] -= n
			return n
		}
		c.moved.Wait()
	}
}

// write writes frames that no others may come between.
func (c *conn) write(frames func(*http2.Framer) error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return frames(c.framer) == nil
}

// block returns header fields, given as names and values, as they travel. The
// caller holds mu.
func (c *conn) block(fields ...string) []byte {
	c.fields.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = c.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return c.fields.Bytes()
}

func (c *conn) headers(id uint32, end bool, fields ...string) bool {
	return c.write(func(f *http2.Framer) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block(fields...), EndHeaders: true, EndStream: end})
	})
}

// begin, message and end are the parts of an answer, and reply is all of them.
func (c *conn) begin(id uint32) {
	c.headers(id, false, ":status", "200", "content-type", "application/grpc")
}

func (c *conn) end(id uint32) { c.headers(id, true, "grpc-status", "0") }

func (c *conn) message(id uint32, b []byte) bool { return c.send(id, framed(0, len(b), b)) }

func (c *conn) reply(id uint32, b []byte) {
	c.begin(id)
	c.message(id, b)
	c.end(id)
}

// framed returns b as gRPC frames a message of the given length.
func framed(compressed byte, length int, b []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{compressed}, uint32(length)), b...)
}

// maxFrame is the largest frame that is sure to be accepted.
const maxFrame = 16384

// send sends data as fast as the host takes it. It returns false when the host
// takes no more.
func (c *conn) send(id uint32, b []byte) bool {
	for len(b) > 0 {
		n := c.spend(id, int64(min(len(b), maxFrame)))
		if n == 0 || !c.write(func(f *http2.Framer) error { return f.WriteData(id, false, b[:n]) }) {
			return false
		}
		b = b[n:]
	}
	return true
}
