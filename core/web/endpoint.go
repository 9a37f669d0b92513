package web

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"

	"fluxgate/core/flow"
)

// An Endpoint answers a request that brings no datapoints. Its body is whole and
// unpacked. What the route has in braces is r's PathValue.
type Endpoint func(r *http.Request, body []byte) (flow.Answer, error)

// Endpoints are served by their routes, such as "GET /jobs/{id}".
type Endpoints map[string]Endpoint

// ErrNotFound means that a request asks for something that does not exist, as far
// as who asks may know. Its text is not told.
var ErrNotFound = errors.New("not found")

// named gives do what the path of a request has in the place of braces.
func named(do Endpoint) Endpoint {
	return func(r *http.Request, body []byte) (flow.Answer, error) {
		for name, value := range mux.Vars(r) {
			r.SetPathValue(name, value)
		}
		return do(r, body)
	}
}

// paths are served in their order.
type paths []path

// A path is served by its methods.
type path struct {
	path    string
	methods methods
}

// add has a route served.
func (p *paths) add(route string, serve http.HandlerFunc) {
	method, name, _ := strings.Cut(route, " ")
	i := slices.IndexFunc(*p, func(other path) bool { return other.path == name })
	if i < 0 {
		i = len(*p)
		*p = append(*p, path{name, make(methods)})
	}
	(*p)[i].methods[method] = serve
}
