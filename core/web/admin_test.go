package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"fluxgate/sdk"
)

func TestPluginsAreToldAsTheTokenIsBorne(t *testing.T) {
	admin := NewAdmin(Admin{Plugins: func(token bool) any { return token }, Token: "t"})
	for header, want := range map[string]string{"": "false", "Bearer t": "true", "Bearer u": "false", "t": "false"} {
		r, w := httptest.NewRequest("GET", "/plugins", nil), httptest.NewRecorder()
		r.Header.Set("Authorization", header)
		if admin.ServeHTTP(w, r); strings.TrimSpace(w.Body.String()) != want {
			t.Errorf("%q: told %s, want %s", header, w.Body, want)
		}
	}
}

func TestAdmin(t *testing.T) {
	metrics := prometheus.NewRegistry()
	promauto.With(metrics).NewCounter(prometheus.CounterOpts{Name: "fluxgate_it_total", Help: "It."}).Inc()
	var missing []string
	admin := NewAdmin(Admin{Metrics: metrics, Missing: func() []string { return missing }, Plugins: func(token bool) any { return []bool{token} }, Token: "t"})
	tests := []struct {
		method, path string
		missing      []string
		status       int
		body         string // is part of it
	}{
		{method: "GET", path: "/health", status: 200, body: "ok\n"},
		{method: "GET", path: "/health", missing: []string{"carbon"}, status: 200, body: "ok\n"},
		{method: "GET", path: "/ready", status: 200, body: "ready\n"},
		{method: "GET", path: "/ready", missing: []string{"carbon", "flux"}, status: 503, body: "not open: carbon, flux\n"},
		{method: "GET", path: "/metrics", missing: []string{"carbon"}, status: 200, body: "\nfluxgate_it_total 1\n"},
		{method: "GET", path: "/plugins", status: 200, body: `[false]`},
		{method: "POST", path: "/plugins", status: 405},
		{method: "GET", path: "/", status: 404},
		{method: "GET", path: "/metric_data", status: 404},
		{method: "GET", path: "/health/", status: 404},
		{method: "POST", path: "/health", status: 405},
		{method: "POST", path: "/dead/carbon/retry", status: 401, body: "the token of this server is needed"},
		{method: "HEAD", path: "/ready", status: 405},
		{method: "DELETE", path: "/metrics", status: 405},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			missing = tt.missing
			w := httptest.NewRecorder()
			admin.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.body) {
				t.Errorf("answered %d %q, want %d %q", w.Code, w.Body, tt.status, tt.body)
			}
			if w.Code == http.StatusMethodNotAllowed && w.Header().Get("Allow") != "GET, OPTIONS" {
				t.Errorf("Allow is %q", w.Header().Get("Allow"))
			}
		})
	}
}

func TestRetryOfDeadLetters(t *testing.T) {
	admin := NewAdmin(Admin{Token: "secret", Retry: func(_ context.Context, sink string) (any, error) {
		switch sink {
		case "carbon":
			return 3, nil
		case "away":
			return 1, sdk.Unavailablef("carbon is down")
		}
		return 0, sdk.Invalidf("there is no sink %q", sink)
	}})
	tests := []struct {
		sink, authorization string
		status              int
		body                string
	}{
		{"carbon", "Bearer secret", 200, `{"result":3}`},
		{"away", "Bearer secret", 503, `{"result":1,"error":"unavailable: carbon is down"}`},
		{"other", "Bearer secret", 404, `{"result":0,"error":"invalid: there is no sink \"other\""}`},
		{"carbon", "Bearer secre", 401, ""},
		{"carbon", "secret", 401, ""},
		{"carbon", "Bearer ", 401, ""},
		{"carbon", "", 401, ""},
	}
	for _, tt := range tests {
		w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "/dead/"+tt.sink+"/retry", nil)
		r.Header.Set("Authorization", tt.authorization)
		admin.ServeHTTP(w, r)
		if w.Code != tt.status || tt.body != "" && strings.TrimSpace(w.Body.String()) != tt.body {
			t.Errorf("%s with %q: answered %d %s, want %d %s", tt.sink, tt.authorization, w.Code, w.Body, tt.status, tt.body)
		}
	}
}

// Many dead letters, or a slow sink, take longer than any other request may, and then
// the result is told. A connection that is kept has the times of any other again.
func TestRetryHasItsTime(t *testing.T) {
	admin := NewAdmin(Admin{Token: "secret", Retry: func(ctx context.Context, _ string) (any, error) {
		select {
		case <-time.After(time.Hour):
			return 3, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}})
	serveInBubble(t, admin, func(t *testing.T, dial func() client, _ func() error) {
		c := dial()
		for _, length := range []string{"", "Content-Length: 0\r\n"} {
			c.send("POST /dead/carbon/retry HTTP/1.1\r\nHost: it\r\nAuthorization: Bearer secret\r\n" + length + "\r\n")
			if got := c.answer("POST"); got.StatusCode != 200 || strings.TrimSpace(got.body) != `{"result":3}` {
				t.Errorf("answered %d %s", got.StatusCode, got.body)
			}
		}
		began := time.Now()
		c.ended()
		took(t, began, idleTime)
	})
}

func TestRetryEndsWithWhoAsked(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	address := serve(t, NewAdmin(Admin{Token: "secret", Retry: func(ctx context.Context, _ string) (any, error) {
		close(began)
		<-ctx.Done()
		close(ended)
		return 0, ctx.Err()
	}}))
	c := dial(t, address)
	c.send("POST /dead/carbon/retry HTTP/1.1\r\nHost: it\r\nAuthorization: Bearer secret\r\n\r\n")
	<-began
	c.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the retry goes on")
	}
}
