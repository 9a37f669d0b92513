package plugintest

import (
	"context"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"
)

// hearing is how long is waited for what a plugin may have said.
const hearing = 100 * time.Millisecond

// spoken is what a plugin has written to standard output behind the handshake: to
// the file descriptor itself, or to what go-plugin has put in its place, which it
// sends in a stream.
type spoken struct {
	mu    sync.Mutex
	words []byte
	heard chan struct{} // closed with the first word; nil: nobody waits
}

func (s *spoken) add(words []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.words = append(s.words, words...)
	if s.heard != nil && len(s.words) > 0 {
		close(s.heard)
		s.heard = nil
	}
}

// listen adds what comes from a pipe until its end.
func (s *spoken) listen(from io.Reader) {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		s.add(buffer[:n])
		if err != nil {
			return
		}
	}
}

// A raw is the bytes of a message.
type raw []byte

// A rawCodec passes a raw, and marshals a call without content.
type rawCodec struct{}

func (rawCodec) Name() string                { return "proto" }
func (rawCodec) Marshal(any) ([]byte, error) { return nil, nil }
func (rawCodec) Unmarshal(data []byte, into any) error {
	*into.(*raw) = append(raw(nil), data...)
	return nil
}

// follow adds what comes in go-plugin's stream until the connection ends. Not
// every plugin serves it.
func (s *spoken) follow(conn *grpc.ClientConn) {
	stream, err := conn.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true},
		"/plugin.GRPCStdio/StreamStdio", grpc.ForceCodec(rawCodec{}))
	if err != nil || stream.SendMsg(&emptypb.Empty{}) != nil || stream.CloseSend() != nil {
		return
	}
	go func() {
		for {
			var message raw
			if stream.RecvMsg(&message) != nil {
				return
			}
			s.add(output(message))
		}
	}()
}

// output returns the data of a message of the stream, if it is standard output:
// its field 1 is the channel, 1 for that, and field 2 the data.
func output(message raw) (data []byte) {
	const channel, bytes, standardOutput = 1, 2, 1
	ours := false
	for len(message) > 0 {
		field, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil
		}
		message = message[n:]
		switch {
		case field == channel && kind == protowire.VarintType:
			value, _ := protowire.ConsumeVarint(message)
			ours = value == standardOutput
		case field == bytes && kind == protowire.BytesType:
			data, _ = protowire.ConsumeBytes(message)
		}
		if n = protowire.ConsumeFieldValue(field, kind, message); n < 0 {
			return nil
		}
		message = message[n:]
	}
	if !ours {
		return nil
	}
	return data
}

// text returns what was said, or is within d.
func (s *spoken) text(d time.Duration) string {
	s.mu.Lock()
	if len(s.words) == 0 {
		heard := make(chan struct{})
		s.heard = heard
		s.mu.Unlock()
		select {
		case <-heard:
		case <-time.After(d):
		}
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	return string(s.words)
}
