package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"fluxgate/core/flow"
	"fluxgate/sdk"
)

// A road is an Accepter that does as the test says.
type road func(context.Context, sdk.Request) (flow.Answer, error)

func (f road) Accept(ctx context.Context, _ sdk.Input, r sdk.Request) (flow.Answer, error) {
	return f(ctx, r)
}

// stored is the answer to a request whose datapoints are kept.
var stored = flow.Answer{Status: http.StatusNoContent}

func keeps(context.Context, sdk.Request) (flow.Answer, error) { return stored, nil }

// ample are limits that no test reaches by chance.
var ample = Limits{Body: 1 << 20, Inflight: 1 << 24}

// fluxInputs are the routes of Flux, and a path that two inputs share.
func fluxInputs() []Input {
	return []Input{
		{Routes: []string{"GET /metric_data", "POST /metric_data_post"}},
		{Routes: []string{"PUT /both", "DELETE /other"}},
		{Routes: []string{"GET /both", "POST /api/v1/write"}},
	}
}

func newTestDoor(f road, limits Limits) http.Handler {
	return NewDoor(f, fluxInputs(), nil, limits, prometheus.NewRegistry())
}

func TestRoutes(t *testing.T) {
	const (
		noSuchPath   = `{"title": "404 Not Found"}`
		noSuchMethod = `{"title": "405 Method Not Allowed"}`
	)
	tests := []struct {
		request string // its method and its target
		status  int
		allow   string
		body    string
		route   string // that the road is told; empty: it is not called
	}{
		{"GET /metric_data", 204, "", "", "GET /metric_data"},
		{"GET /metric_data?a=b//c", 204, "", "", "GET /metric_data"},
		{"GET /flux/metric_data", 204, "", "", "GET /metric_data"},
		{"POST /metric_data_post", 204, "", "", "POST /metric_data_post"},
		{"POST /flux/metric_data_post", 204, "", "", "POST /metric_data_post"},
		{"POST /api/v1/write", 204, "", "", "POST /api/v1/write"},
		{"POST /flux/api/v1/write", 204, "", "", "POST /api/v1/write"},
		{"GET http://elsewhere.example/metric_data", 204, "", "", "GET /metric_data"},

		{"POST //metric_data_post", 204, "", "", "POST /metric_data_post"},
		{"POST ////flux///metric_data_post", 204, "", "", "POST /metric_data_post"},
		{"GET /flux//metric_data", 204, "", "", "GET /metric_data"},
		{"GET //elsewhere.example/metric_data", 404, "", noSuchPath, ""},
		{"GET /%6Detric_data", 204, "", "", "GET /metric_data"},
		{"GET /flux%2Fmetric_data", 204, "", "", "GET /metric_data"},
		{"GET /%2Fmetric_data", 204, "", "", "GET /metric_data"},
		{"GET /%252Fmetric_data", 404, "", noSuchPath, ""},

		{"GET /", 404, "", noSuchPath, ""},
		{"GET //", 404, "", noSuchPath, ""},
		{"GET /flux", 404, "", noSuchPath, ""},
		{"GET /flux/", 404, "", noSuchPath, ""},
		{"GET /flux/flux/metric_data", 404, "", noSuchPath, ""},
		{"GET /metric_data/", 404, "", noSuchPath, ""},
		{"GET /metric_data//", 404, "", noSuchPath, ""},
		{"GET /metric_data%2F", 404, "", noSuchPath, ""},
		{"GET /metric_data%00", 404, "", noSuchPath, ""},
		{"GET /metric_data/x", 404, "", noSuchPath, ""},
		{"GET /metric_dat", 404, "", noSuchPath, ""},
		{"GET /metric_data%3Fkey=x", 404, "", noSuchPath, ""},
		{"GET /Metric_data", 404, "", noSuchPath, ""},
		{"GET /FLUX/metric_data", 404, "", noSuchPath, ""},
		{"GET /./metric_data", 404, "", noSuchPath, ""},
		{"GET /flux/../metric_data", 404, "", noSuchPath, ""},
		{"GET /x/..//metric_data", 404, "", noSuchPath, ""},
		{"GET /%2e%2e/metric_data", 404, "", noSuchPath, ""},
		{"GET /metric_data/..", 404, "", noSuchPath, ""},
		{"GET /health", 404, "", noSuchPath, ""},
		{"GET /metrics", 404, "", noSuchPath, ""},
		{"OPTIONS /nowhere", 404, "", noSuchPath, ""},

		{"POST /metric_data", 405, "GET, OPTIONS", noSuchMethod, ""},
		{"HEAD /metric_data", 405, "GET, OPTIONS", "", ""},
		{"HEAD /flux/metric_data", 405, "GET, OPTIONS", "", ""},
		{"get /metric_data", 405, "GET, OPTIONS", noSuchMethod, ""},
		{"TRACE /metric_data", 405, "GET, OPTIONS", noSuchMethod, ""},
		{"GET /flux/metric_data_post", 405, "POST, OPTIONS", noSuchMethod, ""},
		{"PUT //metric_data_post", 405, "POST, OPTIONS", noSuchMethod, ""},
		{"OPTIONS /metric_data", 200, "GET", "", ""},
		{"OPTIONS /flux/metric_data_post", 200, "POST", "", ""},
		{"OPTIONS //metric_data_post", 200, "POST", "", ""},

		{"GET /both", 204, "", "", "GET /both"},
		{"PUT /flux/both", 204, "", "", "PUT /both"},
		{"DELETE /both", 405, "GET, PUT, OPTIONS", noSuchMethod, ""},
		{"OPTIONS /both", 200, "GET, PUT", "", ""},
	}
	called := make(chan sdk.Request, 1)
	address := serve(t, newTestDoor(func(_ context.Context, r sdk.Request) (flow.Answer, error) {
		called <- r
		return stored, nil
	}, ample))
	for _, tt := range tests {
		t.Run(tt.request, func(t *testing.T) {
			response := dial(t, address).ask(tt.request+" HTTP/1.1\r\nHost: it\r\n", "")
			if response.StatusCode != tt.status || response.body != tt.body {
				t.Errorf("answered %d %q, want %d %q", response.StatusCode, response.body, tt.status, tt.body)
			}
			if got := response.Header.Get("Allow"); got != tt.allow {
				t.Errorf("Allow is %q, want %q", got, tt.allow)
			}
			if tt.body != "" && response.Header.Get("Content-Type") != "application/json" {
				t.Errorf("Content-Type is %q", response.Header.Get("Content-Type"))
			}
			var got sdk.Request
			select {
			case got = <-called:
			default:
			}
			method, _, _ := strings.Cut(tt.request, " ")
			if got.Route != tt.route || tt.route != "" && got.Method != method {
				t.Errorf("the road was told %q by %q, want %q", got.Route, got.Method, tt.route)
			}
		})
	}
}

func TestRequestReachesTheRoadAsItWasSent(t *testing.T) {
	called := make(chan sdk.Request, 1)
	address := serve(t, newTestDoor(func(_ context.Context, r sdk.Request) (flow.Answer, error) {
		called <- r
		return stored, nil
	}, ample))
	body := "\x00\xff{not json"
	dial(t, address).ask("POST //metric_data_post?a=%zz;b&&c=+%41\xff HTTP/1.1\r\nHost: it\r\nkEY: \xfe\r\nContent-Encoding: GZIP\r\n", body)
	if got := <-called; got.Query != "a=%zz;b&&c=+%41\xff" || string(got.Body) != body || got.Header.Get("Key") != "\xfe" {
		t.Errorf("query %q, body %q, key %q", got.Query, got.Body, got.Header.Get("Key"))
	}
}

func TestAnswers(t *testing.T) {
	tests := []struct {
		name   string
		answer flow.Answer
		err    error
		status int
		body   string
		retry  string
	}{
		{name: "stored", answer: stored, status: 204},
		{name: "a 204 has no body", answer: flow.Answer{Status: 204, Body: []byte("{}")}, status: 204},
		{name: "a report", answer: flow.Answer{Status: 207, Body: []byte(`{"a": 1}`)}, status: 207, body: `{"a": 1}`},
		{name: "nothing to say", answer: flow.Answer{Status: 200}, status: 200},
		{name: "the input's own 503", answer: flow.Answer{Status: 503}, status: 503, retry: "5"},

		{name: "key", err: flow.ErrKey, status: 401, body: `{"code": 401, "message": "invalid key"}`},
		{name: "key, told with more", err: fmt.Errorf("key abc: %w", flow.ErrKey), status: 401,
			body: `{"code": 401, "message": "invalid key"}`},
		{name: "invalid", err: sdk.Invalidf("no key passed"), status: 400, body: `{"code": 400, "message": "no key passed"}`},
		{name: "invalid before unavailable", err: errors.Join(sdk.Invalidf("a"), sdk.ErrUnavailable), status: 400,
			body: `{"code": 400, "message": "a\nunavailable"}`},
		{name: "unavailable", err: sdk.Unavailablef("carbon is down"), status: 503, retry: "5",
			body: `{"code": 503, "message": "carbon is down"}`},
		{name: "no time left", err: fmt.Errorf("decode: %w", context.DeadlineExceeded), status: 503, retry: "5",
			body: `{"code": 503, "message": "decode: context deadline exceeded"}`},
		{name: "sender gone", err: context.Canceled, status: 503, retry: "5",
			body: `{"code": 503, "message": "context canceled"}`},
		{name: "a fault is not told", err: errors.New("secret of the input"), status: 500,
			body: `{"code": 500, "message": "the server could not work on the request"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			address := serve(t, newTestDoor(func(context.Context, sdk.Request) (flow.Answer, error) { return tt.answer, tt.err }, ample))
			c := dial(t, address)
			for _, request := range []string{"GET /metric_data", "POST /metric_data_post"} { // over one connection
				got := c.ask(request+" HTTP/1.1\r\nHost: it\r\n", "")
				if got.StatusCode != tt.status || got.body != tt.body || got.Header.Get("Retry-After") != tt.retry {
					t.Errorf("%s answered %d %q, retry after %q; want %d %q, %q", request,
						got.StatusCode, got.body, got.Header.Get("Retry-After"), tt.status, tt.body, tt.retry)
				}
				if tt.status != 204 && got.ContentLength != int64(len(tt.body)) {
					t.Errorf("Content-Length is %d", got.ContentLength)
				}
				if hasType := got.Header.Get("Content-Type") == "application/json"; hasType != (tt.body != "") {
					t.Errorf("Content-Type is %q for %q", got.Header.Get("Content-Type"), tt.body)
				}
			}
		})
	}
}

// quoted returns the message of a refusal for an invalid request.
func quoted(t testing.TB, text string) (message, body string) {
	t.Helper()
	a := refusal(sdk.Invalidf("%s", text))
	var told struct {
		Code    int
		Message string
	}
	if err := json.Unmarshal(a.Body, &told); err != nil || !utf8.Valid(a.Body) {
		t.Fatalf("the refusal of %q is no JSON: %v", text, err)
	}
	if told.Code != a.Status || !strings.HasPrefix(string(a.Body), `{"code": 400, "message": "`) {
		t.Fatalf("the refusal is %q", a.Body)
	}
	return told.Message, string(a.Body)
}

func TestMessageIsCut(t *testing.T) {
	whole := strings.Repeat("a", maxMessage)
	if got, _ := quoted(t, whole); got != whole {
		t.Errorf("a message of %d bytes came back with %d", len(whole), len(got))
	}
	if got, _ := quoted(t, whole+"b"); got != whole+"..." {
		t.Errorf("a message of %d bytes came back with %d and ends in %q", len(whole)+1, len(got), got[len(got)-5:])
	}
	if got, _ := quoted(t, whole[:maxMessage-1]+"€ and so on"); got != whole[:maxMessage-1]+"\ufffd..." {
		t.Errorf("a message cut in a character ends in %q", got[len(got)-9:])
	}
	if _, body := quoted(t, strings.Repeat("\x01", 1<<20)); len(body) > 7*maxMessage {
		t.Errorf("a message of control characters has %d bytes", len(body))
	}
}

func FuzzMessage(f *testing.F) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
		f.Add(string(all[i : i+1]))
	}
	f.Add(string(all))
	f.Add("\xed\xa0\x80 \xf4\x90\x80\x80 \u2028 </script> \\\"")
	f.Fuzz(func(t *testing.T, text string) {
		got, body := quoted(t, text)
		if want := strings.ToValidUTF8(text, "\ufffd"); len(text) <= maxMessage && got != want {
			t.Errorf("the message %q came back as %q", want, got)
		}
		if strings.ContainsFunc(body, func(r rune) bool { return r < ' ' }) {
			t.Errorf("the body %q has a control character", body)
		}
	})
}

func TestRequestsAreCounted(t *testing.T) {
	metrics := prometheus.NewRegistry()
	next := make(chan error, 1)
	door := NewDoor(road(func(context.Context, sdk.Request) (flow.Answer, error) {
		return stored, <-next
	}), fluxInputs(), nil, Limits{Body: 10, Inflight: 1000}, metrics)
	send := func(method, target, body string) {
		door.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, target, strings.NewReader(body)))
	}
	for range 2 {
		next <- nil
		send("GET", "/metric_data?a", "")
	}
	next <- nil
	send("GET", "//flux/metric_data", "")
	next <- flow.ErrKey
	send("POST", "/flux/metric_data_post", "")
	send("POST", "/metric_data_post", "more than ten bytes")
	send("POST", "/nowhere", "") // no label may come from a sender
	send("SPAM", "/metric_data", "")
	want := `
# HELP fluxgate_requests_total Requests by route and status.
# TYPE fluxgate_requests_total counter
fluxgate_requests_total{code="204",route="GET /metric_data"} 3
fluxgate_requests_total{code="401",route="POST /metric_data_post"} 1
fluxgate_requests_total{code="413",route="POST /metric_data_post"} 1
`
	if err := testutil.GatherAndCompare(metrics, strings.NewReader(want), "fluxgate_requests_total"); err != nil {
		t.Error(err)
	}
}
