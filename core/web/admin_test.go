package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

func TestAdmin(t *testing.T) {
	metrics := prometheus.NewRegistry()
	promauto.With(metrics).NewCounter(prometheus.CounterOpts{Name: "fluxgate_it_total", Help: "It."}).Inc()
	var missing []string
	admin := NewAdmin(metrics, func() []string { return missing })
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
		{method: "GET", path: "/", status: 404},
		{method: "GET", path: "/metric_data", status: 404},
		{method: "GET", path: "/health/", status: 404},
		{method: "POST", path: "/health", status: 405},
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
