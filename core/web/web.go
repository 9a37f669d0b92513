// Package web is Fluxgate's HTTP face: it turns requests into calls of package
// flow, and what they return into status codes.
package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"fluxgate/core/flow"
	"fluxgate/sdk"
)

// An Accepter takes what a request brings.
type Accepter interface {
	Accept(context.Context, sdk.Input, sdk.Request) (flow.Answer, error)
}

// An Input is an input plugin and its routes, each a method and a path such as
// "POST /metric_data_post".
type Input struct {
	sdk.Input
	Routes []string
}

// A Door is the public handler: every route of every input and every endpoint,
// with and without /flux before it.
type Door struct {
	road      Accepter
	endpoints Endpoints
	routes    atomic.Pointer[http.Handler]
	budget    budget
	maxBody   atomic.Int64
	requests  *prometheus.CounterVec
}

// Limits bound what senders can make the server hold, in bytes.
type Limits struct {
	Body     int64 // of one request, also when unpacked
	Inflight int64 // of all requests that are being worked on
}

// NewDoor returns the public handler.
func NewDoor(road Accepter, inputs []Input, endpoints Endpoints, limits Limits, metrics prometheus.Registerer) *Door {
	d := &Door{
		road: road, endpoints: endpoints,
		requests: promauto.With(metrics).NewCounterVec(prometheus.CounterOpts{
			Name: "fluxgate_requests_total", Help: "Requests by route and status.",
		}, []string{"route", "code"}),
	}
	promauto.With(metrics).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "fluxgate_inflight_bytes", Help: "Bytes of the requests that are being worked on.",
	}, func() float64 { return float64(d.budget.used.Load()) })
	d.Change(inputs, limits)
	return d
}

// Change has the requests that come from now on served by inputs, within limits.
func (d *Door) Change(inputs []Input, limits Limits) {
	d.maxBody.Store(limits.Body)
	d.budget.limit.Store(limits.Inflight)
	var served paths // the router looks through them one by one: those of inputs first
	for _, in := range inputs {
		for _, route := range in.Routes {
			served.add(route, d.submit(in.Input, route))
		}
	}
	for _, route := range slices.Sorted(maps.Keys(d.endpoints)) {
		served.add(route, d.answer(route, whole(named(d.endpoints[route]))))
	}
	router := mux.NewRouter().SkipClean(true)
	for _, p := range served {
		router.Handle(p.path, p.methods)
		router.Handle("/flux"+p.path, p.methods)
	}
	router.NotFoundHandler = http.HandlerFunc(notFound)
	routes := toTheEnd(oneSlash(router))
	d.routes.Store(&routes)
}

// ServeHTTP implements [http.Handler].
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) { (*d.routes.Load()).ServeHTTP(w, r) }

// toTheEnd reads a body whose answer came before its end, and throws it away,
// for as long as Serve gives the request. Most senders, proxies among them, look
// for an answer only when they have sent everything, and would find the
// connection reset in its place.
func toTheEnd(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		if r.Body == http.NoBody {
			return
		}
		_ = http.NewResponseController(w).Flush() // the sender may be gone
		_, _ = io.Copy(io.Discard, r.Body)
	})
}

// oneSlash takes several slashes before an element of the path for one, as a
// proxy that strips a prefix may send them. Those at the end stay.
func oneSlash(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "//") {
			r.URL.Path = squeeze(r.URL.Path)
		}
		next.ServeHTTP(w, r)
	})
}

func squeeze(path string) string {
	trimmed := strings.TrimRight(path, "/")
	end := path[len(trimmed):]
	for strings.Contains(trimmed, "//") {
		trimmed = strings.ReplaceAll(trimmed, "//", "/")
	}
	return trimmed + end
}

// methods serves one path.
type methods map[string]http.HandlerFunc

func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if serve := m[r.Method]; serve != nil {
		serve(w, r)
		return
	}
	names := slices.Sorted(maps.Keys(m))
	if r.Method == http.MethodOptions {
		w.Header().Set("Allow", strings.Join(names, ", "))
		writeAnswer(w, flow.Answer{Status: http.StatusOK})
		return
	}
	w.Header().Set("Allow", strings.Join(append(names, http.MethodOptions), ", "))
	writeTitle(w, http.StatusMethodNotAllowed)
}

func notFound(w http.ResponseWriter, _ *http.Request) { writeTitle(w, http.StatusNotFound) }

// submit serves one route of an input.
func (d *Door) submit(in sdk.Input, route string) http.HandlerFunc {
	return d.answer(route, func(r *http.Request, body []byte) (flow.Answer, error) {
		return d.road.Accept(kept(r), in, sdk.Request{
			Route: route, Method: r.Method, Query: r.URL.RawQuery, Header: r.Header, Body: body,
		})
	})
}

// kept returns the context of a request that has arrived whole and is worked on to
// its end. The sender may be gone, or may only have said that nothing more comes:
// net/http cancels for both.
func kept(r *http.Request) context.Context { return context.WithoutCancel(r.Context()) }

// whole gives an endpoint a request with the context of one that is worked on to its
// end, and a body that it may keep.
func whole(do Endpoint) Endpoint {
	return func(r *http.Request, body []byte) (flow.Answer, error) {
		return do(r.WithContext(kept(r)), bytes.Clone(body))
	}
}

// answer serves one route. The room of the body is used again afterwards.
func (d *Door) answer(route string, do Endpoint) http.HandlerFunc {
	answered := newTally(d.requests, route)
	return func(w http.ResponseWriter, r *http.Request) {
		held := d.budget.hold()
		defer held.release()
		answer, err := d.arrive(r, do, held)
		if err != nil {
			answer = refusal(err)
		}
		logRefusal(r.Context(), route, answer.Status, err)
		answered.count(answer.Status)
		writeAnswer(w, answer)
	}
}

// arrive has a request worked on, whose body is in what is held.
func (d *Door) arrive(r *http.Request, do Endpoint, held *share) (flow.Answer, error) {
	body, err := d.read(r, held)
	if err != nil {
		return flow.Answer{}, err
	}
	return do(r, body)
}

// refusal maps what the road says to what the sender is told. It is the only
// place where an error becomes a status.
func refusal(err error) flow.Answer {
	switch {
	case errors.Is(err, flow.ErrKey):
		return message(http.StatusUnauthorized, "invalid key")
	case errors.Is(err, ErrNotFound):
		return message(http.StatusNotFound, strings.TrimPrefix(err.Error(), ErrNotFound.Error()+": "))
	case errors.Is(err, sdk.ErrInvalid):
		return message(http.StatusBadRequest, strings.TrimPrefix(err.Error(), sdk.ErrInvalid.Error()+": "))
	case errors.Is(err, errTooLarge):
		return message(http.StatusRequestEntityTooLarge, err.Error())
	case errors.Is(err, errSlow):
		return message(http.StatusRequestTimeout, err.Error())
	case errors.Is(err, sdk.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return message(http.StatusServiceUnavailable, strings.TrimPrefix(err.Error(), sdk.ErrUnavailable.Error()+": "))
	default:
		return message(http.StatusInternalServerError, "the server could not work on the request")
	}
}

// logRefusal logs what is no fault of the sender's.
func logRefusal(ctx context.Context, route string, status int, err error) {
	if status >= 500 {
		slog.Log(ctx, level(status), "request refused", "route", route, "status", status, "err", err)
	}
}

// level is that of the log line about a status: 503 is counted and said where
// it arises, and would be said for each request here.
func level(status int) slog.Level {
	if status == http.StatusServiceUnavailable {
		return slog.LevelDebug
	}
	return slog.LevelError
}

// maxMessage bounds what a refusal quotes, in bytes.
const maxMessage = 8 << 10

// message is a refusal in the form that Flux gives it.
func message(status int, text string) flow.Answer {
	if len(text) > maxMessage {
		text = text[:maxMessage] + "..."
	}
	quoted, err := json.Marshal(strings.ToValidUTF8(text, "\ufffd"))
	if err != nil {
		panic(err) // a text is always JSON
	}
	return flow.Answer{Status: status, Body: fmt.Appendf(nil, `{"code": %d, "message": %s}`, status, quoted)}
}

// retryAfter is what a sender is asked to wait after a 503, in seconds.
const retryAfter = "5"

func writeAnswer(w http.ResponseWriter, a flow.Answer) {
	if a.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	if a.Status == http.StatusNoContent {
		w.WriteHeader(a.Status)
		return
	}
	if len(a.Body) > 0 {
		w.Header().Set("Content-Type", "application/json")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // the sender may be gone
}

// writeTitle writes a refusal of the framework.
func writeTitle(w http.ResponseWriter, status int) {
	writeAnswer(w, flow.Answer{
		Status: status, Body: fmt.Appendf(nil, `{"title": "%d %s"}`, status, http.StatusText(status)),
	})
}
