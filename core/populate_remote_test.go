package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// A fakeRemote answers as the rules of a case say. What no rule knows is answered with unknown.
type fakeRemote struct {
	rules   []populateRule
	unknown func(http.ResponseWriter, *http.Request)

	mu      sync.Mutex
	asked   int // requests so far
	passing int // those that a rule answered which does not stand for ever
	later   bool
	logins  []string // URLs of requests that carried one
}

// serve has a remote of its own for a case, and returns its base URL.
func (f *fakeRemote) serve(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return server.URL
}

func (f *fakeRemote) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rule := f.match(r)
	if rule == nil {
		f.unknown(w, r)
		return
	}
	for name, value := range rule.Headers {
		w.Header().Set(name, value)
	}
	if rule.Status != 0 {
		w.WriteHeader(rule.Status)
	}
	_, _ = w.Write(rule.answer()) // who asks may have left
}

// match returns the rule for a request, or nil.
func (f *fakeRemote) match(r *http.Request) *populateRule {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" || r.URL.User != nil {
		f.logins = append(f.logins, r.RequestURI)
	}
	decoded, _ := url.QueryUnescape(r.RequestURI)
	for i := range f.rules {
		rule := &f.rules[i]
		passes := rule.Until != ""
		if passes && f.later || !strings.Contains(r.RequestURI, rule.When) && !strings.Contains(decoded, rule.When) {
			continue
		}
		if passes {
			f.passing++
		}
		return rule
	}
	return nil
}

// recover ends the rules that do not stand for ever.
func (f *fakeRemote) recover() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.later = true
}

// seen returns how often the remote has been asked, how often a rule that passes has answered, and which requests carried a login.
func (f *fakeRemote) seen() (asked, passing int, logins []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked, f.passing, f.logins
}

// An ownGraphite is the Graphite that the target belongs to. It answers for each case as that says, and has no series otherwise.
type ownGraphite struct {
	mu    sync.Mutex
	cases map[string]*fakeRemote
}

func (g *ownGraphite) add(c populateCase, rules []populateRule) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cases[c.name] = &fakeRemote{rules: rules, unknown: noSeries}
}

func (g *ownGraphite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	f := g.cases[owner(r.URL.Query().Get("target"))]
	g.mu.Unlock()
	if f == nil {
		noSeries(w, r)
		return
	}
	f.ServeHTTP(w, r)
}

func noSeries(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("[]")) }
