package sdk

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
)

// A link that breaks under a process that lives on is told of, once; one that ends with
// its process is not.
func TestOnlyALinkThatBreaksAloneIsLogged(t *testing.T) {
	for name, tt := range map[string]struct {
		dies, leaves bool
		lines        int
	}{
		"it breaks":                     {false, false, 1},
		"its process is asked to leave": {false, true, 0},
		"its process dies":              {true, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, plugin := sockets(t)
			l := newLink(host, planeLimit)
			p := &Process[Sink]{done: make(chan struct{}), link: l}
			p.leaving.Store(tt.leaves)
			if !p.OverDataSocket() {
				t.Error("it is not called over a data socket that is whole")
			}
			_ = plugin.Close()
			inTime(t, "the end of the link", l.broken)
			if tt.dies {
				close(p.done)
			}
			var log bytes.Buffer
			p.follow(l, slog.New(slog.NewTextHandler(&log, nil)).With("plugin", "carbon"))
			if got := strings.Count(log.String(), "level=WARN"); got != tt.lines || got != strings.Count(log.String(), "\n") {
				t.Errorf("%d lines, want %d: %s", got, tt.lines, &log)
			}
			if tt.lines > 0 && (!strings.Contains(log.String(), "plugin=carbon") || !strings.Contains(log.String(), "EOF")) {
				t.Errorf("it does not say whose, and why: %s", &log)
			}
			if p.OverDataSocket() || !errors.Is(l.why, io.EOF) {
				t.Errorf("it has broken of %v", l.why)
			}
		})
	}
}

func TestALinkEndsWithItsProcess(t *testing.T) {
	host, _ := sockets(t) // whose other end somebody else holds
	l := newLink(host, planeLimit)
	p := &Process[Sink]{done: make(chan struct{}), link: l}
	close(p.done)
	p.follow(l, slog.New(slog.DiscardHandler))
	if inTime(t, "the end of the link", l.broken); l.why != errEnded {
		t.Errorf("it has broken of %v", l.why)
	}
}
