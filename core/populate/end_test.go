package populate

import (
	"net/http"
	"testing"
	"time"
)

// A job that is seen to have ended tells when, and why if it failed.
func TestAnEndIsSeenWhole(t *testing.T) {
	w := newWorld(t)
	w.answer = func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no", http.StatusInternalServerError) }
	w.terms = func(terms *Terms) { terms.Patience = time.Second }
	p, _ := w.open()
	seen := make(chan Job, 100)
	id := "1"
	w.released = func() {
		if job, err := p.Job(id, Asker{}); err == nil {
			seen <- *job
		}
	}
	if got := w.submit(p, w.vista("m", "/render/?from=-6hours&format=json&target=a.b")); got != id {
		t.Fatalf("the job is %s", got)
	}
	last := await(t, p, id, ended)
	if last.Ended == nil || last.Error == "" {
		t.Errorf("the job ended as %+v", last)
	}
	for range len(seen) {
		if job := <-seen; job.State.ended() && job.Ended == nil {
			t.Errorf("the job was seen as %+v", job)
		}
	}
}
