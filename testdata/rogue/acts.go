package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/protobuf/encoding/protowire"
)

// These acts are also looked for elsewhere: they begin before a call or end
// after it.
const (
	garbageAtOnce = "garbage-at-once" // no HTTP/2 from the start
	stays         = "stays"           // does not leave when it is asked to
)

// acts are what a rogue does instead of answering a call on a stream.
var acts = map[string]func(c *conn, id uint32){
	garbageAtOnce:        garbage,
	stays:                func(c *conn, id uint32) { c.reply(id, nil) },
	"silent":             func(*conn, uint32) {},
	"wrong-streams":      wrongStreams,
	"twice":              func(c *conn, id uint32) { c.reply(id, nil); c.reply(id, nil) },
	"two-messages":       twoMessages,
	"nonsense":           func(c *conn, id uint32) { c.reply(id, bytes.Repeat([]byte{0xff}, 100)) },
	"huge":               func(c *conn, id uint32) { c.reply(id, filler(large)) },
	"bomb":               bomb,
	"endless":            endless,
	"drips":              drips,
	"endless-headers":    endlessHeaders,
	"ignores-the-window": ignoresTheWindow,
	"pings":              pings,
	"exits":              exits,
	"garbage":            garbage,
	"hangs-up":           hangsUp,
	"hangs-up-for-good":  func(c *conn, id uint32) { _ = c.listener.Close(); hangsUp(c, id) },
	"goes-away":          goesAway,
	"floods":             floods,
	"floods-one-line":    floodsOneLine,
}

// large is more than a host lets a message have, in bytes.
const large = 64 << 20

// wrongStreams answers on streams that nobody has opened: some that the host
// might open later, and some of a server's own.
func wrongStreams(c *conn, id uint32) {
	for _, wrong := range []uint32{id + 10_000, id + 10_002, id + 10_001, 2} {
		c.grow(wrong, startWindow)
		c.reply(wrong, nil)
	}
}

func twoMessages(c *conn, id uint32) {
	c.begin(id)
	c.message(id, nil)
	c.message(id, nil)
	c.end(id)
}

// bomb sends a message that is large when it is unpacked.
func bomb(c *conn, id uint32) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(make([]byte, large))
	_ = z.Close()
	c.headers(id, false, ":status", "200", "content-type", "application/grpc", "grpc-encoding", "gzip")
	c.send(id, framed(1, packed.Len(), packed.Bytes()))
	c.end(id)
}

// filler is a message of some bytes that every receiver can read: a field that
// it does not know.
func filler(size int) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, 15, protowire.BytesType), make([]byte, size))
}

// endless sends messages, each within the host's limit, for as long as the host
// takes them.
func endless(c *conn, id uint32) {
	c.begin(id)
	for b := filler(256 << 10); c.message(id, b); {
	}
}

// drips sends a message byte by byte, so slowly that it never comes to an end.
func drips(c *conn, id uint32) {
	c.begin(id)
	b := filler(256 << 10)
	for b = framed(0, len(b), b); c.send(id, b[:1]); b = b[1:] {
		time.Sleep(10 * time.Millisecond)
	}
}

// endlessHeaders sends header fields that never come to an end.
func endlessHeaders(c *conn, id uint32) {
	c.write(func(f *http2.Framer) error {
		block := c.block(":status", "200", "content-type", "application/grpc")
		err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block})
		for i := 0; err == nil; i++ {
			err = f.WriteContinuation(id, false, c.block(fmt.Sprint("x-", i), strings.Repeat("x", 8<<10)))
		}
		return err
	})
}

// ignoresTheWindow sends more than it was told that there is room for.
func ignoresTheWindow(c *conn, id uint32) {
	c.begin(id)
	b := filler(512 << 10)
	b = framed(0, len(b), b)[:maxFrame]
	for c.write(func(f *http2.Framer) error { return f.WriteData(id, false, b) }) {
	}
}

// pings asks for signs of life without end.
func pings(c *conn, _ uint32) {
	for c.write(func(f *http2.Framer) error { return f.WritePing(false, [8]byte{1}) }) {
	}
}

func exits(c *conn, id uint32) {
	c.begin(id)
	os.Exit(3)
}

func garbage(c *conn, _ uint32) {
	c.write(func(*http2.Framer) error {
		_, err := c.Write([]byte(strings.Repeat("this is no HTTP/2\r\n", 1000)))
		return err
	})
}

// hangsUp closes the connection in the middle of a frame.
func hangsUp(c *conn, id uint32) {
	c.begin(id)
	c.write(func(*http2.Framer) error {
		_, err := c.Write([]byte{0, 1, 0, 0, 0, 0, 0, 0, byte(id), 0, 0})
		return err
	})
	_ = c.Close()
}

// goesAway has the host connect again, to hear the same.
func goesAway(c *conn, _ uint32) {
	c.write(func(f *http2.Framer) error { return f.WriteGoAway(0, http2.ErrCodeNo, nil) })
}

// floods fills its log and its standard output without end, and answers.
func floods(c *conn, id uint32) {
	flood([]byte(`{"level":"ERROR","msg":"the end is near","n":5}` + "\n"))
	c.reply(id, nil)
}

// floodsOneLine is floods with a line that never ends.
func floodsOneLine(c *conn, id uint32) {
	flood([]byte(strings.Repeat("x", 4096)))
	c.reply(id, nil)
}

func flood(b []byte) {
	b = bytes.Repeat(b, 64)
	for _, out := range []*os.File{os.Stderr, os.Stdout} {
		go func() {
			for {
				if _, err := out.Write(b); err != nil {
					return
				}
			}
		}()
	}
}
