package web

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewAdmin returns the handler of the admin listener. missing returns the names
// of the plugins without which the server is not ready.
func NewAdmin(metrics prometheus.Gatherer, missing func() []string) http.Handler {
	router := mux.NewRouter()
	get := func(path string, serve http.HandlerFunc) { router.Handle(path, methods{http.MethodGet: serve}) }
	get("/health", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	get("/ready", func(w http.ResponseWriter, _ *http.Request) {
		if names := missing(); len(names) > 0 {
			http.Error(w, "not open: "+strings.Join(names, ", "), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	get("/metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}).ServeHTTP)
	return router
}
