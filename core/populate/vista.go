package populate

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// noText is how Python, and with it Vista, writes that there is no text.
const noText = "None"

// readVista reads the nine fields of Vista. Members that it does not know are
// ignored. namespace_prefix has only to be there: the metric begins with it.
func readVista(m *members, _ time.Time) Request {
	r := Request{
		Form:   Vista,
		Target: m.need("remote_target", "what the remote calls the metric (a plain request has source)"),
		Metric: m.need("metric", "the name to fill"),
	}
	if !m.has("namespace_prefix") {
		m.refuse("namespace_prefix", " is missing: it may be empty, but must be there")
	}
	r.Login = Login{Token: m.login("token"), User: m.login("user"), Password: m.login("password")}
	r.URLs = m.urls("fetch_resolution_urls")
	r.Kind = m.remoteKind("remote_host_type", r.URLs)
	return r
}

// login returns a part of a login; empty where there is none.
func (m *members) login(name string) string {
	text := m.text(name)
	if text == noText {
		return ""
	}
	if len(text) > maxText {
		m.refuse(name, " is longer than %d bytes: shorten it", maxText)
	}
	return text
}

// remoteKind returns the kind of the remote. Where it is not told, all of the URLs
// must have the shape of one kind.
func (m *members) remoteKind(name string, urls []string) string {
	switch kind := m.text(name); kind {
	case Graphite, Prometheus:
		return kind
	case "", noText:
	default:
		m.refuse(name, " %q is unknown: use %s or %s", brief(kind), Graphite, Prometheus)
		return ""
	}
	kind := ""
	for i, u := range urls {
		guess := kindOf(u)
		if i > 0 && guess != kind {
			kind = ""
			break
		}
		kind = guess
	}
	if kind == "" {
		m.refuse(name, " is missing, and the URLs do not tell it: use %s or %s", Graphite, Prometheus)
	}
	return kind
}

// kindOf guesses from the shape of a URL what answers it; empty: no guess.
func kindOf(rawURL string) string {
	l, _ := locate(rawURL) // where that finds no location, the empty one tells nothing
	path := strings.TrimSuffix(l.path, "/")
	switch {
	case strings.HasSuffix(path, "/render") && strings.Contains("&"+l.query, "&target="):
		return Graphite
	case strings.HasSuffix(path, "/api/v1/query"):
		return Prometheus
	}
	return ""
}

// urls returns the URLs of a member, each once.
func (m *members) urls(name string) []string {
	list, err := listIn(m.value(name))
	if err != nil {
		m.refuse(name, " %s", err)
	}
	var urls []string
	seen := make(map[string]bool, len(list))
	for i, u := range list {
		if _, err := locate(u); err != nil {
			m.refuse(name, ": URL %d %s", i+1, err)
			return nil
		}
		if !seen[u] {
			seen[u] = true
			urls = append(urls, u)
		}
	}
	return urls
}

// maxLayers is how often a list may stand in quotes. Vista puts it in one pair, and
// whoever imitates Vista with an encoder in two.
const maxLayers = 4

// listIn returns the list of texts that raw holds: a JSON array, or a text that
// holds one or what Python prints for a list or a tuple, bare or in quotes. Vista
// puts quotes around a list without escaping those in it, so first they are taken
// off as they are, and read as a text's quotes only where that gives no list.
func listIn(raw json.RawMessage) ([]string, error) {
	if raw == nil {
		return nil, errors.New("is missing: send a list of URLs, which may be empty")
	}
	text, ok := textOf(raw)
	if !ok {
		text = string(raw)
	}
	var err error
	for range maxLayers {
		var list []string
		text = strings.TrimSpace(text)
		if list, err = bareList(text); err == nil {
			return list, nil
		}
		inner, ok := stripped(text)
		if !ok {
			break
		}
		if list, err = bareList(inner); err == nil {
			return list, nil
		}
		if text, ok = unquoted(text); !ok {
			break
		}
	}
	return nil, fmt.Errorf("is no list of URLs (%w): send a JSON array of texts", err)
}

// bareList reads a list that is not in quotes.
func bareList(text string) ([]string, error) {
	var list []string
	if len(text) > maxList || !strings.HasPrefix(text, "[") || json.Unmarshal([]byte(text), &list) != nil {
		return pythonList(text)
	}
	if len(list) > maxElements {
		return nil, fmt.Errorf("more than %d elements", maxElements)
	}
	return list, nil
}

// stripped takes the quotes off both ends of text, and leaves what is between.
func stripped(text string) (string, bool) {
	if len(text) < 2 || text[0] != text[len(text)-1] || text[0] != '"' && text[0] != '\'' {
		return "", false
	}
	return text[1 : len(text)-1], true
}

// unquoted reads a text that is all of a JSON string, or of one of Python's.
func unquoted(text string) (string, bool) {
	if value, ok := textOf(json.RawMessage(text)); ok {
		return value, true
	}
	value, rest, err := pythonString(text)
	return value, err == nil && rest == ""
}
