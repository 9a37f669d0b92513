package remote

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"fluxgate/sdk"
)

var (
	errSlow       = errors.New("too slow")
	errTooLarge   = errors.New("too large")
	errTooMany    = errors.New("too many points")
	errUnreadable = errors.New("a URL cannot be read: write it like http://graphite.example.org:8080/render/?target=a.b")
)

// A stop is an error of the caller of a fetch.
type stop struct{ error }

// fetch asks q at p and reads the answer.
func (c *Client) fetch(ctx context.Context, q Query, p place, take func(Sample) error) (Answer, error) {
	timed, cancel := context.WithTimeoutCause(ctx, c.o.Time, errSlow)
	defer cancel()
	response, at, err := c.ask(timed, q, p)
	var answer Answer
	if err == nil {
		answer, err = c.read(q, p, at, response, take)
		_ = response.Body.Close()
	}
	if err == nil {
		return answer, nil
	}
	var stopped stop
	switch {
	case errors.As(err, &stopped):
		return answer, stopped.error
	case ctx.Err() != nil:
		return answer, sdk.Unavailablef("%s: %w", at, context.Cause(ctx))
	case context.Cause(timed) != nil:
		return answer, &trouble{error: sdk.Unavailablef("%s: no whole answer within %v: ask for a shorter window", at, c.o.Time)}
	}
	return answer, c.explain(q, p, at, err)
}

// explain gives an error of the host or of its answer a kind and words.
func (c *Client) explain(q Query, first, at place, err error) error {
	var (
		off  cutOff
		said refused
	)
	switch {
	case errors.Is(err, sdk.ErrInvalid), errors.Is(err, sdk.ErrUnavailable):
		return err
	case errors.As(err, &off):
		return &trouble{error: sdk.Unavailablef("%s: the answer was cut off: %w", at, off.error)}
	case errors.As(err, &said):
		text := strconv.Quote(c.discreet(q, first, at, said.Error()))
		if said.forGood() {
			return sdk.Invalidf("%s refuses the query: %s", at, text)
		}
		return sdk.Unavailablef("%s does not answer the query: %s", at, text)
	case errors.Is(err, errTooLarge):
		return sdk.Unavailablef("%s: the answer is larger than %d bytes, the most that is read: ask for a shorter window", at, c.o.Bytes)
	case errors.Is(err, errTooMany):
		return sdk.Unavailablef("%s: the answer has more than %d points, the most that are read: ask for a shorter window or one series", at, c.o.Points)
	}
	return sdk.Unavailablef("%s: this is no answer of %s: %w", at, q.Kind, err)
}

// read reads the answer that response, from at, begins with.
func (c *Client) read(q Query, first, at place, response *http.Response, take func(Sample) error) (Answer, error) {
	if response.StatusCode != http.StatusOK {
		return Answer{}, c.refusal(q, first, at, response)
	}
	body, err := unpacked(response, c.o.Bytes)
	if err != nil {
		return Answer{}, err
	}
	d := &decoder{scanner: scanner{in: bufio.NewReaderSize(body, 64<<10)}, left: c.o.Points, take: take}
	answer, err := d.decode(q.Kind)
	answer.Bytes = c.o.Bytes - body.left
	if err != nil {
		return answer, err
	}
	if n := len(answer.Series) + answer.More; q.OnlySeries && n > 1 {
		return answer, sdk.Invalidf("%s answers with %d series where one is wanted: %s: narrow the target to one of them", at, n, answer.names())
	}
	return answer, nil
}

// names lists the series, for people.
func (a Answer) names() string {
	text := strings.Join(a.Series, ", ")
	if a.More > 0 {
		text += fmt.Sprintf(" and %d more", a.More)
	}
	return text
}

// A counted reads at most left bytes.
type counted struct {
	in   io.Reader
	left int64
}

func (c *counted) Read(b []byte) (int, error) {
	if int64(len(b)) > c.left+1 {
		b = b[:c.left+1]
	}
	n, err := c.in.Read(b)
	if c.left -= int64(n); c.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}

// A wire reads what comes from the host. Any error but the end is a cutOff.
type wire struct{ in io.Reader }

type cutOff struct{ error }

func (w wire) Read(b []byte) (int, error) {
	n, err := w.in.Read(b)
	if err != nil && err != io.EOF {
		err = cutOff{err}
	}
	return n, err
}

// unpacked returns the body of response, of at most longest bytes before and after
// gzip is undone.
func unpacked(response *http.Response, longest int64) (*counted, error) {
	packed := &counted{wire{response.Body}, longest}
	switch coding := response.Header.Get("Content-Encoding"); strings.ToLower(coding) {
	case "", "identity":
		return packed, nil
	case "gzip", "x-gzip":
		unzip, err := gzip.NewReader(packed)
		return &counted{unzip, longest}, err
	default:
		return nil, fmt.Errorf("it is packed as %q, which was not asked for", cut(coding, 20))
	}
}

// refusal returns why response, which is not 200, gives no answer.
func (c *Client) refusal(q Query, first, at place, response *http.Response) error {
	status := response.StatusCode
	said := fmt.Sprintf("%s answered %d %s", at, status, http.StatusText(status))
	if text := c.message(q, first, at, response); text != "" {
		said += ": " + strconv.Quote(text)
	}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return sdk.Invalidf("%s: configure a login for host %s in populate.remotes", said, at.hostPort())
	case status == http.StatusRequestTimeout || status == http.StatusTooEarly || status == http.StatusTooManyRequests || status >= 500:
		return &trouble{sdk.Unavailablef("%s", said), retryAfter(response.Header.Get("Retry-After"), c.hosts.now())}
	case status >= 400:
		return sdk.Invalidf("%s", said)
	}
	return sdk.Unavailablef("%s, which is no answer to a query", said)
}

// retryAfter reads seconds or a date; what is neither is 0.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(maxAfter/time.Second))) * time.Second
	}
	if date, err := http.ParseTime(text); err == nil {
		return max(0, min(date.Sub(now), maxAfter))
	}
	return 0
}

// discreet returns what of a text of the host can be shown.
func (c *Client) discreet(q Query, first, at place, text string) string {
	if c.login(q, first, at).shows(text) {
		return "..."
	}
	return cut(strings.ToValidUTF8(text, "\ufffd"), 300)
}

// message returns what the host says about a refusal.
func (c *Client) message(q Query, first, at place, response *http.Response) string {
	const longest = 4 << 10
	body, err := unpacked(response, longest)
	if err != nil {
		return ""
	}
	var text string
	if q.Kind == Prometheus {
		d := &decoder{scanner: scanner{in: bufio.NewReader(body)}}
		_, _ = d.decode(q.Kind)
		text = d.failure.text
	} else if strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain") {
		whole, _ := io.ReadAll(body)
		text, _, _ = strings.Cut(strings.TrimSpace(string(whole)), "\n")
	}
	return c.discreet(q, first, at, text)
}
