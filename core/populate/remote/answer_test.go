package remote

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
)

// The kind of each refusal, whether the host is left alone for it, and what it says.
func TestAnswersThatAreNone(t *testing.T) {
	status := func(code int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(code)
			fmt.Fprint(w, text)
		}
	}
	refusal := `{"status":"error","errorType":"bad_data","error":"parse error at \"x"}`
	tests := []struct {
		name   string
		kind   Kind
		answer http.HandlerFunc
		want   error
		paused bool
		says   string
	}{
		{"400", Graphite, status(400, "Invalid target\nmore"), sdk.ErrInvalid, false, `400 Bad Request: "Invalid target"`},
		{"400 of Prometheus", Prometheus, status(400, refusal), sdk.ErrInvalid, false, `parse error at`},
		{"401", Graphite, status(401, ""), sdk.ErrInvalid, false, "populate.remotes"},
		{"403", Graphite, status(403, ""), sdk.ErrInvalid, false, "populate.remotes"},
		{"404", Graphite, status(404, ""), sdk.ErrInvalid, false, "404 Not Found"},
		{"408", Graphite, status(408, ""), sdk.ErrUnavailable, true, "408"},
		{"422", Prometheus, status(422, refusal), sdk.ErrInvalid, false, "422"},
		{"425", Graphite, status(425, ""), sdk.ErrUnavailable, true, "425"},
		{"429", Graphite, status(429, ""), sdk.ErrUnavailable, true, "429"},
		{"500", Graphite, status(500, onePoint), sdk.ErrUnavailable, true, "500"},
		{"503", Prometheus, status(503, refusal), sdk.ErrUnavailable, true, "parse error at"},
		{"204", Graphite, status(204, ""), sdk.ErrUnavailable, false, "204"},
		{"304", Graphite, status(304, ""), sdk.ErrUnavailable, false, "304"},
		{"302 to nowhere", Graphite, status(302, ""), sdk.ErrUnavailable, false, "302"},
		{"HTML", Graphite, say("<html>login</html>"), sdk.ErrUnavailable, false, "HTML"},
		{"nothing", Graphite, say(""), sdk.ErrUnavailable, false, "ends too early"},
		{"half an answer", Graphite, say(onePoint[:30]), sdk.ErrUnavailable, false, "ends too early"},
		{"two answers", Graphite, say(onePoint + onePoint), sdk.ErrUnavailable, false, "not JSON"},
		{"an error for good", Prometheus, say(refusal), sdk.ErrInvalid, false, "parse error at"},
		{"an error for now", Prometheus, say(`{"status":"error","errorType":"timeout","error":"slow"}`), sdk.ErrUnavailable, false, "timeout: slow"},
		{"a packing that nobody asked for", Graphite, coded("br", onePoint), sdk.ErrUnavailable, false, `"br"`},
		{"gzip that is none", Graphite, coded("gzip", onePoint), sdk.ErrUnavailable, false, "gzip"},
		{"less than announced", Graphite, cutShort, sdk.ErrUnavailable, true, "cut off"},
		{"chunks without end", Graphite, torn, sdk.ErrUnavailable, true, "cut off"},
	}
	for _, test := range tests {
		url := serve(t, test.answer)
		c := toward(t, url)
		q := Query{Kind: test.kind, URL: url + "/render?target=secret.query"}
		_, answer, err := fetch(t, c, q)
		other := map[error]error{sdk.ErrInvalid: sdk.ErrUnavailable, sdk.ErrUnavailable: sdk.ErrInvalid}[test.want]
		if !errors.Is(err, test.want) || errors.Is(err, other) || !strings.Contains(err.Error(), test.says) || answer.Series != nil {
			t.Errorf("%s: %+v, %v; want %v and %q", test.name, answer, err, test.want, test.says)
			continue
		}
		if paused := !c.Pause(url).IsZero(); paused != test.paused {
			t.Errorf("%s: the host is left alone: %v, want %v", test.name, paused, test.paused)
		}
		if !strings.Contains(err.Error(), url+"/render") || strings.Contains(err.Error(), "secret.query") {
			t.Errorf("%s: the error names the host and path, not the query: %v", test.name, err)
		}
	}
}

func coded(coding, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", coding)
		fmt.Fprint(w, text)
	}
}

func cutShort(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", strconv.Itoa(len(onePoint)+1))
	fmt.Fprint(w, onePoint)
}

func torn(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, onePoint)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func TestNobodyListens(t *testing.T) {
	url := serve(t, say(onePoint))
	c := toward(t, url, "http://127.0.0.1:1")
	_, _, err := fetch(t, c, render("http://127.0.0.1:1"))
	if !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "refused") || c.Pause("http://127.0.0.1:1/x").IsZero() {
		t.Errorf("%v, paused until %v", err, c.Pause("http://127.0.0.1:1/x"))
	}
	if _, _, err := fetch(t, c, render(url)); err != nil {
		t.Errorf("another port: %v", err)
	}
}

func TestGzip(t *testing.T) {
	pack := func(w http.ResponseWriter, texts ...string) {
		w.Header().Set("Content-Encoding", "gzip")
		for _, text := range texts {
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, text)
			_ = z.Close()
		}
	}
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { pack(w, onePoint[:20], onePoint[20:]) })
	samples, answer, err := fetch(t, toward(t, url), render(url))
	if err != nil || len(samples) != 1 || answer.Bytes != int64(len(onePoint)) {
		t.Errorf("two members: %v, %+v, %v", samples, answer, err)
	}

	// 20 MiB of blanks are 20 KiB.
	blanks := strings.Repeat(" ", 20<<20)
	url = serve(t, func(w http.ResponseWriter, _ *http.Request) { pack(w, onePoint, blanks) })
	c := open(t, func(o *Options) { o.Allow, o.Bytes = []string{at(t, url)}, 1<<20 })
	if _, _, err = fetch(t, c, render(url)); !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "larger than 1048576 bytes") {
		t.Errorf("a bomb: %v", err)
	}

	// Empty members come for ever and unpack to nothing.
	var empty bytes.Buffer
	_ = gzip.NewWriter(&empty).Close()
	members := bytes.Repeat(empty.Bytes(), 1000)
	url = serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		for r.Context().Err() == nil {
			_, _ = w.Write(members)
		}
	})
	c = open(t, func(o *Options) { o.Allow, o.Bytes = []string{at(t, url)}, 1<<20 })
	if _, _, err = fetch(t, c, render(url)); !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("empty members: %v", err)
	}
}

// A gigabyte is offered. It is read up to the limit, in room that does not grow.
func TestLargeAnswer(t *testing.T) {
	const limit = 16 << 20
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `[{"target":"a.b","datapoints":[[1,1700000040]`)
		block := []byte(strings.Repeat(",[1,1700000040]", 4096))
		for n := 0; n < 1<<30; n += len(block) {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
		_, _ = io.WriteString(w, "]}]")
	})
	c := open(t, func(o *Options) { o.Allow, o.Bytes, o.Points = []string{at(t, url)}, limit, 1<<30 })
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := 0
	_, err := c.Fetch(t.Context(), render(url), func(Sample) error {
		n++
		return nil
	})
	runtime.ReadMemStats(&after)
	if !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), strconv.Itoa(limit)) || n < limit/16 {
		t.Errorf("%d samples, %v", n, err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
		t.Errorf("%d bytes were allocated to read %d", took, limit)
	}
}

func TestManyPoints(t *testing.T) {
	url := serve(t, say(`[{"datapoints":[[1,1],[2,2],[3,3]]}]`))
	for points, fits := range map[int]bool{3: true, 2: false} {
		c := open(t, func(o *Options) { o.Allow, o.Points = []string{at(t, url)}, points })
		_, _, err := fetch(t, c, render(url))
		if fits != (err == nil) || !fits && (!errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "more than 2 points")) {
			t.Errorf("three points where %d fit: %v", points, err)
		}
	}
}

// drip sends an answer a blank at a time, without end.
func drip(w http.ResponseWriter, r *http.Request) {
	beat := time.NewTicker(5 * time.Millisecond)
	defer beat.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-beat.C:
			_, _ = io.WriteString(w, " ")
			_ = http.NewResponseController(w).Flush()
		}
	}
}

func TestSlowAnswers(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"a drip":    drip,
		"no answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		url := serve(t, answer)
		c := open(t, func(o *Options) { o.Allow, o.Time = []string{at(t, url)}, 100*time.Millisecond })
		_, _, err := fetch(t, c, render(url))
		if !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "within 100ms") || c.Pause(url).IsZero() {
			t.Errorf("%s: %v, paused until %v", name, err, c.Pause(url))
		}
	}
}

func TestFetchObeysItsContext(t *testing.T) {
	asked := make(chan struct{})
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})
	c := toward(t, url)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	_, err := c.Fetch(ctx, render(url), func(Sample) error { return nil })
	if !errors.Is(err, sdk.ErrUnavailable) || !errors.Is(err, context.Canceled) || !c.Pause(url).IsZero() {
		t.Errorf("%v, paused until %v", err, c.Pause(url))
	}
}
