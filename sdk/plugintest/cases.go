package plugintest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"fluxgate/sdk"
)

// A Case is what an input makes of a request, as submission.json has it. What is
// left out is empty.
type Case struct {
	Error    string      `json:"error"` // the refusal, as far as not even a key can be read
	Key      string      `json:"key"`
	Batch    []Datapoint `json:"batch"`
	Backfill []Datapoint `json:"backfill"`
	Dropped  []string    `json:"dropped"`
	DryRun   bool        `json:"dry_run"`
	KeyCheck bool        `json:"key_check"`
	Invalid  string      `json:"invalid"`
	Reply    *struct {
		Status int    `json:"status"`
		Body   string `json:"body"`
	} `json:"reply"`
}

// A Datapoint is written as [metric, timestamp, value]; the timestamp "now" is
// that of the request.
type Datapoint struct {
	Metric    string
	Timestamp int64 // 0: now
	Value     float64
}

// UnmarshalJSON reads the list.
func (d *Datapoint) UnmarshalJSON(text []byte) error {
	var timestamp json.RawMessage
	list := []any{&d.Metric, &timestamp, &d.Value}
	if err := json.Unmarshal(text, &list); err != nil || len(list) != 3 {
		return fmt.Errorf("%s must be [metric, timestamp, value]", text)
	}
	if string(timestamp) == `"now"` {
		return nil
	}
	if err := json.Unmarshal(timestamp, &d.Timestamp); err != nil {
		return fmt.Errorf("timestamp %s of %s must be Unix seconds or \"now\"", timestamp, d.Metric)
	}
	return nil
}

// A request is a case that has been read.
type request struct {
	name    string
	request sdk.Request
	want    Case
	timed   bool // it has a timestamp that is now
}

// readCases reads a folder of cases, in the order of their names.
func readCases(folder string) ([]request, error) {
	names, err := filepath.Glob(filepath.Join(folder, "*", "request.http"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s has no case: make a folder in it, with request.http and submission.json", folder)
	}
	all := make([]request, len(names))
	for i, name := range names {
		if all[i], err = readCase(filepath.Dir(name)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func readCase(folder string) (request, error) {
	r, want, err := ReadCase(folder)
	timed := slices.ContainsFunc(slices.Concat(want.Batch, want.Backfill), func(d Datapoint) bool { return d.Timestamp == 0 })
	return request{filepath.Base(folder), r, want, timed}, err
}

// ReadCase reads the folder of one case: its request, and what becomes of that.
func ReadCase(folder string) (r sdk.Request, want Case, err error) {
	file := filepath.Join(folder, "request.http")
	text, err := os.ReadFile(file)
	if err != nil {
		return r, want, err
	}
	if r, err = readRequest(text); err != nil {
		return r, want, fmt.Errorf("%s: %w", file, err)
	}
	file = filepath.Join(folder, "submission.json")
	if text, err = os.ReadFile(file); err != nil {
		return r, want, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&want); err != nil {
		return r, want, fmt.Errorf("%s: %w", file, err)
	}
	return r, want, nil
}

// readRequest reads a request as it travels. The head ends with the first empty
// line, and the file with the body: nobody need keep a Content-Length right.
func readRequest(text []byte) (sdk.Request, error) {
	head, body, ok := bytes.Cut(text, []byte("\r\n\r\n"))
	if short, rest, found := bytes.Cut(text, []byte("\n\n")); found && (!ok || len(short) < len(head)) {
		head, body = short, rest
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.TrimRight(string(head), "\r\n") + "\r\n\r\n")))
	if err != nil {
		return sdk.Request{}, err
	}
	return sdk.Request{
		Route: r.Method + " " + r.URL.Path, Method: r.Method, Query: r.URL.RawQuery, Header: r.Header, Body: body,
	}, nil
}

// slack is how far now may be from the time at which it is judged, in seconds.
const slack = 60

// judge tells how an answer is not the one wanted.
func (c request) judge(got sdk.Submission, err error) error {
	want := c.want
	if want.Error != "" {
		if !errors.Is(err, sdk.ErrInvalid) || err.Error() != "invalid: "+want.Error {
			return differ("error", err, "invalid: "+want.Error)
		}
		return nil
	}
	if err != nil {
		return err
	}
	body, status := "", 0
	if got.Reply != nil {
		body, status = string(got.Reply.Body), got.Reply.Status
	}
	wantBody, wantStatus := "", 0
	if want.Reply != nil {
		wantBody, wantStatus = want.Reply.Body, want.Reply.Status
	}
	switch {
	case got.Key != want.Key:
		return differ("key", got.Key, want.Key)
	case got.Invalid != want.Invalid:
		return differ("invalid", got.Invalid, want.Invalid)
	case !alike(got.Batch, want.Batch):
		return differ("batch", got.Batch, want.Batch)
	case !alike(got.Backfill, want.Backfill):
		return differ("backfill", got.Backfill, want.Backfill)
	case !slices.Equal(got.Dropped, want.Dropped):
		return differ("dropped", got.Dropped, want.Dropped)
	case got.DryRun != want.DryRun:
		return differ("dry_run", got.DryRun, want.DryRun)
	case got.KeyCheck != want.KeyCheck:
		return differ("key_check", got.KeyCheck, want.KeyCheck)
	case status != wantStatus || body != wantBody:
		return differ("reply", fmt.Sprint(status, " ", body), fmt.Sprint(wantStatus, " ", wantBody))
	}
	return nil
}

// alike reports whether a batch is the one wanted.
func alike(got sdk.Batch, want []Datapoint) bool {
	now := time.Now().Unix()
	return slices.EqualFunc(got, want, func(g sdk.Datapoint, w Datapoint) bool {
		timely := g.Timestamp == w.Timestamp || w.Timestamp == 0 && g.Timestamp > now-slack && g.Timestamp < now+slack
		return timely && g.Metric == w.Metric && g.Value == w.Value
	})
}

// values returns the values of the case as the request may spell them.
func (c request) values() (all []string) {
	for _, d := range slices.Concat(c.want.Batch, c.want.Backfill) {
		text := strconv.FormatFloat(d.Value, 'f', -1, 64)
		if bytes.Contains(c.request.Body, []byte(text)) || bytes.Contains([]byte(c.request.Query), []byte(text)) {
			all = append(all, text)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
