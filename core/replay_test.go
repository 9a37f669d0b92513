package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The keys of the request cases. acmeKey has the prefix acme, betaKey beta.prod, selfKey none; unknownKey is not configured.
const (
	selfKey    = "self0123456789abcdefghijABCDEFGH"
	acmeKey    = "key10123456789abcdefghijABCDEFGH"
	betaKey    = "key20123456789abcdefghijABCDEFGH"
	unknownKey = "zzzz0123456789abcdefghijABCDEFGH"
)

// serverNow stands where the server chooses the timestamp.
const serverNow = "{{server_now}}"

// A requestCase is one folder of testdata/requests, as read, with its placeholders.
type requestCase struct {
	name   string
	steps  []requestStep
	stored []storedPoint
	before map[string]string // entries put into Redis before the first step
	ledger map[string]string // entries expected afterwards; nil: what follows from stored
}

// A requestStep is a request and the answer it must get.
type requestStep struct{ request, response rawMessage }

// A rawMessage is an .http file: first line, header lines and body, all as written.
type rawMessage struct {
	first string
	lines []string
	body  string
}

// A storedPoint is one line of stored.txt, or one line that a sink took.
type storedPoint struct {
	metric, value, timestamp string
	fill                     bool
}

func readRequestCase(dir string) (requestCase, error) {
	c := requestCase{name: filepath.Base(dir)}
	steps, err := readSteps(dir)
	if err != nil {
		return c, err
	}
	c.steps = steps
	lines, err := readLines(filepath.Join(dir, "stored.txt"))
	if err != nil {
		return c, err
	}
	for _, line := range lines {
		p, err := parsePoint(line)
		if err != nil {
			return c, fmt.Errorf("stored.txt: %w", err)
		}
		c.stored = append(c.stored, p)
	}
	if c.before, err = readEntries(filepath.Join(dir, "before.txt")); err != nil {
		return c, err
	}
	c.ledger, err = readEntries(filepath.Join(dir, "ledger.txt"))
	return c, err
}

// readSteps reads request.http and response.http, or else 1-request.http, 1-response.http, 2-request.http and so on.
func readSteps(dir string) ([]requestStep, error) {
	if _, err := os.Stat(filepath.Join(dir, "request.http")); err == nil {
		s, err := readStep(dir, "")
		return []requestStep{s}, err
	}
	var steps []requestStep
	for {
		prefix := fmt.Sprintf("%d-", len(steps)+1)
		if _, err := os.Stat(filepath.Join(dir, prefix+"request.http")); errors.Is(err, fs.ErrNotExist) && len(steps) > 0 {
			return steps, nil
		}
		s, err := readStep(dir, prefix)
		if err != nil {
			return nil, err
		}
		steps = append(steps, s)
	}
}

func readStep(dir, prefix string) (requestStep, error) {
	request, err := readMessage(filepath.Join(dir, prefix+"request.http"))
	if err != nil {
		return requestStep{}, err
	}
	response, err := readMessage(filepath.Join(dir, prefix+"response.http"))
	return requestStep{request, response}, err
}

func readMessage(name string) (rawMessage, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return rawMessage{}, err
	}
	head, body, found := strings.Cut(string(text), "\n\n")
	if !found {
		return rawMessage{}, fmt.Errorf("%s: no empty line after the head", filepath.Base(name))
	}
	lines := strings.Split(head, "\n")
	return rawMessage{lines[0], lines[1:], body}, nil
}

// readLines returns the lines that are not empty.
func readLines(name string) ([]string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' }), nil
}

// readEntries reads lines of an entry's name, a blank and its text. A field of a hash is named hash[field].
func readEntries(name string) (map[string]string, error) {
	lines, err := readLines(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	entries := map[string]string{}
	for _, line := range lines {
		key, text, found := strings.Cut(line, " ")
		if !found {
			return nil, fmt.Errorf("%s: %q is no entry and text", filepath.Base(name), line)
		}
		entries[key] = text
	}
	return entries, err
}

func parsePoint(line string) (storedPoint, error) {
	f := strings.Fields(line)
	fill := len(f) == 4 && f[3] == "fill"
	if len(f) != 3 && !fill {
		return storedPoint{}, fmt.Errorf("%q is not metric, value and timestamp", line)
	}
	if _, err := strconv.ParseFloat(f[1], 64); err != nil {
		return storedPoint{}, fmt.Errorf("%q: %w", line, err)
	}
	return storedPoint{f[0], f[1], f[2], fill}, nil
}

// fill replaces the placeholders of a text; {{server_now}} stays.
func fill(text string, now time.Time) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "{{")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		name, after, _ := strings.Cut(rest, "}}")
		value, err := placeholder(name, now)
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		text = after
	}
}

func placeholder(name string, now time.Time) (string, error) {
	switch name {
	case "SELF_KEY":
		return selfKey, nil
	case "ACME_KEY":
		return acmeKey, nil
	case "BETA_KEY":
		return betaKey, nil
	case "UNKNOWN_KEY":
		return unknownKey, nil
	case "now_ms":
		return strconv.FormatInt(now.UnixMilli(), 10), nil
	case "server_now":
		return serverNow, nil
	}
	shift, found := strings.CutPrefix(name, "now")
	seconds, err := strconv.Atoi("0" + strings.TrimLeft(shift, "+-"))
	if !found || err != nil {
		return "", fmt.Errorf("unknown placeholder {{%s}}", name)
	}
	if strings.HasPrefix(shift, "-") {
		seconds = -seconds
	}
	return strconv.FormatInt(now.Unix()+int64(seconds), 10), nil
}

// header returns the value of the first header line of that name, and "" without one.
func (m rawMessage) header(name string) string {
	for _, line := range m.lines {
		if key, value, _ := strings.Cut(line, ":"); strings.EqualFold(key, name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// pseudo says whether a header line is for the replayer and never sent.
func pseudo(line string) bool { return strings.HasPrefix(line, "X-Case-") }

// wire returns the head and the body as they are sent.
func (m rawMessage) wire(now time.Time) (head, body []byte, err error) {
	text, err := fill(m.body, now)
	if err != nil {
		return nil, nil, err
	}
	if body, err = m.encode([]byte(text)); err != nil {
		return nil, nil, err
	}
	lines := []string{m.first}
	for _, line := range m.lines {
		if !pseudo(line) {
			lines = append(lines, line)
		}
	}
	method, _, _ := strings.Cut(m.first, " ")
	chunked := m.header("Transfer-Encoding") == "chunked"
	if !chunked && m.header("Content-Length") == "" && (len(body) > 0 || method == "POST") {
		lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	if chunked {
		body = twoChunks(body)
	}
	text, err = fill(strings.Join(lines, "\r\n")+"\r\n\r\n", now)
	return []byte(text), body, err
}

// encode obeys X-Case-Pad, which lengthens a body with blanks, and then X-Case-Encode.
func (m rawMessage) encode(body []byte) ([]byte, error) {
	if pad := m.header("X-Case-Pad"); pad != "" {
		size, err := strconv.Atoi(pad)
		if err != nil {
			return nil, err
		}
		body = append(body, bytes.Repeat([]byte(" "), max(0, size-len(body)))...)
	}
	if m.header("X-Case-Encode") != "gzip" {
		return body, nil
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

func twoChunks(body []byte) []byte {
	var out bytes.Buffer
	half := len(body) / 2
	for _, part := range [][]byte{body[:half], body[half:]} {
		if len(part) > 0 {
			fmt.Fprintf(&out, "%x\r\n%s\r\n", len(part), part)
		}
	}
	out.WriteString("0\r\n\r\n")
	return out.Bytes()
}

// A sender sends the steps of one case.
type sender struct {
	address string
	conn    net.Conn
	reader  *bufio.Reader
}

// send sends one request and reads its answer. With X-Case-Connection: same it uses the connection of the step before, and fails if the server has closed that.
func (s *sender) send(m rawMessage, now time.Time) (*http.Response, []byte, error) {
	head, body, err := m.wire(now)
	if err != nil {
		return nil, nil, err
	}
	if m.header("X-Case-Connection") != "same" {
		s.close()
		if s.conn, err = net.Dial("tcp", s.address); err != nil {
			return nil, nil, err
		}
		s.reader = bufio.NewReader(s.conn)
	}
	if s.conn == nil {
		return nil, nil, errors.New("the server has closed the connection that this step was to use")
	}
	if err := s.conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, nil, err
	}
	return s.exchange(m, head, body)
}

// exchange writes and reads at the same time, because a server may answer before it has read a body that is too large.
func (s *sender) exchange(m rawMessage, head, body []byte) (*http.Response, []byte, error) {
	method, _, _ := strings.Cut(m.first, " ")
	proceed := make(chan bool, 1)
	written := make(chan struct{})
	go func(conn net.Conn) {
		defer close(written)
		if _, err := conn.Write(head); err == nil && <-proceed {
			conn.Write(body) // A server that stops reading still answers; an answer that is missing is told below.
		}
	}(s.conn)
	expects := m.header("Expect") == "100-continue"
	if !expects {
		proceed <- true
	}
	response, err := http.ReadResponse(s.reader, &http.Request{Method: method})
	if expects {
		interim := err == nil && response.StatusCode == http.StatusContinue
		proceed <- interim
		if interim {
			response, err = http.ReadResponse(s.reader, &http.Request{Method: method})
		}
	}
	if err != nil {
		s.close()
		return nil, nil, err
	}
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.Close {
		s.close()
	}
	<-written
	return response, answer, err
}

func (s *sender) close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}
