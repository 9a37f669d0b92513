package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// A rogue whose act begins with dataPrefix works over gRPC. It offers a data socket,
// and does to its host there what it does.
const dataPrefix = "data-"

// dataActs are what a rogue does on its data socket when it is sent a frame, whose
// header it has read.
var dataActs = map[string]func(c net.Conn, header []byte) error{
	"data-outside":      nil, // it names a socket that is not in the folder for sockets
	"data-nobody":       nil, // it names one that nobody listens at
	"data-sibling":      nil, // it names one at which another plugin of the host waits for calls over gRPC
	"data-silent":       func(net.Conn, []byte) error { return nil },
	"data-deaf":         func(net.Conn, []byte) error { select {} },
	"data-garbage":      func(c net.Conn, _ []byte) error { return says(c, []byte(strings.Repeat("this is no frame\r\n", 1000))) },
	"data-nonsense":     func(c net.Conn, header []byte) error { return says(c, answer(call(header), filler(100))) },
	"data-unknown-call": func(c net.Conn, header []byte) error { return says(c, answer(call(header)+1000, nil)) },
	"data-twice": func(c net.Conn, header []byte) error {
		b := answer(call(header), make([]byte, 8))
		return says(c, b, b)
	},
	"data-calls-back": func(c net.Conn, header []byte) error { return says(c, append(make([]byte, 4), header[4:]...)) },
	"data-huge": func(c net.Conn, header []byte) error {
		return says(c, announced(call(header), large), make([]byte, large))
	},
	"data-bomb":     func(c net.Conn, header []byte) error { return says(c, answer(call(header), lyingCounts())) },
	"data-endless":  endlessAnswers,
	"data-drips":    dripsAnswer,
	"data-hangs-up": func(c net.Conn, header []byte) error { _ = says(c, announced(call(header), 100)[:9]); return c.Close() },
}

func isKnown(act string) bool {
	_, data := dataActs[act]
	return data || acts[act] != nil
}

// offer returns what a rogue answers to Open: nothing, or a data socket.
func offer(act string) []byte {
	do, data := dataActs[act]
	if !data {
		return nil
	}
	return protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), dataSocket(act, do))
}

// dataSocket returns the path that a rogue names.
func dataSocket(act string, do func(net.Conn, []byte) error) string {
	folder := os.Getenv("PLUGIN_UNIX_SOCKET_DIR")
	own := filepath.Join(folder, fmt.Sprintf("data%d", os.Getpid()))
	switch act {
	case "data-nobody":
		return own
	case "data-sibling":
		return sibling(folder)
	case "data-outside":
		own = filepath.Join(filepath.Dir(folder), filepath.Base(own))
		removeAtEnd.Store(own)
	}
	listener, err := net.Listen("unix", own)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go serveData(listener, do)
	return own
}

// sibling returns the socket of another plugin of the host, or, where there is none, its
// own.
func sibling(folder string) string {
	own := filepath.Join(folder, fmt.Sprintf("plugin%d", os.Getpid()))
	all, _ := filepath.Glob(filepath.Join(folder, "plugin*")) // the pattern is sound
	for _, socket := range all {
		if socket != own {
			return socket
		}
	}
	return own
}

// removeAtEnd is the path of a socket that nobody else removes.
var removeAtEnd atomic.Value

func serveData(l net.Listener, do func(net.Conn, []byte) error) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			for {
				header := make([]byte, 16)
				if _, err := io.ReadFull(c, header); err != nil {
					return
				}
				if _, err := io.CopyN(io.Discard, c, int64(binary.LittleEndian.Uint32(header))); err != nil {
					return
				}
				if do(c, header) != nil {
					return
				}
			}
		}()
	}
}

func call(header []byte) uint64 { return binary.LittleEndian.Uint64(header[8:]) }

// announced returns the header of an answer of so many bytes.
func announced(call uint64, size int) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(size))
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(b, 2), call)
}

func answer(call uint64, b []byte) []byte { return append(announced(call, len(b)), b...) }

func says(c net.Conn, all ...[]byte) error {
	for _, b := range all {
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// lyingCounts is an answer that says of all it counts that there is as much as it has
// room for.
func lyingCounts() []byte {
	b := make([]byte, 1<<19)
	for i := 0; i < len(b); i += 4 {
		binary.LittleEndian.PutUint32(b[i:], uint32(len(b)/24))
	}
	return b
}

// endlessAnswers answers a call, and whatever else, for as long as the host takes it.
func endlessAnswers(c net.Conn, header []byte) error {
	for n := call(header); ; n++ {
		if err := says(c, answer(n, make([]byte, 1<<19))); err != nil {
			return err
		}
	}
}

// dripsAnswer sends an answer so slowly that it never comes to an end.
func dripsAnswer(c net.Conn, header []byte) error {
	for b := answer(call(header), make([]byte, 1<<19)); ; b = b[1:] {
		if err := says(c, b[:1]); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}
