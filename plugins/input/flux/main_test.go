package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/plugintest"
)

func TestMain(m *testing.M) { plugintest.Main(m, main) }

func TestContract(t *testing.T) { plugintest.Input(t, nil, "testdata/cases") }

func TestReadme(t *testing.T) { plugintest.Readme(t, "README.md") }

func TestDecodeChoosesByMethod(t *testing.T) {
	clock := func() time.Time { return time.Unix(now, 999_999_999) }
	r := sdk.Request{Query: "metric=query&value=1&key=k", Body: []byte(`{"metric":"body","value":1,"key":"k"}`)}
	for method, want := range map[string]string{"GET": "query", "POST": "body", "PUT": "body", "": "body"} {
		r.Method = method
		s, err := (&input{now: clock}).Decode(t.Context(), r)
		if err != nil || len(s.Batch) != 1 || s.Batch[0] != (sdk.Datapoint{Metric: want, Timestamp: now, Value: 1}) {
			t.Errorf("%q: %+v, %v", method, s, err)
		}
	}
}

func TestTimeIsReadOnceARequest(t *testing.T) {
	read := 0
	clock := func() time.Time { read++; return time.Unix(now, 0) }
	s, err := (&input{now: clock}).Decode(t.Context(), sdk.Request{Method: "POST", Body: manyMetrics(450, "")})
	if err != nil || len(s.Batch) != 450 || read != 1 {
		t.Errorf("the clock was read %d times for %d datapoints, %v", read, len(s.Batch), err)
	}
}

func TestQuote(t *testing.T) {
	whole := strings.Repeat("x", maxQuote)
	for _, c := range []struct{ name, text, want string }{
		{"what fits is whole", whole, whole},
		{"the rest is dots", whole + "x", whole[:maxQuote-3] + "..."},
		{"no half character", "x" + strings.Repeat("é", maxQuote), "x" + strings.Repeat("é", (maxQuote-4)/2) + "..."},
		{"no third of one", strings.Repeat("€", maxQuote), strings.Repeat("€", (maxQuote-3)/3) + "..."},
		{"a replacement character stays", strings.Repeat("\uFFFD", 300) + whole, strings.Repeat("\uFFFD", 300) + whole[:121] + "..."},
	} {
		if got := quote(c.text); got != c.want {
			t.Errorf("%s: got %d bytes, %q", c.name, len(got), got)
		}
	}
}

func startInput(t *testing.T, config map[string]any) (*sdk.Process[sdk.Input], error) {
	p, err := sdk.StartInput(t.Context(), sdk.Spec{Name: "flux", Path: os.Args[0], Config: config})
	if err == nil {
		t.Cleanup(func() {
			if err := p.Stop(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		})
	}
	return p, err
}

func TestProcess(t *testing.T) {
	p, err := startInput(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("a body of 5 MiB", func(t *testing.T) {
		body := manyMetrics(1000, strings.Repeat(" ", 6<<10))
		if len(body) < 5<<20 {
			t.Fatalf("the body has %d bytes", len(body))
		}
		s, err := p.Plugin.Decode(t.Context(), sdk.Request{Method: "POST", Body: body})
		if err != nil || len(s.Batch) != 1000 || s.Batch[999].Metric != "servers.web-0999.cpu.user" || s.Batch[999].Value != 999.5 {
			t.Errorf("%d datapoints, %v", len(s.Batch), err)
		}
	})
	t.Run("a query that is not UTF-8", func(t *testing.T) {
		s, err := p.Plugin.Decode(t.Context(), sdk.Request{Method: "GET", Query: "metric=a\xff&value=\xfe&timestamp=1478021700&key=k%ff"})
		if err != nil || s.Key != "k\uFFFD" || s.Invalid != "invalid value - \uFFFD" || len(s.Batch) != 1 || s.Batch[0].Metric != "a\uFFFD" {
			t.Errorf("%+v, %v", s, err)
		}
	})
	t.Run("a key and headers that are not UTF-8", func(t *testing.T) {
		s, err := p.Plugin.Decode(t.Context(), sdk.Request{
			Method: "POST", Body: []byte(`{"metric":"a","value":1}`),
			Header: http.Header{"Key": {"\xff\x80"}, "X-Test-Only": {"\xfe"}, "X-Other": {"\xc3"}},
		})
		if err != nil || s.Key != "\xff\x80" || !s.DryRun || len(s.Batch) != 1 {
			t.Errorf("%+v, %v", s, err)
		}
	})
	t.Run("a body that is not UTF-8", func(t *testing.T) {
		_, err := p.Plugin.Decode(t.Context(), sdk.Request{Method: "POST", Body: []byte("\xff")})
		refused(t, "over the wire", err, "no POST data received")
	})
	t.Run("a health check", func(t *testing.T) {
		s, err := p.Plugin.Decode(t.Context(), sdk.Request{Method: "GET", Query: "status"})
		if err != nil || s.Reply == nil || s.Reply.Status != 200 || string(s.Reply.Body) != `{"status": "ok"}` {
			t.Errorf("%+v, %v", s, err)
		}
	})
	t.Run("a control character in a refusal", func(t *testing.T) {
		_, err := p.Plugin.Decode(t.Context(), sdk.Request{Method: "GET", Query: "a%0Ab%00%C3%A9"})
		refused(t, "over the wire", err, "Invalid parameter received - a\nb\x00é")
	})
}

func TestSettingsAreRefused(t *testing.T) {
	_, err := startInput(t, map[string]any{"strict": true})
	if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), `"strict"`) {
		t.Errorf("got %v", err)
	}
}

// manyMetrics returns the body of a POST of n metrics, with padding behind each.
func manyMetrics(n int, padding string) []byte {
	b := []byte(`{"key": "self0123456789abcdefghijABCDEFGH", "metrics": [`)
	for i := range n {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = fmt.Appendf(b, `{"metric": "servers.web-%04d.cpu.user", "timestamp": 1478021700, "value": %d.5}%s`, i, i, padding)
	}
	return append(b, "]}"...)
}
