package web

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"fluxgate/core/flow"
	"fluxgate/sdk"
)

// tells answers with the route's braces and the body.
func tells(r *http.Request, body []byte) (flow.Answer, error) {
	return flow.Answer{Status: http.StatusAccepted, Body: fmt.Appendf(nil, `%q`, r.PathValue("id")+"|"+string(body))}, nil
}

// fails answers with the error that its route's id names.
func fails(r *http.Request, _ []byte) (flow.Answer, error) {
	return flow.Answer{}, map[string]error{
		"key": flow.ErrKey, "missing": fmt.Errorf(`%w: there is no job "1"`, ErrNotFound), "invalid": sdk.Invalidf("not so"),
		"busy": sdk.Unavailablef("later"), "other": errors.New("a secret"),
	}[r.PathValue("id")]
}

func testEndpoints() Endpoints {
	return Endpoints{"POST /jobs": tells, "GET /jobs/{id}": tells, "POST /jobs/{id}/cancel": tells, "GET /fail/{id}": fails, "POST /both": tells}
}

func TestEndpoints(t *testing.T) {
	tests := []struct {
		request, body string
		status        int
		answer        string
	}{
		{"POST /jobs", "it", 202, `"|it"`},
		{"POST /flux/jobs", "it", 202, `"|it"`},
		{"GET /jobs/7", "", 202, `"7|"`},
		{"GET //flux//jobs/7", "", 202, `"7|"`},
		{"GET /jobs/a%20b", "", 202, `"a b|"`},
		{"POST /flux/jobs/7/cancel", "", 202, `"7|"`},
		{"GET /jobs/7/cancel", "", 405, `{"title": "405 Method Not Allowed"}`},
		{"GET /jobs", "", 405, `{"title": "405 Method Not Allowed"}`},
		{"GET /jobs/", "", 404, `{"title": "404 Not Found"}`},
		{"GET /jobs/7/8", "", 404, `{"title": "404 Not Found"}`},
		{"POST /jobs", strings.Repeat("x", 101), 413, `{"code": 413, "message": "the request is too large: at most 100 bytes, also when unpacked"}`},
		{"GET /fail/key", "", 401, `{"code": 401, "message": "invalid key"}`},
		{"GET /fail/missing", "", 404, `{"code": 404, "message": "there is no job \"1\""}`},
		{"GET /fail/invalid", "", 400, `{"code": 400, "message": "not so"}`},
		{"GET /fail/busy", "", 503, `{"code": 503, "message": "later"}`},
		{"GET /fail/other", "", 500, `{"code": 500, "message": "the server could not work on the request"}`},
		{"POST /both", "", 202, `"|"`},
		{"GET /both", "", 204, ""}, // of an input
	}
	door := NewDoor(road(keeps), fluxInputs(), testEndpoints(), Limits{Body: 100, Inflight: 1 << 20}, prometheus.NewRegistry())
	for _, tt := range tests {
		method, target, _ := strings.Cut(tt.request, " ")
		w, r := httptest.NewRecorder(), httptest.NewRequest(method, target, strings.NewReader(tt.body))
		door.ServeHTTP(w, r)
		if w.Code != tt.status || w.Body.String() != tt.answer {
			t.Errorf("%s: answered %d %s, want %d %s", tt.request, w.Code, w.Body, tt.status, tt.answer)
		}
		if retry := w.Header().Get("Retry-After"); (retry != "") != (tt.status == 503) {
			t.Errorf("%s: Retry-After is %q", tt.request, retry)
		}
	}
}

func TestEndpointsStayWhenInputsChange(t *testing.T) {
	door := NewDoor(road(keeps), fluxInputs(), testEndpoints(), ample, prometheus.NewRegistry())
	door.Change(nil, ample)
	w := httptest.NewRecorder()
	door.ServeHTTP(w, httptest.NewRequest("GET", "/jobs/7", nil))
	if w.Code != http.StatusAccepted {
		t.Errorf("answered %d", w.Code)
	}
}

func TestEndpointGetsItsBodyUnpacked(t *testing.T) {
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, _ = zip.Write([]byte("it")) // into memory
	_ = zip.Close()
	r := httptest.NewRequest("POST", "/jobs", &packed)
	r.Header.Set("Content-Encoding", "gzip")
	w := httptest.NewRecorder()
	NewDoor(road(keeps), nil, testEndpoints(), ample, prometheus.NewRegistry()).ServeHTTP(w, r)
	if w.Body.String() != `"|it"` {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
}

func TestRequestsOfEndpointsAreCountedByTheirRoute(t *testing.T) {
	metrics := prometheus.NewRegistry()
	door := NewDoor(road(keeps), nil, testEndpoints(), ample, metrics)
	for _, id := range []string{"1", "2", "flux"} {
		door.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/flux/jobs/"+id, nil))
	}
	want := `
# HELP fluxgate_requests_total Requests by route and status.
# TYPE fluxgate_requests_total counter
fluxgate_requests_total{code="202",route="GET /jobs/{id}"} 3
`
	if err := testutil.GatherAndCompare(metrics, strings.NewReader(want), "fluxgate_requests_total"); err != nil {
		t.Error(err)
	}
}

func TestGuardedEndpoints(t *testing.T) {
	admin := NewAdmin(Admin{Token: "secret", Guarded: testEndpoints()})
	tests := []struct {
		request, authorization, body string
		status                       int
		answer                       string
	}{
		{"POST /jobs", "Bearer secret", "it", 202, `"|it"`},
		{"GET /jobs/7", "Bearer secret", "", 202, `"7|"`},
		{"GET /jobs/7", "Bearer secre", "", 401, "the token of this server is needed, as Authorization: Bearer\n"},
		{"POST /jobs", "", "it", 401, "the token of this server is needed, as Authorization: Bearer\n"},
		{"GET /fail/missing", "Bearer secret", "", 404, `{"code": 404, "message": "there is no job \"1\""}`},
		{"POST /jobs", "Bearer secret", strings.Repeat("x", maxAsked+1), 413, `{"code": 413, "message": "the request is too large: at most 1048576 bytes"}`},
		{"PUT /jobs", "Bearer secret", "", 405, `{"title": "405 Method Not Allowed"}`},
		{"POST /dead/x/retry", "", "", 401, "the token of this server is needed, as Authorization: Bearer\n"},
	}
	for _, tt := range tests {
		method, target, _ := strings.Cut(tt.request, " ")
		w, r := httptest.NewRecorder(), httptest.NewRequest(method, target, strings.NewReader(tt.body))
		r.Header.Set("Authorization", tt.authorization)
		admin.ServeHTTP(w, r)
		if w.Code != tt.status || w.Body.String() != tt.answer {
			t.Errorf("%s: answered %d %s, want %d %s", tt.request, w.Code, w.Body, tt.status, tt.answer)
		}
	}
}
