package carbon

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// BenchmarkSend delivers the bytes of 65,000 datapoints, acknowledged, on a fresh
// connection each time, in relation to writing them to one that stays open. The
// pace is not kept.
func BenchmarkSend(b *testing.B) {
	payload := make([]byte, 65_000*67)
	address, done := discarding(b)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	s := newSender(address)
	s.pace.SetLimit(1e9)
	var raw, sent time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := conn.Write(payload); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		if err := s.Send(b.Context(), payload); err != nil {
			b.Fatal(err)
		}
		raw += middle.Sub(start)
		sent += time.Since(middle)
	}
	conn.Close()
	done()
	b.ReportMetric(float64(b.N)*65_000/sent.Seconds(), "datapoints/s")
	b.ReportMetric(raw.Seconds()/sent.Seconds(), "of-ready")
}

// discarding returns an address whose connections are read to their ends, and what
// to call when no more will be made.
func discarding(b *testing.B) (address string, done func()) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			reading.Go(func() {
				buf := make([]byte, 256<<10)
				_, _ = io.CopyBuffer(io.Discard, struct{ io.Reader }{c}, buf)
				c.Close()
			})
		}
	})
	return l.Addr().String(), func() {
		l.Close()
		reading.Wait()
	}
}
