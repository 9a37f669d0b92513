package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"fluxgate/core/flow"
	"fluxgate/sdk"
)

// pack returns text gzipped.
func pack(t testing.TB, text []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// bomb is size zeros, gzipped as several members.
func bomb(t testing.TB, size, members int) []byte {
	t.Helper()
	return bytes.Repeat(pack(t, make([]byte, size/members)), members)
}

// post returns a POST; without a length it is as if it came in chunks.
func post(body io.Reader, encoding string) *http.Request {
	r := httptest.NewRequest("POST", "/metric_data_post", body)
	if encoding != "" {
		r.Header.Set("Content-Encoding", encoding)
	}
	return r
}

// chunked hides the length of a body.
func chunked(body []byte) io.Reader { return io.MultiReader(bytes.NewReader(body)) }

func TestBodies(t *testing.T) {
	const limit = 1000
	text := []byte(`{"metric": "vista.nodes.skyline-1.cpu.user"}`)
	packed := pack(t, text)
	full := bytes.Repeat([]byte("x"), limit)
	tests := []struct {
		name     string
		body     []byte
		encoding string
		status   int    // 204 unless it says otherwise
		got      []byte // by the road
	}{
		{name: "plain", body: text, got: text},
		{name: "none", body: nil, got: nil},
		{name: "gzip", body: packed, encoding: "gzip", got: text},
		{name: "gzip of nothing", body: pack(t, nil), encoding: "gzip", got: []byte{}},
		{name: "gzip in two members", body: append(bytes.Clone(packed), packed...), encoding: "gzip", got: append(bytes.Clone(text), text...)},
		{name: "gzip that is not announced", body: packed, got: packed},
		{name: "gzip in capitals is not announced", body: packed, encoding: "GZIP", got: packed},
		{name: "x-gzip is not announced", body: packed, encoding: "x-gzip", got: packed},
		{name: "gzip in a list is not announced", body: packed, encoding: "gzip, gzip", got: packed},
		{name: "announced and not gzip", body: text, encoding: "gzip", got: text},
		{name: "announced and empty", body: nil, encoding: "gzip", got: nil},
		{name: "cut in its head", body: packed[:5], encoding: "gzip", got: packed[:5]},
		{name: "cut in its middle", body: packed[:len(packed)/2], encoding: "gzip", got: packed[:len(packed)/2]},
		{name: "cut by a byte", body: packed[:len(packed)-1], encoding: "gzip", got: packed[:len(packed)-1]},
		{name: "garbage behind", body: append(bytes.Clone(packed), "garbage"...), encoding: "gzip", got: append(bytes.Clone(packed), "garbage"...)},
		{name: "half a member behind", body: append(bytes.Clone(packed), packed[:15]...), encoding: "gzip", got: append(bytes.Clone(packed), packed[:15]...)},
		{name: "wrong sum", body: flip(packed, len(packed)-8), encoding: "gzip", got: flip(packed, len(packed)-8)},
		{name: "wrong length", body: flip(packed, len(packed)-1), encoding: "gzip", got: flip(packed, len(packed)-1)},
		{name: "damaged", body: flip(packed, 20), encoding: "gzip", got: flip(packed, 20)},

		{name: "plain, at the limit", body: full, got: full},
		{name: "plain, a byte above", body: append(bytes.Clone(full), 'x'), status: 413},
		{name: "gzip, at the limit", body: pack(t, full), encoding: "gzip", got: full},
		{name: "gzip, a byte above", body: pack(t, append(bytes.Clone(full), 'x')), encoding: "gzip", status: 413},
		{name: "gzip, above by its second member", body: append(pack(t, full), pack(t, []byte("x"))...), encoding: "gzip", status: 413},
		{name: "gzip, above before it turns out to be cut", body: bomb(t, 2*limit, 1)[:20], encoding: "gzip", status: 413},
	}
	for _, tt := range tests {
		for _, form := range []string{"with length", "in chunks"} {
			t.Run(tt.name+", "+form, func(t *testing.T) {
				var got []byte
				called := false
				door := newTestDoor(func(_ context.Context, r sdk.Request) (flow.Answer, error) {
					got, called = r.Body, true
					return stored, nil
				}, Limits{Body: limit, Inflight: 1 << 20})
				var body io.Reader = bytes.NewReader(tt.body)
				if form == "in chunks" {
					body = chunked(tt.body)
				}
				w := httptest.NewRecorder()
				door.ServeHTTP(w, post(body, tt.encoding))
				if tt.status == 0 {
					tt.status = 204
				}
				if w.Code != tt.status || called != (tt.status == 204) || !bytes.Equal(got, tt.got) {
					t.Errorf("answered %d %s, and the road got %q; want %d, %q", w.Code, w.Body, got, tt.status, tt.got)
				}
				if tooLarge := `{"code": 413, "message": "the request is too large: at most 1000 bytes, also when unpacked"}`; w.Code == 413 && w.Body.String() != tooLarge {
					t.Errorf("the body is %s", w.Body)
				}
			})
		}
	}
}

// flip returns data with one byte changed.
func flip(data []byte, at int) []byte {
	data = bytes.Clone(data)
	data[at] ^= 0xff
	return data
}

// TestMemory bounds all that is allocated for a request, not only what is held
// at one time.
func TestMemory(t *testing.T) {
	const limit = 32 << 20
	zeros := make([]byte, limit+1)
	tests := []struct {
		name   string
		body   io.Reader
		length int64 // that is announced; 0: that of the body
		gzip   bool
		status int
		most   uint64 // bytes
	}{
		{name: "bomb", body: bytes.NewReader(bomb(t, 100<<20, 1)), gzip: true, status: 413, most: 2*limit + 1<<20},
		{name: "bomb of many members", body: bytes.NewReader(bomb(t, 100<<20, 1000)), gzip: true, status: 413, most: 2*limit + 1<<20},
		{name: "at the limit", body: bytes.NewReader(zeros[:limit]), status: 204, most: 2*limit + 1<<20},
		{name: "at the limit, in chunks", body: chunked(zeros[:limit]), status: 204, most: 2*limit + 1<<20},
		{name: "above the limit, in chunks", body: chunked(zeros), status: 413, most: 2*limit + 1<<20},
		{name: "announced above the limit", body: bytes.NewReader(zeros), status: 413, most: 1 << 16},
		{name: "announced and not sent", body: strings.NewReader("{"), length: limit, status: 400, most: 1 << 16},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			door := newTestDoor(keeps, Limits{Body: limit, Inflight: 1 << 30})
			encoding := ""
			if tt.gzip {
				encoding = "gzip"
			}
			r := post(tt.body, encoding)
			if tt.length != 0 {
				r.ContentLength = tt.length
				r.Body = io.NopCloser(io.MultiReader(tt.body, iotest.ErrReader(io.ErrUnexpectedEOF)))
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			w := httptest.NewRecorder()
			door.ServeHTTP(w, r)
			runtime.ReadMemStats(&after)
			if w.Code != tt.status {
				t.Errorf("answered %d, want %d", w.Code, tt.status)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > tt.most {
				t.Errorf("allocated %d bytes, want at most %d", took, tt.most)
			}
		})
	}
}

// probe is a request that fills limits of exactly its size: it passes only
// while nothing else is held.
func probe() (*http.Request, int64) {
	body := strings.Repeat("x", 500)
	return post(strings.NewReader(body), ""), int64(len("/metric_data_post") + len(body))
}

func TestInflightIsGivenBack(t *testing.T) {
	_, size := probe()
	half := strings.NewReader(strings.Repeat("x", 250))
	zeros := bytes.Repeat([]byte{0}, 400)
	tests := []struct {
		name     string
		body     io.Reader
		encoding string
		answer   flow.Answer
		err      error // of the road
		panics   bool
		status   int
	}{
		{name: "stored", body: strings.NewReader("it"), answer: stored, status: 204},
		{name: "without a body", body: http.NoBody, answer: stored, status: 204},
		{name: "unpacked", body: bytes.NewReader(pack(t, zeros)), encoding: "gzip", answer: stored, status: 204},
		{name: "not unpacked", body: bytes.NewReader(pack(t, zeros)[:15]), encoding: "gzip", answer: stored, status: 204},
		{name: "key", body: strings.NewReader("it"), err: flow.ErrKey, status: 401},
		{name: "invalid", body: strings.NewReader("it"), err: sdk.Invalidf("it"), status: 400},
		{name: "unavailable", body: strings.NewReader("it"), err: sdk.ErrUnavailable, status: 503},
		{name: "fault", body: strings.NewReader("it"), err: errors.New("it"), status: 500},
		{name: "too large, with length", body: bytes.NewReader(make([]byte, 501)), status: 413},
		{name: "too large, in chunks", body: chunked(make([]byte, 501)), status: 413},
		{name: "too large, unpacked", body: bytes.NewReader(pack(t, make([]byte, 501))), encoding: "gzip", status: 413},
		{name: "more than is left", body: bytes.NewReader(make([]byte, 500)), encoding: "identity", status: 503},
		{name: "more than is left, unpacked", body: bytes.NewReader(pack(t, make([]byte, 490))), encoding: "gzip", status: 503},
		{name: "slow", body: io.MultiReader(half, iotest.ErrReader(os.ErrDeadlineExceeded)), status: 408},
		{name: "aborted", body: io.MultiReader(half, iotest.ErrReader(io.ErrUnexpectedEOF)), status: 400},
		{name: "panic", body: strings.NewReader("it"), panics: true},
		{name: "panic of the body", body: panicReader{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			probing := false
			door := newTestDoor(func(context.Context, sdk.Request) (flow.Answer, error) {
				if tt.panics && !probing {
					panic("it")
				}
				if probing {
					return stored, nil
				}
				return tt.answer, tt.err
			}, Limits{Body: 500, Inflight: size})
			func() {
				defer func() { _ = recover() }() // as the server does
				w := httptest.NewRecorder()
				door.ServeHTTP(w, post(tt.body, tt.encoding))
				if w.Code != tt.status {
					t.Errorf("answered %d %s, want %d", w.Code, w.Body, tt.status)
				}
			}()
			probing = true
			r, _ := probe()
			w := httptest.NewRecorder()
			if door.ServeHTTP(w, r); w.Code != 204 {
				t.Errorf("a request that needs all there is was answered %d %s", w.Code, w.Body)
			}
		})
	}
}

type panicReader struct{}

func (panicReader) Read([]byte) (int, error) { panic("it") }

// TestInflightIsExact shows that the probe proves something: it takes all.
func TestInflightIsExact(t *testing.T) {
	r, size := probe()
	for spare, want := range map[int64]int{0: 204, -1: 503} {
		w := httptest.NewRecorder()
		newTestDoor(keeps, Limits{Body: 500, Inflight: size + spare}).ServeHTTP(w, r.Clone(t.Context()))
		if r, _ = probe(); w.Code != want {
			t.Errorf("with %d bytes to spare it is answered %d, want %d", spare, w.Code, want)
		}
	}
}

func TestInflightReached(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	door := newTestDoor(func(_ context.Context, r sdk.Request) (flow.Answer, error) {
		if r.Header.Get("X-It") == "second" {
			t.Error("the second came to the road")
			return stored, nil
		}
		inside <- struct{}{}
		<-leave
		return stored, nil
	}, Limits{Body: 1000, Inflight: 1500})
	first := make(chan int)
	go func() {
		w := httptest.NewRecorder()
		door.ServeHTTP(w, post(strings.NewReader(strings.Repeat("x", 1000)), ""))
		first <- w.Code
	}()
	<-inside
	w := httptest.NewRecorder()
	second := post(strings.NewReader(strings.Repeat("x", 1000)), "")
	second.Header.Set("X-It", "second")
	door.ServeHTTP(w, second)
	const busy = `{"code": 503, "message": "too many requests are being worked on, send it again later"}`
	if w.Code != 503 || w.Body.String() != busy || w.Header().Get("Retry-After") != "5" {
		t.Errorf("the second was answered %d %s, retry after %q", w.Code, w.Body, w.Header().Get("Retry-After"))
	}
	go func() {
		w := httptest.NewRecorder()
		door.ServeHTTP(w, post(strings.NewReader("small"), ""))
		first <- w.Code
	}()
	<-inside
	close(leave)
	for range 2 {
		if code := <-first; code != 204 {
			t.Errorf("one that fits was answered %d", code)
		}
	}
}

// TestInflightCounts shows what counts: the head, and a gzipped body by its
// unpacked bytes alone.
func TestInflightCounts(t *testing.T) {
	random := make([]byte, 600) // does not shrink
	for i, x := 0, uint32(1); i < len(random); i++ {
		x = x*1664525 + 1013904223
		random[i] = byte(x >> 24)
	}
	head := len("/metric_data_post") + len("Content-Encoding") + len("gzip")
	tests := []struct {
		name   string
		body   []byte
		header string
		limit  int
		status int
	}{
		{name: "unpacked, all of it", body: pack(t, make([]byte, 1000)), limit: head + 999, status: 503},
		{name: "unpacked, fits", body: pack(t, make([]byte, 1000)), limit: head + 1000, status: 204},
		{name: "packed and unpacked do not add up", body: pack(t, random), limit: head + len(pack(t, random)), status: 204},
		{name: "cut gzip counts once", body: pack(t, make([]byte, 1000))[:27], limit: head + 1000, status: 204},
		{name: "not gzip counts once", body: random, limit: head + 600, status: 204},
		{name: "not gzip counts", body: random, limit: head + 599, status: 503},
		{name: "header", header: strings.Repeat("x", 100), limit: head + len("Key") + 99, status: 503},
		{name: "header fits", header: strings.Repeat("x", 100), limit: head + len("Key") + 100, status: 204},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := post(bytes.NewReader(tt.body), "gzip")
			if tt.header != "" {
				r.Header.Set("Key", tt.header)
			}
			w := httptest.NewRecorder()
			newTestDoor(keeps, Limits{Body: 1000, Inflight: int64(tt.limit)}).ServeHTTP(w, r)
			if w.Code != tt.status {
				t.Errorf("with a limit of %d it is answered %d %s, want %d", tt.limit, w.Code, w.Body, tt.status)
			}
		})
	}
	t.Run("query", func(t *testing.T) {
		for limit, want := range map[int64]int{99: 503, 100: 204} {
			w := httptest.NewRecorder()
			target := fmt.Sprintf("/metric_data?%s", strings.Repeat("x", 100-len("/metric_data?")))
			newTestDoor(keeps, Limits{Body: 1, Inflight: limit}).ServeHTTP(w, httptest.NewRequest("GET", target, nil))
			if w.Code != want {
				t.Errorf("with a limit of %d it is answered %d, want %d", limit, w.Code, want)
			}
		}
	})
}
