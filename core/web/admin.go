package web

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"fluxgate/core/flow"
	"fluxgate/sdk"
)

// An Admin is what the admin listener shows and does.
type Admin struct {
	Metrics prometheus.Gatherer
	Missing func() []string // names the plugins without which the server is not ready
	// Plugins tells how each plugin is, as JSON. What is the matter with one may quote
	// its settings, and is for who bears the token.
	Plugins func(token bool) any
	Token   string // what a request that changes something must bear
	// Retry delivers the dead letters of a sink again. Its result is told as JSON,
	// also with an error.
	Retry func(ctx context.Context, sink string) (any, error)
	// Guarded are served to requests with the token.
	Guarded Endpoints
}

// NewAdmin returns the handler of the admin listener.
func NewAdmin(a Admin) http.Handler {
	router := mux.NewRouter()
	get := func(path string, serve http.HandlerFunc) { router.Handle(path, methods{http.MethodGet: serve}) }
	get("/health", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	get("/ready", func(w http.ResponseWriter, _ *http.Request) {
		if names := a.Missing(); len(names) > 0 {
			http.Error(w, "not open: "+strings.Join(names, ", "), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	get("/plugins", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(a.Plugins(a.borne(r))) // who asked may be gone
	})
	get("/metrics", promhttp.HandlerFor(a.Metrics, promhttp.HandlerOpts{}).ServeHTTP)
	var guarded paths
	guarded.add("POST /dead/{sink}/retry", a.guard(a.retry))
	for _, route := range slices.Sorted(maps.Keys(a.Guarded)) {
		guarded.add(route, a.guard(ask(route, a.Guarded[route])))
	}
	for _, p := range guarded {
		router.Handle(p.path, p.methods)
	}
	return router
}

// guard lets requests with the token pass.
func (a Admin) guard(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.borne(r) {
			http.Error(w, "the token of this server is needed, as Authorization: Bearer", http.StatusUnauthorized)
			return
		}
		serve(w, r)
	}
}

// borne reports whether a request bears the token.
func (a Admin) borne(r *http.Request) bool {
	token, bears := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return bears && a.Token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(a.Token)) == 1
}

// maxAsked is the longest body that an endpoint of the admin listener takes, in
// bytes.
const maxAsked = 1 << 20

// ask serves an endpoint.
func ask(route string, do Endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var answer flow.Answer
		body, err := readAsked(w, r)
		if err == nil {
			answer, err = named(do)(r, body)
		}
		if err != nil {
			answer = refusal(err)
			logRefusal(r.Context(), route, answer.Status, err)
		}
		writeAnswer(w, answer)
	}
}

func readAsked(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAsked))
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return nil, fmt.Errorf("%w: at most %d bytes", errTooLarge, large.Limit)
	}
	if err != nil {
		return nil, sdk.Invalidf("the body did not arrive whole")
	}
	return body, nil
}

// An AdminResult is what an action answers.
type AdminResult struct {
	Result any    `json:"result"`
	Error  string `json:"error,omitempty"`
}

// retry may take longer than other requests, for as long as who asked is there.
func (a Admin) retry(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // what cannot has none
	result, err := a.Retry(r.Context(), mux.Vars(r)["sink"])
	answer, status := AdminResult{Result: result}, http.StatusOK
	if err != nil {
		answer.Error, status = err.Error(), http.StatusServiceUnavailable
		if errors.Is(err, sdk.ErrInvalid) {
			status = http.StatusNotFound
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // who asked may be gone
}
