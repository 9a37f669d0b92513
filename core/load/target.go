package load

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A target is where requests go.
type target struct {
	shown    string // the URL, without a password
	address  string // host:port
	host     string // the header
	get      string // paths
	post     string
	login    string // the header Authorization; empty: none
	security *tls.Config
}

// parseTarget reads the URL of a server.
func parseTarget(text string) (t target, err error) {
	u, err := url.Parse(text)
	if err != nil {
		return t, fmt.Errorf("%w: give the URL of a Flux, such as http://127.0.0.1:8000", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" {
		return t, fmt.Errorf("%q is no URL of a Flux: give one such as http://127.0.0.1:8000", text)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	t.shown, t.address, t.host = u.Redacted(), net.JoinHostPort(u.Hostname(), port), u.Host
	if u.Scheme == "https" {
		t.security = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	}
	root := strings.TrimSuffix(strings.TrimSuffix(u.EscapedPath(), "/"), "_post")
	root = strings.TrimSuffix(root, "/metric_data")
	if u.Path == "" || u.Path == "/" {
		root = "/flux"
	}
	t.get, t.post = root+"/metric_data", root+"/metric_data_post"
	if u.User != nil {
		password, _ := u.User.Password()
		t.login = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
	}
	return t, nil
}

// trust has certificates of these CAs accepted; nil: those of the system.
func (t *target) trust(roots *x509.CertPool) {
	if t.security != nil {
		t.security.RootCAs = roots
	}
}

// dial opens a connection within a time.
func (t *target) dial(ctx context.Context, limit time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if t.security != nil {
		return (&tls.Dialer{Config: t.security}).DialContext(ctx, "tcp", t.address)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", t.address)
}

// head returns what a request begins with, up to its body.
func (t *target) head(method, query string, length int) []byte {
	path := t.get + query
	if method == http.MethodPost {
		path = t.post
	}
	head := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: fluxgate-bench\r\n", method, path, t.host)
	if t.login != "" {
		head = fmt.Appendf(head, "Authorization: %s\r\n", t.login)
	}
	if method == http.MethodPost {
		head = fmt.Appendf(head, "Content-Type: application/json\r\nContent-Length: %d\r\n", length)
	}
	return append(head, "\r\n"...)
}
