package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fluxgate/sdk/plugintest"
)

// A request is what is sent to the throwaway Fluxgate.
type request struct {
	method, url string
	header      http.Header
	body        string
	key         string // in header, url or body, where it is known
}

// datapointFor is a request that brings a datapoint.
func datapointFor(public, key string) request {
	return request{method: http.MethodGet, url: fmt.Sprintf("http://%s/flux/metric_data?metric=%s&value=42&key=%s", public, firstMetric, key)}
}

// firstCase returns the request of the first of a plugin's cases, in its folder
// cases. A plugin need not have any.
func firstCase(folder string) (request, error) {
	found, _ := filepath.Glob(filepath.Join(folder, "cases", "*", "request.http")) // a folder's name may be no pattern
	if len(found) == 0 {
		return request{}, nil
	}
	r, becomes, err := plugintest.ReadCase(filepath.Dir(found[0]))
	if err != nil {
		return request{}, err
	}
	r.Header.Del("Content-Length") // it is told anew
	return request{method: r.Method, url: r.Query, header: r.Header, body: string(r.Body), key: becomes.Key}, nil
}

// at has the request go to the plugin, wherever it went.
func (r request) at(public, route string) request {
	target := url.URL{Scheme: "http", Host: public, Path: route, RawQuery: r.url}
	r.url = target.String()
	return r
}

// curl is the line that sends the request.
func (r request) curl() string {
	line := "curl -i"
	if r.method != http.MethodGet && r.method != http.MethodPost {
		line += " -X " + r.method
	}
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		for _, value := range r.header[name] {
			line += " -H " + quoted(name+": "+value)
		}
	}
	if r.method == http.MethodPost {
		line += " --data-binary " + quoted(r.body)
	}
	return line + " " + quoted(r.url)
}

// quoted is text as a shell takes it for one word.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// sendTimeout is how long the throwaway Fluxgate may take over a request.
const sendTimeout = 30 * time.Second

// send sends the request and prints what it is answered.
func (s *stage) send(ctx context.Context, r request) {
	s.print("send it more with:\n\n%s\n\n", r.curl())
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	sent, err := http.NewRequestWithContext(ctx, r.method, r.url, strings.NewReader(r.body))
	if err != nil {
		s.print("not sent: %v\n", err)
		return
	}
	maps.Copy(sent.Header, r.header)
	answer, err := (&http.Client{Transport: &http.Transport{}}).Do(sent) // no proxy: it is on this machine
	if err != nil {
		s.print("not sent: %v\n", err)
		return
	}
	defer answer.Body.Close()
	var body bytes.Buffer
	_, _ = body.ReadFrom(answer.Body) // its beginning is as good
	s.print("answered %s %s\n", answer.Status, body.String())
}

// offer says how to send the plugin something, and does so if it is known what.
func (s *stage) offer(ctx context.Context, public, made string) {
	if s.first.method != "" {
		s.send(ctx, s.first.at(public, s.route()))
		return
	}
	s.print("the key is %s; send it a request with:\n\ncurl -i --data-binary @FILE 'http://%s%s'\n\n", made, public, s.route())
}
