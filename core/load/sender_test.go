package load

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

type connection interface {
	io.Writer
	SetLinger(int) error
}

// hijacked returns a server that closes the connection of each request, after end.
func hijacked(t *testing.T, end func(connection)) string {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		end(conn.(connection))
		conn.Close()
	})
}

func TestConnectionsThatTheServerCloses(t *testing.T) {
	for _, tt := range []struct {
		name     string
		end      func(connection)
		answered int64
		failure  string
		reopened int64
	}{
		{"reset", func(c connection) { _ = c.SetLinger(0) }, 0, "reset", 0},
		{"closed without an answer", func(connection) {}, 0, "closed", 0},
		{"half an answer", func(c connection) { _, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\nDa") }, 0, "closed", 0},
		{"no HTTP", func(c connection) { _, _ = io.WriteString(c, "220 mail.example.org ESMTP\r\n\r\n") }, 0, "malformed", 0},
		{"of old", func(c connection) {
			_, _ = io.WriteString(c, "HTTP/1.0 204 No Content\r\n\r\n")
		}, 40, "", 40},
		{"announced", func(c connection) {
			_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\nconnection: Close\r\n\r\n")
		}, 40, "", 40},
		{"unannounced", func(c connection) {
			_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
		}, 40, "", 36},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := mustRun(t, usual(hijacked(t, tt.end)))
			failed := int64(40) - tt.answered
			if r.Statuses[204] != tt.answered || r.Failures[tt.failure] != failed || r.Reopened < tt.reopened || r.Reopened > tt.answered {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestHTTPSWithAPassword(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "telegraf" || password != "a secret" {
			t.Errorf("user %q, password %q", user, password)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(server.Close)
	c := usual(strings.Replace(server.URL, "https://", "https://telegraf:a%20secret@", 1))
	if _, err := Run(t.Context(), c, func(Progress) {}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of nobody: %v", err)
	}
	c.Roots = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	if r := mustRun(t, c); r.Statuses[204] != 40 || strings.Contains(r.URL, "secret") {
		t.Errorf("%+v", r)
	}
}

func TestNobodyListens(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	c := usual(server.URL)
	if _, err := Run(t.Context(), c, nil); err == nil || !strings.Contains(err.Error(), "is it running?") {
		t.Errorf("%v", err)
	}
}

func TestWaitsOfThoseGivenUpCount(t *testing.T) {
	c, long := newTally(), time.Now().Add(-time.Minute)
	c.failed(os.ErrDeadlineExceeded, long)
	c.unsent([]time.Time{long, long})
	c.failed(io.EOF, long)
	if n, least := c.waits.TotalCount(), c.waits.Min(); n != 3 || least < 59_000_000 || c.bad != 4 {
		t.Errorf("%d waits from %d us on, of %d requests: want those of the three that were given up", n, least, c.bad)
	}
}
