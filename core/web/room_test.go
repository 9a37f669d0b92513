package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"fluxgate/core/flow"
	"fluxgate/sdk"
)

// An interrupted writer has something else happen before it is written to.
type interrupted struct {
	*httptest.ResponseRecorder
	first func()
}

func (w *interrupted) Write(p []byte) (int, error) {
	w.first()
	return w.ResponseRecorder.Write(p)
}

// An answer may refer to the request's body, whose room another request takes only
// after that.
func TestAnAnswerMayReferToTheBody(t *testing.T) {
	echo := func(_ context.Context, r sdk.Request) (flow.Answer, error) {
		return flow.Answer{Status: http.StatusOK, Body: r.Body}, nil
	}
	door := newTestDoor(echo, Limits{Body: 1000, Inflight: 10_000})
	for range 100 { // a pool may give away any room
		w := &interrupted{httptest.NewRecorder(), func() {
			door.ServeHTTP(httptest.NewRecorder(), post(strings.NewReader(`"another"`), ""))
		}}
		door.ServeHTTP(w, post(strings.NewReader(`"its own"`), ""))
		if got := w.Body.String(); got != `"its own"` {
			t.Fatalf("the answer is %s", got)
		}
	}
}
